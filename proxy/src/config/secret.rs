//! Secrets, each in a file of its own: never in the configuration, never printed.

use std::{fmt, fs::File, io, io::Read, ops::RangeInclusive, os::unix::fs::PermissionsExt, path::Path};

use thiserror::Error;
use zeroize::Zeroizing;

/// What is read of a file at most, in bytes: more than any secret has.
const MAX_FILE_BYTES: u64 = 4096;

/// The mode bit of files that every user of the machine may write.
const WRITABLE_BY_OTHERS: u32 = 0o002;

/// A text that is not shown. Its memory is overwritten once it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// What a secret may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// A bearer token (RFC 6750 section 2.1): 16 to 256 visible ASCII characters, none of them a space.
    BearerToken,
    /// A password: 1 to 512 characters, none of them a control character.
    Password,
}

/// The file does not hold a secret. What it holds is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidSecret {
    /// A character that does not belong there.
    #[error("has more than one line, or a character that is not allowed: one line of {0} is needed")]
    Characters(SecretKind),
    /// Too little or too much of it.
    #[error("has {found} characters: one line of {kind} is needed")]
    Length {
        /// How many it has; of a long file, as many as were read.
        found: usize,
        /// What is needed.
        kind: SecretKind,
    },
    /// A file that anybody may have written.
    #[error("may be written by every user of this machine: take that permission away (chmod o-w)")]
    WritableByOthers,
}

/// Why there is no secret.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Its file does not hold one.
    #[error(transparent)]
    Invalid(#[from] InvalidSecret),
    /// Its file cannot be read.
    #[error("cannot be read")]
    Unreadable(#[from] io::Error),
}

impl Secret {
    /// Reads the secret in a file. One line break at its end does not count.
    ///
    /// # Errors
    ///
    /// [`SecretError`].
    pub fn read(path: &Path, kind: SecretKind) -> Result<Self, SecretError> {
        let file = File::open(path)?;
        if file.metadata()?.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(InvalidSecret::WritableByOthers.into());
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
        let text = str::from_utf8(&bytes).map_err(|_| InvalidSecret::Characters(kind))?;
        Ok(Self::parse(text, kind)?)
    }

    fn parse(text: &str, kind: SecretKind) -> Result<Self, InvalidSecret> {
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        let found = text.chars().count();
        if !kind.length().contains(&found) {
            return Err(InvalidSecret::Length { found, kind });
        }
        match text.chars().all(|c| kind.allows(c)) {
            true => Ok(Self(Zeroizing::new(text.to_owned()))),
            false => Err(InvalidSecret::Characters(kind)),
        }
    }

    /// The text. For whoever compares or sends it, not for whoever logs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(...)")
    }
}

impl SecretKind {
    const fn length(self) -> RangeInclusive<usize> {
        match self {
            Self::BearerToken => 16..=256,
            Self::Password => 1..=512,
        }
    }

    fn allows(self, c: char) -> bool {
        match self {
            Self::BearerToken => c.is_ascii_graphic(),
            Self::Password => !c.is_control(),
        }
    }
}

impl fmt::Display for SecretKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::BearerToken => "16 to 256 visible ASCII characters without spaces",
            Self::Password => "1 to 512 characters, none of them a control character",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_of_what_its_kind_allows() {
        use SecretKind::{BearerToken, Password};
        let (shortest, longest) = ("0123456789abcdef", "x".repeat(256));
        for (kind, text, secret) in [
            (BearerToken, shortest, shortest),
            (BearerToken, "0123456789abcdef\n", shortest),
            (BearerToken, "0123456789abcdef\r\n", shortest),
            (BearerToken, &longest, &longest),
            (Password, "x", "x"),
            (Password, "correct horse é", "correct horse é"),
        ] {
            assert_eq!(Secret::parse(text, kind).unwrap().expose(), secret, "{text:?}");
        }
        for (kind, text, found) in
            [(BearerToken, "0123456789abcde\n", 15), (BearerToken, &*"x".repeat(257), 257), (Password, "\n", 0)]
        {
            assert_eq!(Secret::parse(text, kind), Err(InvalidSecret::Length { found, kind }), "{text:?}");
        }
        for (kind, text) in [
            (BearerToken, "0123456789abcdef\n\n"),
            (BearerToken, "0123456789 abcdef"),
            (BearerToken, "0123456789abcdefé"),
            (BearerToken, " 0123456789abcdef"),
            (Password, "a\nb"),
        ] {
            assert_eq!(Secret::parse(text, kind), Err(InvalidSecret::Characters(kind)), "{text:?}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::parse("0123456789abcdef", SecretKind::BearerToken).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(...)");
        let error = Secret::parse("0123456789 abcdef", SecretKind::BearerToken).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("0123456789"));
    }
}
