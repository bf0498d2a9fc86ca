//! Expressions of PromQL, as far as they have to be taken apart: where an alert compares, and with what.

/// What a dashboard leaves open, and what it stands for here. Longer names first.
const VARIABLES: [(&str, &str); 6] = [
    ("$__rate_interval", "5s"),
    ("$datasource", "prometheus"),
    ("$instance", ".*"),
    ("$upstream", ".*"),
    ("$route", ".*"),
    ("$job", "cognigate"),
];

/// Longer ones first.
const COMPARISONS: [&str; 6] = ["==", "!=", ">=", "<=", ">", "<"];

const SET_OPERATORS: [&str; 3] = ["and", "or", "unless"];

/// The expression of a panel with every variable replaced.
pub(crate) fn replace_variables(expression: &str) -> String {
    VARIABLES.iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// What must have data for an alert to be able to fire: the sides of each comparison that are not numbers.
/// `absent(X)` compares X with nothing.
pub(crate) fn sides(alert: &str) -> Vec<String> {
    let conditions = split(alert, |rest, before| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let word = SET_OPERATORS.into_iter().find(|word| rest.starts_with(word))?;
        let is_inside = before.is_some_and(is_word) || rest.chars().nth(word.len()).is_some_and(is_word);
        (!is_inside).then_some(word.len())
    });
    let compared = conditions.into_iter().flat_map(|condition| {
        split(condition, |rest, _| COMPARISONS.into_iter().find(|sign| rest.starts_with(sign)).map(str::len))
    });
    compared.map(unwrapped).filter(|side| !is_number(side)).map(str::to_owned).collect()
}

/// Splits at what `separator` finds outside of parentheses, braces, brackets and quotes: it is given the rest of the text
/// and the character before, and says how long the separator is.
fn split(text: &str, separator: impl Fn(&str, Option<char>) -> Option<usize>) -> Vec<&str> {
    let (mut parts, mut depth, mut quote, mut before) = (Vec::new(), 0, None, None);
    let (mut begin, mut skip_to) = (0, 0);
    for (at, c) in text.char_indices().filter(|(at, _)| text.is_char_boundary(*at)) {
        let (_, rest) = text.split_at(at);
        match (quote, c) {
            (Some(open), _) if c == open && before != Some('\\') => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '(' | '{' | '[') => depth += 1,
            (None, ')' | '}' | ']') => depth -= 1,
            (None, _) if depth == 0 && at >= skip_to => {
                if let Some(length) = separator(rest, before) {
                    parts.push(text.get(begin..at).unwrap());
                    begin = at + length;
                    skip_to = begin;
                }
            }
            (None, _) => {}
        }
        before = Some(c);
    }
    parts.push(text.get(begin..).unwrap());
    parts
}

/// What is in `absent(...)`, or the same.
fn unwrapped(side: &str) -> &str {
    let side = side.trim();
    side.strip_prefix("absent(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(side)
}

/// Whether there is nothing to ask for: no letter, so no metric and no function.
fn is_number(side: &str) -> bool {
    !side.contains(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_split_where_it_compares() {
        for (alert, expected) in [
            ("a > 5", vec!["a"]),
            ("absent(up{job=\"x\"})", vec!["up{job=\"x\"}"]),
            ("a{b=\"> and <\"} == 0", vec!["a{b=\"> and <\"}"]),
            ("(a - (b > 0)) / c > 0.5 and d{e!~\"f|g\"} >= 1", vec!["(a - (b > 0)) / c", "d{e!~\"f|g\"}"]),
            ("a - time() < 14 * 86400", vec!["a - time()"]),
            ("a > b", vec!["a", "b"]),
            ("sandbox_or > 1 unless and_ < 2", vec!["sandbox_or", "and_"]),
        ] {
            assert_eq!(sides(alert), expected, "{alert}");
        }
    }

    #[test]
    fn no_variable_is_left() {
        let expression = "rate(a{job=~\"$job\",instance=~\"$instance\"}[$__rate_interval])";
        assert_eq!(replace_variables(expression), "rate(a{job=~\"cognigate\",instance=~\".*\"}[5s])");
    }
}
