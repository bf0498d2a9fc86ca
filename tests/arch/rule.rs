//! What a rule is: a function of a file's path and text that names the places where the file breaks it.

/// A rule about one file. The path is from the root of the workspace; a file that the rule is not about breaks nothing.
pub(crate) type Rule = fn(path: &str, text: &str) -> Vec<Violation>;

/// A place where a file breaks a rule. The first line is 1.
pub(crate) struct Violation {
    pub(crate) line: usize,
    pub(crate) what: String,
}

/// The places where a file breaks `rule`, as `file:line: what`.
pub(crate) fn broken(rule: Rule, path: &str, text: &str) -> Vec<String> {
    rule(path, text).into_iter().map(|Violation { line, what }| format!("{path}:{line}: {what}")).collect()
}

/// The lines on which a file breaks `rule`.
#[cfg(test)]
pub(crate) fn broken_lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    rule(path, text).into_iter().map(|violation| violation.line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_reported_with_file_and_line() {
        let rule: Rule = |_, _| vec![Violation { line: 7, what: "is wrong".to_owned() }];
        assert_eq!(broken(rule, "a/b.rs", ""), ["a/b.rs:7: is wrong"]);
    }
}
