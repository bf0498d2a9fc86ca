//! JSON from outside, read more strictly than serde does by itself.
//!
//! - An object is an object: a JSON array would also fill a struct, field by field.
//! - A member that may be absent is not `null` instead.
//!
//! That a member appears once is already the rule of every derived reader.

use serde::{Deserialize, Deserializer, de::Error as _};

/// What may stand before a value (RFC 8259 section 2).
const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

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

#[cfg(test)]
mod tests {
    use super::*;

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
