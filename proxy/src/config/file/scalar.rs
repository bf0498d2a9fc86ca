//! Single values as written: text, numbers, truth, durations, sizes, words from a closed set.
//!
//! Each accepts one kind of YAML scalar: what YAML reads as a number is not text, and text is not a number. So a value
//! means the same to this parser, to an editor and to whoever generates the file.

use std::{fmt, marker::PhantomData, time::Duration};

use cognigate_auth::policy::TokenUseRule;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

use crate::config::model::Profile;

/// A value that the file gives as a single scalar.
#[derive(Clone, Copy, Default)]
pub(in crate::config) struct Scalar<T>(pub(in crate::config) T);

/// What can be read from a single scalar of some kinds, and not from those of the others.
pub(in crate::config) trait FromScalar: Sized {
    /// What is allowed, as it follows "expected".
    const EXPECTED: &'static str;

    /// From `true` or `false`.
    fn from_bool(_: bool) -> Option<Self> {
        None
    }

    /// From a whole number.
    fn from_number(_: u64) -> Option<Self> {
        None
    }

    /// From a number with a fraction or an exponent.
    fn from_float(_: f64) -> Option<Self> {
        None
    }

    /// From text.
    fn from_text(_: &str) -> Option<Self> {
        None
    }
}

impl<'de, T: FromScalar> Deserialize<'de> for Scalar<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor(PhantomData)).map(Self)
    }
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<T: FromScalar> Visitor<'_> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(T::EXPECTED)
    }

    fn visit_bool<E: Error>(self, found: bool) -> Result<T, E> {
        T::from_bool(found).ok_or_else(|| E::invalid_value(Unexpected::Bool(found), &self))
    }

    fn visit_u64<E: Error>(self, found: u64) -> Result<T, E> {
        T::from_number(found).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(found), &self))
    }

    fn visit_f64<E: Error>(self, found: f64) -> Result<T, E> {
        T::from_float(found).ok_or_else(|| E::invalid_value(Unexpected::Float(found), &self))
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<T, E> {
        T::from_text(found).ok_or_else(|| E::invalid_value(Unexpected::Str(found), &self))
    }
}

impl FromScalar for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_bool(found: bool) -> Option<Self> {
        Some(found)
    }
}

impl FromScalar for u64 {
    const EXPECTED: &'static str = "a whole number";

    fn from_number(found: u64) -> Option<Self> {
        Some(found)
    }
}

impl FromScalar for String {
    const EXPECTED: &'static str = "text (in quotes, if YAML takes it for something else)";

    fn from_text(found: &str) -> Option<Self> {
        Some(found.to_owned())
    }
}

impl FromScalar for Profile {
    const EXPECTED: &'static str = "`rfc6750`, `aws-rest` or `aws-http`";

    fn from_text(found: &str) -> Option<Self> {
        match found {
            "aws-http" => Some(Self::AwsHttp),
            "aws-rest" => Some(Self::AwsRest),
            "rfc6750" => Some(Self::Rfc6750),
            _ => None,
        }
    }
}

impl FromScalar for TokenUseRule {
    const EXPECTED: &'static str = "`id`, `access` or `any`";

    fn from_text(found: &str) -> Option<Self> {
        match found {
            "access" => Some(Self::Access),
            "any" => Some(Self::Any),
            "id" => Some(Self::Id),
            _ => None,
        }
    }
}

/// A duration: `250ms`, `30s`, `5m`, `24h`. Prints with the largest unit that leaves no rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(in crate::config) struct Period(pub(in crate::config) Duration);

impl Period {
    /// A year: far below what clocks can add.
    pub(in crate::config) const LONGEST: Self = Self::hours(8760);

    pub(in crate::config) const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    pub(in crate::config) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(in crate::config) const fn hours(hours: u64) -> Self {
        Self::seconds(hours * 60 * 60)
    }
}

impl FromScalar for Period {
    const EXPECTED: &'static str = "a duration: a whole number and ms, s, m or h (250ms, 30s, 5m, 24h), at most 8760h";

