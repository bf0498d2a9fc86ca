//! The claims that are passed on about a caller, as header values.
//!
//! A claim becomes a header value once, when the token is verified, so that passing it on costs a reference count. The
//! encoding keeps a claim from ending a header, adding one, or reading as two values:
//!
//! - a string is itself; a number, a boolean and an object are their JSON text, as it stands in the token; `null` and an
//!   absent claim are no value at all
//! - the elements of a list are joined by commas; a list in a list is its JSON text
//! - `%`, `,`, every byte that is not printable ASCII, and a space at either end are percent-encoded (RFC 3986 section
//!   2.1) within each element

use std::{fmt, ops::Range};

use bytes::Bytes;
use http::HeaderValue;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::{json::Kept, rejection::Rejection};

/// How many values lie next to what else is remembered of a token. More take a block of their own.
const USUAL_CLAIMS: usize = 2;

/// What a block of bytes takes next to its text once it is shared between requests: a pointer, a capacity and a count.
const SHARED_BYTES: usize = 3 * size_of::<usize>();

/// One value for each forwarded claim. The texts of all of them are in one block.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForwardedValues {
    values: SmallVec<[Option<HeaderValue>; USUAL_CLAIMS]>,
    text: Bytes,
}

impl ForwardedValues {
    /// The values that stand at these places of a text.
    fn new(text: String, places: impl IntoIterator<Item = Option<Range<usize>>>) -> Self {
        // Kept as long as the token is remembered: no spare room, which the values would keep too.
        let text = Bytes::from(text.into_boxed_str().into_boxed_bytes());
        let value = |place: Option<Range<usize>>| HeaderValue::from_maybe_shared(text.slice(place?)).ok();
        let mut values: SmallVec<_> = places.into_iter().map(value).collect();
        values.shrink_to_fit();
        Self { values, text }
    }

    pub(super) fn as_slice(&self) -> &[Option<HeaderValue>] {
        &self.values
    }

    /// Reads of each block that is read when the values are passed on.
    pub(super) fn touch(&self) -> impl Sized {
        let lengths: usize = self.values.iter().flatten().map(HeaderValue::len).sum();
        (self.text.is_unique(), self.text.first().copied(), lengths)
    }

    /// The sizes of what they have on the heap, one for each allocation.
    pub(super) fn heap_blocks(&self) -> [usize; 3] {
        let shared = if self.text.is_empty() { 0 } else { SHARED_BYTES };
        [
            self.text.len(),
            shared,
            if self.values.spilled() { size_of::<Option<HeaderValue>>() * self.values.capacity() } else { 0 },
        ]
    }
}

/// The names of the claims that are passed on, each literal: `sub`, `cognito:groups`, `https://example.com/tenant`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardedClaims(Box<[Box<str>]>);

impl ForwardedClaims {
    /// Passes these claims on.
    #[must_use]
    pub fn new(names: impl Into<Box<[Box<str>]>>) -> Self {
        Self(names.into())
    }

    /// What each of them is called, in their order.
    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.0
    }

    /// The header values of the claims that were kept under their names.
    ///
    /// # Errors
    ///
    /// [`Rejection::TokenMalformed`] if one of them appears twice.
    pub(crate) fn values(claims: &Kept<'_, '_>) -> Result<ForwardedValues, Rejection> {
        if claims.is_repeated() {
            return Err(Rejection::TokenMalformed);
        }
        let mut text = String::with_capacity(claims.texts().flatten().map(str::len).sum());
        let places: SmallVec<[_; USUAL_CLAIMS]> = claims.texts().map(|claim| add_value(claim?, &mut text)).collect();
        Ok(ForwardedValues::new(text, places))
    }
}

/// Adds what is passed on of a claim, and says where it is. The text of the claim is JSON already, or the token would not have
/// got this far: its first byte says what it is.
fn add_value(json: &str, text: &mut String) -> Option<Range<usize>> {
    let start = text.len();
    match json.as_bytes().first() {
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            for (place, element) in elements.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                encode(element.get(), text);
            }
        }
        Some(b'n') => return None,
        _ => encode(json, text),
    }
    Some(start..text.len())
}

