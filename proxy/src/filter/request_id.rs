//! Hot path: no lock, no I/O, no info log.
//!
//! `X-Request-Id`: one name for a request, upstream, in the response and in the log.
//!
//! A trusted proxy in front may have given one: it is kept if it is short and of characters that mean nothing to a log or a
//! shell. Everybody else gets a new one: an id that a stranger chooses could be another request's.
//!
//! New ids have the form of a random UUID (RFC 9562 section 5.4).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::RequestHeader;

use super::{hex, number::Numbers};
use crate::config::spelling::is_read_alike;

/// The field, as it is written.
pub const REQUEST_ID: &str = "X-Request-Id";

/// The longest id that is kept, in characters.
const MAX_KEPT_CHARS: usize = 128;

/// The length of a UUID as text.
const UUID_CHARS: usize = 36;

/// Where a UUID has hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Draws ids, and puts them where they belong.
#[derive(Debug)]
pub struct RequestIds {
    name: HeaderName,
    numbers: Numbers,
}

impl RequestIds {
    /// Ids that no other process draws, as far as chance goes.
    #[must_use]
    pub fn new() -> Self {
        Self { name: HeaderName::from_static("x-request-id"), numbers: Numbers::new() }
    }

    /// An id that was not drawn before.
    pub fn draw(&self) -> HeaderValue {
        // Version 4, variant 10.
        let number = self.numbers.draw_wide() & !(0xf << 76 | 0b11 << 62) | 4 << 76 | 0b10 << 62;
        let mut digits = hex::digits(number.to_be_bytes());
        let text: [u8; UUID_CHARS] = std::array::from_fn(|place| match HYPHENS.contains(&place) {
            true => b'-',
            false => digits.next().unwrap_or(b'0'),
        });
        // Of an owner, so that no clone allocates.
        HeaderValue::from_maybe_shared(Bytes::from_owner(text)).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }

    /// The id that a request came with, if it is one to keep.
    #[must_use]
    pub fn kept<'r>(&self, request: &'r RequestHeader) -> Option<&'r HeaderValue> {
        let mut fields = request.headers.get_all(&self.name).iter();
        let id = fields.next().filter(|_| fields.next().is_none())?;
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(byte);
        ((1..=MAX_KEPT_CHARS).contains(&id.len()) && id.as_bytes().iter().all(is_plain)).then_some(id)
    }

    /// Gives a request its id, and takes away every field that some server reads as one.
    pub fn apply(&self, fields: &mut HeaderMap, id: &HeaderValue) {
        let is_twin = |name: &&HeaderName| **name != self.name && is_read_alike(&self.name, name);
        while let Some(twin) = fields.keys().find(is_twin).cloned() {
            fields.remove(&twin);
        }
        fields.insert(&self.name, id.clone());
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_id_is_a_random_uuid_of_its_own() {
        let (one, other) = (RequestIds::new(), RequestIds::new());
        let drawn = |ids: &RequestIds| ids.draw().to_str().unwrap().to_owned();
        let ids: HashSet<_> = (0..10_000).flat_map(|_| [drawn(&one), drawn(&other)]).collect();
        assert_eq!(ids.len(), 20_000);
        for id in &ids {
            let parts: Vec<_> = id.split('-').collect();
            let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(parts.concat().bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{id}");
            assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{id}");
        }
        // Every other digit takes every value.
        let digits: HashSet<_> = ids.iter().flat_map(|id| id.char_indices()).collect();
        assert_eq!(digits.len(), 30 * 16 + 4 + 1 + 4);
    }

    #[test]
    fn an_id_is_kept_if_it_means_nothing_else() {
        let longest = "x".repeat(MAX_KEPT_CHARS);
        let too_long = format!("{longest}x");
        for (ids, expected) in [
            (vec!["7f0c-1"], Some("7f0c-1")),
            (vec!["Root=1-67891233-abcdef012345678912345678"], Some("Root=1-67891233-abcdef012345678912345678")),
            (vec![&longest], Some(&*longest)),
            (vec![&too_long], None),
            (vec![""], None),
            (vec![], None),
            (vec!["a", "a"], None),
            (vec!["a b"], None),
            (vec!["a\"b"], None),
            (vec!["a\tb"], None),
            (vec!["a,b"], None),
            (vec!["é"], None),
        ] {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            for id in &ids {
                request.append_header(REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap()).unwrap();
            }
            assert_eq!(RequestIds::new().kept(&request).map(|id| id.to_str().unwrap()), expected, "{ids:?}");
        }
    }

    #[test]
    fn no_other_spelling_reaches_the_upstream() {
        let mut fields = HeaderMap::new();
        for name in ["x-request-id", "X_Request_Id", "x-request_id", "x-request-ids"] {
            fields.append(name, HeaderValue::from_static("theirs"));
        }
        RequestIds::new().apply(&mut fields, &HeaderValue::from_static("ours"));
        let mut fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        fields.sort_unstable();
        assert_eq!(fields, [("x-request-id", "ours"), ("x-request-ids", "theirs")]);
    }
}
