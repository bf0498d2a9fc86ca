//! JSON from outside, read more strictly than serde does by itself.
//!
//! - An object is an object: a JSON array would also fill a struct, field by field.
//! - A member that may be absent is not `null` instead.
//!
//! That a member appears once is already the rule of every derived reader.

mod kept;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::Error as _};

pub(crate) use self::kept::Kept;

/// What may stand before a value (RFC 8259 section 2).
const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// A string, borrowed where nothing in it is escaped. Alone: serde copies a `Cow` that is not the field itself.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Reads the text of one JSON object.
///
/// # Errors
///
/// The text is not JSON, not an object, or not of this shape.
pub(crate) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    if text.trim_start_matches(WHITE_SPACE).starts_with('{') {
        serde_json::from_str(text)
    } else {
        Err(serde_json::Error::custom("not an object"))
    }
}

/// Reads a member that may be absent but, if it is there, has its type.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Whether half a surrogate pair is escaped somewhere (RFC 8259 section 8.2): no Unicode text, which serde notices only
/// in strings that it is asked for.
pub(crate) fn has_lone_surrogate(text: &str) -> bool {
    let mut rest = text.as_bytes();
    let mut is_high_before = false;
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        let escape = rest.get(backslash + 1..).unwrap_or_default();
        let unit = code_unit(escape);
        let is_low = unit.is_some_and(|unit| (0xdc00..0xe000).contains(&unit));
        let is_pair = is_high_before && is_low && backslash == 0;
        if (is_high_before || is_low) && !is_pair {
            return true;
        }
        is_high_before = unit.is_some_and(|unit| (0xd800..0xdc00).contains(&unit));
        rest = escape.get(if unit.is_some() { 5 } else { 1 }..).unwrap_or_default();
    }
    is_high_before
}

/// The code unit of `uXXXX`.
fn code_unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(b"u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8259_8_2_half_a_surrogate_pair_is_no_text() {
        for (text, is_lone) in [
            (r#"{"a":"b\/c"}"#, false),
            (r#"{"a":"\ud83d\ude00"}"#, false),
            (r#"{"a":"\uD83D\uDE00\uD83D\uDE00"}"#, false),
            (r#"{"a":"\\ud83d"}"#, false),
            (r#"{"a":"\ud83d"}"#, true),
            (r#"{"a":"\ude00"}"#, true),
            (r#"{"a":"\ud83dx\ude00"}"#, true),
            (r#"{"a":"\ud83d\n"}"#, true),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, true),
            (r#"{"a":"\ud83d\ude00\ude00"}"#, true),
            (r#"{"a":"\ude00\ud83d"}"#, true),
        ] {
            assert_eq!(has_lone_surrogate(text), is_lone, "{text}");
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Sample {
        a: u8,
        #[serde(default, deserialize_with = "present")]
        b: Option<u8>,
    }

    #[test]
    fn an_object_is_read() {
        for (text, b) in [(r#"{"a":1}"#, None), (" \t\r\n{\"a\":1,\"b\":2,\"c\":[]} ", Some(2))] {
            assert_eq!(object::<Sample>(text).unwrap(), Sample { a: 1, b }, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            " ",
            "null",
            "[1,2]",
            " [1]",
            r#"{"a":1,"b":null}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1} x"#,
            "\u{feff}{\"a\":1}",
        ] {
            assert!(object::<Sample>(text).is_err(), "{text}");
        }
    }
}