/// Adds one element: a string as the text that it stands for, anything else as it stands.
fn encode(json: &str, out: &mut String) {
    let quoted = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match quoted {
        Some(text) if !text.contains('\\') => percent_encode(text, out),
        Some(_) => percent_encode(serde_json::from_str::<String>(json).as_deref().unwrap_or(json), out),
        None => percent_encode(json, out),
    }
}

fn percent_encode(text: &str, out: &mut String) {
    use fmt::Write as _;
    let last = text.len().saturating_sub(1);
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'%' | b',');
    if !text.starts_with(' ') && !text.ends_with(' ') && text.bytes().all(is_plain) {
        return out.push_str(text);
    }
    for (at, byte) in text.bytes().enumerate() {
        let is_edge_space = byte == b' ' && (at == 0 || at == last);
        if is_plain(byte) && !is_edge_space {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    fn read(names: &[Box<str>], payload: &str) -> Result<ForwardedValues, Rejection> {
        let (IgnoredAny, kept) = Kept::read(payload, names).map_err(|_| Rejection::TokenMalformed)?;
        ForwardedClaims::values(&kept)
    }

    fn forwarded(name: &str, payload: &str) -> Result<Option<String>, Rejection> {
        let values = read(&[name.into()], payload)?;
        Ok(values.as_slice().first().unwrap().as_ref().map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_claim_becomes_one_header_value() {
        for (claim, value) in [
            (r#""a b""#, Some("a b")),
            (r#"["a","b c"]"#, Some("a,b c")),
            (r#"["a,b","c%2C"]"#, Some("a%2Cb,c%252C")),
            (r#""Doe, Jane""#, Some("Doe%2C Jane")),
            (r#""a\r\nx-admin: 1""#, Some("a%0D%0Ax-admin: 1")),
            (r#""\u0000""#, Some("%00")),
            (r#""Zoë""#, Some("Zo%C3%AB")),
            (r#"" a ""#, Some("%20a%20")),
            ("true", Some("true")),
            ("17", Some("17")),
            ("null", None),
            (r#"{"k":["v"]}"#, Some(r#"{"k":["v"]}"#)),
            (r#""""#, Some("")),
        ] {
            let payload = format!(r#"{{"other":1,"custom:x":{claim}}}"#);
            assert_eq!(forwarded("custom:x", &payload).unwrap().as_deref(), value, "{claim}");
        }
    }

    #[test]
    fn an_absent_claim_has_no_value() {
        assert_eq!(forwarded("email", r#"{"sub":"s"}"#), Ok(None));
    }

    #[test]
    fn a_forwarded_claim_that_appears_twice_is_malformed() {
        assert_eq!(forwarded("email", r#"{"email":"a","email":"b"}"#), Err(Rejection::TokenMalformed));
    }

    #[test]
    fn the_account_is_of_every_block() {
        let payload = r#"{"a":"12","b":"345"}"#;
        let value = size_of::<Option<HeaderValue>>();
        for (names, blocks) in [
            (&[][..], [0, 0, 0]),
            (&["x"], [0, 0, 0]),
            (&["a", "b"], [5, SHARED_BYTES, 0]),
            (&["a", "b", "x", "y", "z"], [5, SHARED_BYTES, 5 * value]),
        ] {
            let names: Vec<_> = names.iter().copied().map(Box::from).collect();
            assert_eq!(read(&names, payload).unwrap().heap_blocks(), blocks, "{names:?}");
        }
    }

    #[test]
    fn one_claim_may_be_forwarded_twice() {
        let values = read(&["sub".into(), "sub".into()], r#"{"sub":"s"}"#).unwrap();
        assert!(values.as_slice().iter().all(|value| value.as_ref().is_some_and(|value| value == "s")));
    }
}
