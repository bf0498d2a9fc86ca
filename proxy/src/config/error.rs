//! What is wrong with a configuration: what was found, what is allowed, and where.
//!
//! - what the parser finds: `FILE:LINE:COL: message`, one, because it stops there
//! - what the rules find: `FILE: routes[2].upstream: message`, all of them, in the order in which they were checked
//!
//! Each message is one line. A value that may be a secret is not repeated.

use std::{fmt, io};

use thiserror::Error;

use super::{finding::Finding, rule::BrokenRule};

/// Everything that is wrong with a configuration, one a line.
#[derive(Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The errors: at least one.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    pub(super) fn rules(file: &str, findings: Vec<Finding>) -> Self {
        let error = |Finding { key, rule }| ConfigError::Rule { file: file.to_owned(), key, rule };
        Self(findings.into_iter().map(error).collect())
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl From<Vec<ConfigError>> for ConfigErrors {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self(errors)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.iter().map(ConfigError::to_string).collect();
        out.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// One thing that is wrong with a configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The text is not YAML, or not of the shape of a configuration.
    #[error("{file}:{position}: {message}")]
    Parse {
        /// The file, as it was named.
        file: String,
        /// Where.
        position: Position,
        /// What was found and what is allowed.
        message: String,
    },
    /// A value breaks a rule.
    #[error("{file}: {key}: {rule}")]
    Rule {
        /// The file, as it was named.
        file: String,
        /// The value's key: `routes[2].upstream`.
        key: String,
        /// The rule.
        rule: BrokenRule,
    },
    /// The file is larger than what is read of its kind.
    #[error("{file}: too large: at most {limit} bytes ({} MiB) are read", limit / (1024 * 1024))]
    TooLarge {
        /// The file, as it was named.
        file: String,
        /// What is read at most, in bytes: a whole number of MiB.
        limit: usize,
    },
    /// The file cannot be read.
    #[error("{file}: cannot be read: {cause}")]
    Unreadable {
        /// The file, as it was named.
        file: String,
        /// What the system said.
        cause: io::Error,
    },
}

impl ConfigError {
    pub(super) fn syntax(file: &str, SyntaxError { position, message }: SyntaxError) -> Self {
        Self::Parse { file: file.to_owned(), position, message }
    }
}

/// A place in the text of a file. Prints as `LINE:COLUMN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

impl Position {
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// The place where `before` ends.
    pub(super) fn after(before: &str) -> Self {
        let last = before.rsplit('\n').next().unwrap_or_default();
        Self { line: 1 + before.matches('\n').count(), column: 1 + last.chars().count() }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.line, self.column)
    }
}

/// What the parser found, before the file has a name.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) position: Position,
    pub(super) message: String,
}
