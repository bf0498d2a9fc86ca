//! Where the rules are at work, and what they find there.
//!
//! A rule that is broken is reported and the work goes on, so that one look at a file shows everything that is wrong
//! with it. What cannot be made usable is `None` from there on; `convert` lets nothing out that has a finding.

use std::{cell::RefCell, fmt, ops::RangeInclusive};

use super::rule::BrokenRule;

/// What a rule found, before the file has a name.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) key: String,
    pub(super) rule: BrokenRule,
}

/// A place in the configuration, which shows as its key: `routes[2].upstream`.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
    findings: &'a RefCell<Vec<Finding>>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Item(usize),
}

impl<'a> At<'a> {
    /// The whole file.
    pub(super) fn root(findings: &'a RefCell<Vec<Finding>>) -> Self {
        Self { parent: None, step: Step::Root, findings }
    }

    /// The value of a key.
    pub(super) fn field<'b>(&'b self, name: &'b str) -> At<'b> {
        At { parent: Some(self), step: Step::Field(name), findings: self.findings }
    }

    /// An element of a list, from 0.
    pub(super) fn item(&self, index: usize) -> At<'_> {
        At { parent: Some(self), step: Step::Item(index), findings: self.findings }
    }

    /// Says that a rule is broken here.
    pub(super) fn report(&self, rule: impl Into<BrokenRule>) {
        let finding = Finding { key: self.to_string(), rule: rule.into() };
        self.findings.borrow_mut().push(finding);
    }

    /// Says that a rule is broken here, where that leaves no value.
    pub(super) fn refuse<T>(&self, rule: impl Into<BrokenRule>) -> Option<T> {
        self.report(rule);
        None
    }

    /// Takes the value, or reports why there is none.
    pub(super) fn accept<T>(&self, result: Result<T, impl Into<BrokenRule>>) -> Option<T> {
        result.map_err(|rule| self.report(rule)).ok()
    }

    /// Takes the quantity if it is within its limits.
    pub(super) fn within<T: PartialOrd + fmt::Display>(&self, found: T, limits: &RangeInclusive<T>) -> Option<T> {
        let (least, most) = (limits.start(), limits.end());
        if found < *least {
            return self.refuse(BrokenRule::TooLittle { found: found.to_string(), least: least.to_string() });
        }
        if found > *most {
            return self.refuse(BrokenRule::TooMuch { found: found.to_string(), most: most.to_string() });
        }
        Some(found)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(out)?;
        }
        let is_plain = |name: &str| !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control());
        let dot = match self.parent {
            Some(At { step: Step::Field(_) | Step::Item(_), .. }) => ".",
            Some(At { step: Step::Root, .. }) | None => "",
        };
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) if is_plain(name) => write!(out, "{dot}{name}"),
            Step::Field(name) => write!(out, "{dot}{name:?}"),
            Step::Item(index) => write!(out, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_shows_as_its_key() {
        let findings = RefCell::default();
        let root = At::root(&findings);
        let routes = root.field("routes");
        let route = routes.item(2);
        for (at, key) in [
            (routes, "routes"),
            (route, "routes[2]"),
            (route.field("upstream"), "routes[2].upstream"),
            (root.field("a b"), "\"a b\""),
            (routes.field("a\n"), "routes.\"a\\n\""),
            (routes.field(""), "routes.\"\""),
        ] {
            assert_eq!(at.to_string(), key);
        }
    }

    #[test]
    fn every_finding_is_kept_with_its_place() {
        let findings = RefCell::default();
        let root = At::root(&findings);
        assert_eq!(root.field("a").within(3, &(1..=3)), Some(3));
        assert_eq!(root.field("a").within(0, &(1..=3)), None);
        assert_eq!(root.field("b").within(4, &(1..=3)), None);
        let shown: Vec<_> = findings.borrow().iter().map(|Finding { key, rule }| format!("{key}: {rule}")).collect();
        assert_eq!(shown, ["a: 0 is too little: at least 1", "b: 4 is too much: at most 3"]);
    }
}