    fn from_text(found: &str) -> Option<Self> {
        let (number, unit) = quantity(found)?;
        let milliseconds = match unit {
            "ms" => number,
            "s" => number.checked_mul(1000)?,
            "m" => number.checked_mul(60 * 1000)?,
            "h" => number.checked_mul(60 * 60 * 1000)?,
            _ => return None,
        };
        Some(Self::milliseconds(milliseconds)).filter(|period| *period <= Self::LONGEST)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, milliseconds) = (self.0.as_secs(), self.0.as_millis());
        match (milliseconds % 1000, seconds % 60, seconds % (60 * 60)) {
            (1.., _, _) => write!(out, "{milliseconds}ms"),
            (0, 1.., _) => write!(out, "{seconds}s"),
            (0, 0, 1..) => write!(out, "{}m", seconds / 60),
            (0, 0, 0) if seconds == 0 => out.write_str("0s"),
            (0, 0, 0) => write!(out, "{}h", seconds / (60 * 60)),
        }
    }
}

/// A size in bytes: `512KiB`, `64MiB`, `1GiB`, or a plain number. Prints with the largest unit that leaves no rest.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(in crate::config) struct ByteSize(pub(in crate::config) u64);

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

impl ByteSize {
    pub(in crate::config) const fn kibibytes(kibibytes: u64) -> Self {
        Self(kibibytes * KIB)
    }

    pub(in crate::config) const fn mebibytes(mebibytes: u64) -> Self {
        Self(mebibytes * MIB)
    }

    pub(in crate::config) const fn gibibytes(gibibytes: u64) -> Self {
        Self(gibibytes * GIB)
    }
}

impl FromScalar for ByteSize {
    const EXPECTED: &'static str = "a size: a whole number of bytes, or with KiB, MiB or GiB (512KiB, 64MiB, 1GiB)";

    fn from_number(found: u64) -> Option<Self> {
        Some(Self(found))
    }

    fn from_text(found: &str) -> Option<Self> {
        let (number, unit) = quantity(found)?;
        let bytes = match unit {
            "KiB" => KIB,
            "MiB" => MIB,
            "GiB" => GIB,
            _ => return None,
        };
        number.checked_mul(bytes).map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => out.write_str("0"),
            bytes if bytes.is_multiple_of(GIB) => write!(out, "{}GiB", bytes / GIB),
            bytes if bytes.is_multiple_of(MIB) => write!(out, "{}MiB", bytes / MIB),
            bytes if bytes.is_multiple_of(KIB) => write!(out, "{}KiB", bytes / KIB),
            bytes => write!(out, "{bytes} bytes"),
        }
    }
}

/// `30s` as its digits' value and what follows them.
pub(super) fn quantity(text: &str) -> Option<(u64, &str)> {
    let (digits, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    Some((digits.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("007s", 7_000),
            ("8760h", 31_536_000_000),
        ] {
            assert_eq!(Period::from_text(text), Some(Period::milliseconds(milliseconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "5",
            "5 parsecs",
            "5 s",
            " 5s",
            "5s ",
            "+5s",
            "-5s",
            "1.5s",
            "1e3s",
            "5S",
            "5d",
            "1h30m",
            "5ms5",
            "٣s",
            "8761h",
            "18446744073709551615h",
            "18446744073709551616ms",
        ] {
            assert_eq!(Period::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_a_number_and_a_binary_unit() {
        for (text, bytes) in [("0KiB", 0), ("512KiB", 512 << 10), ("64MiB", 64 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(ByteSize::from_text(text), Some(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "64", "64MB", "64 MiB", "64mib", "64M", "-1KiB", "1.5GiB", "17179869184GiB"] {
            assert_eq!(ByteSize::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn quantities_print_as_they_are_written() {
        for text in ["0s", "250ms", "1500ms", "30s", "90s", "5m", "90m", "24h", "8760h"] {
            assert_eq!(Period::from_text(text).unwrap().to_string(), text);
        }
        for text in ["512KiB", "64MiB", "1GiB", "1025KiB"] {
            assert_eq!(ByteSize::from_text(text).unwrap().to_string(), text);
        }
        assert_eq!((ByteSize(0).to_string(), ByteSize(1025).to_string()), ("0".to_owned(), "1025 bytes".to_owned()));
    }
}
