//! What `/metrics` says (Prometheus text format, version 0.0.4).

use std::collections::BTreeMap;

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// Every series at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics(BTreeMap<(String, Labels), f64>);

impl Metrics {
    /// Reads the text.
    ///
    /// # Panics
    ///
    /// If a line is not a comment, a series or empty, or if a series appears twice.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let mut series = BTreeMap::new();
        for line in text.lines().filter(|line| !(line.is_empty() || line.starts_with('#'))) {
            let (name, labels, value) = parse_line(line).unwrap_or_else(|| panic!("not a series: {line}"));
            let twin = series.insert((name, labels), value);
            assert!(twin.is_none(), "twice: {line}");
        }
        Self(series)
    }

    /// The sum of the series of this name that have these labels among theirs; 0 if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has =
            |all: &Labels| labels.iter().all(|(label, value)| all.get(*label).is_some_and(|found| found == value));
        self.series(name).filter(|(labels, _)| has(labels)).map(|(_, value)| value).sum()
    }

    /// Labels and values of the series of this name.
    pub fn series(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        self.0.iter().filter(move |((found, _), _)| found == name).map(|((_, labels), value)| (labels, *value))
    }

    /// Name and labels of every series.
    pub fn all(&self) -> impl ExactSizeIterator<Item = (&str, &Labels)> {
        self.0.keys().map(|(name, labels)| (name.as_str(), labels))
    }
}

fn parse_line(line: &str) -> Option<(String, Labels, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, value) = match rest.strip_prefix('{') {
        None => (Labels::new(), rest),
        Some(rest) => parse_labels(rest)?,
    };
    Some((name.to_owned(), labels, value.trim().parse().ok()?))
}

/// The labels up to the closing brace, and what is behind it. A value may hold any character; `\`, `"` and line ends are
/// escaped.
fn parse_labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(value) = rest.strip_prefix('}') {
            return Some((labels, value));
        }
        let (label, quoted) = rest.split_once("=\"")?;
        let mut text = String::new();
        let mut chars = quoted.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => text.push(chars.next().map(|escaped| if escaped == 'n' { '\n' } else { escaped })?),
                other => text.push(other),
            }
        }
        labels.insert(label.to_owned(), text);
        rest = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_values_are_read() {
        let metrics = Metrics::parse(concat!(
            "# HELP a Some \"help\".\n# TYPE a counter\n",
            "a{route=\"GET * /{x},\\\"\\\\\",code=\"200\"} 2\n",
            "a{route=\"none\",code=\"200\"} 3\n",
            "b 0.5\n",
        ));
        assert_eq!(metrics.sum("a", &[("code", "200")]), 5.0);
        assert_eq!(metrics.sum("a", &[("route", "GET * /{x},\"\\")]), 2.0);
        assert_eq!(metrics.sum("a", &[("code", "404")]), 0.0);
        assert_eq!(metrics.sum("b", &[]), 0.5);
        assert_eq!(metrics.all().len(), 3);
    }
}
