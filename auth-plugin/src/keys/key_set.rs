//! The keys of one issuer as they were at one moment: immutable, replaced whole.
//!
//! A document with one odd key still yields the others. Two keys of one name and different material are both left out: no
//! one can say which is meant. A document without a usable key is refused, so that it never replaces a good set.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, de::Error as _};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    clock::UnixSeconds,
    json,
    keys::jwk::{Jwk, UnusableKey},
    signature::VerifyingKey,
};

#[derive(Deserialize)]
struct JwksDocument<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The keys of an issuer and when they were fetched.
#[derive(Debug)]
pub struct KeySet {
    keys: Box<[NamedKey]>,
    left_out: LeftOut,
    fetched_at: UnixSeconds,
}

#[derive(Clone, Debug)]
struct NamedKey {
    kid: Box<str>,
    key: Arc<VerifyingKey>,
}

/// Why a document yields no key set.
#[derive(Debug, Error)]
pub enum UnusableDocument {
    /// There is no key in it that can verify an RS256 signature.
    #[error("none of its {found} keys is usable")]
    NoUsableKey {
        /// How many keys it lists.
        found: usize,
    },
    /// It is not an object with a list `keys`.
    #[error("not a JWK Set")]
    Shape(#[source] serde_json::Error),
}

impl KeySet {
    /// Reads a JWK Set (RFC 7517 section 5). Keys that `previous` holds with the same name and material keep their
    /// identity, so that what was verified with them stays valid.
    ///
    /// # Errors
    ///
    /// [`UnusableDocument`].
    pub fn parse(document: &[u8], fetched_at: UnixSeconds, previous: Option<&Self>) -> Result<Self, UnusableDocument> {
        let JwksDocument { keys: members } = str::from_utf8(document)
            .map_err(serde_json::Error::custom)
            .and_then(json::object)
            .map_err(UnusableDocument::Shape)?;
        let (jwks, unusable): (Vec<_>, Vec<_>) = partition(members.iter().map(|member| Jwk::parse(member.get())));
        let (jwks, contradicted) = unambiguous(jwks);
        let left_out = LeftOut { unusable: unusable.len(), contradicted: contradicted.len() };
        // Once for each change, not once for each key or each fetch.
        if previous.map_or(LeftOut::default(), |previous| previous.left_out) != left_out {
            left_out.report(unusable.first(), contradicted.first().map(|kid| &**kid));
        }
        if jwks.is_empty() {
            return Err(UnusableDocument::NoUsableKey { found: members.len() });
        }
        let keys = jwks.into_iter().map(|jwk| NamedKey::new(jwk, previous)).collect();
        Ok(Self { keys, left_out, fetched_at })
    }

    /// The key of this name.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&Arc<VerifyingKey>> {
        self.keys.iter().find(|named| *named.kid == *kid).map(|named| &named.key)
    }

    /// Whether this very key is in the set: a key that came back with other material is another key.
    #[must_use]
    pub fn contains(&self, key: &Arc<VerifyingKey>) -> bool {
        self.keys.iter().any(|named| Arc::ptr_eq(&named.key, key))
    }

    /// The names of the keys that are not in `other`, or are other keys there.
    pub(crate) fn kids_beyond(&self, other: &Self) -> Vec<&str> {
        let beyond = self.keys.iter().filter(|named| !other.contains(&named.key));
        beyond.map(|named| &*named.kid).collect()
    }

    /// The same keys, as if they had been fetched then.
    pub(crate) fn redated(&self, fetched_at: UnixSeconds) -> Self {
        Self { keys: self.keys.clone(), left_out: self.left_out, fetched_at }
    }

    /// The names of the keys.
    pub fn kids(&self) -> impl ExactSizeIterator<Item = &str> {
        self.keys.iter().map(|named| &*named.kid)
    }

    /// When the document was fetched.
    #[must_use]
    pub const fn fetched_at(&self) -> UnixSeconds {
        self.fetched_at
    }
}

impl NamedKey {
    fn new(Jwk { kid, key }: Jwk, previous: Option<&KeySet>) -> Self {
        let known = previous.and_then(|set| set.find(&kid)).filter(|known| known.is_same_material(&key));
        let key = known.map_or_else(|| Arc::new(key), Arc::clone);
        Self { kid, key }
    }
}

/// How many members of a document are not in its set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LeftOut {
    unusable: usize,
    contradicted: usize,
}

impl LeftOut {
    fn report(self, error: Option<&UnusableKey>, kid: Option<&str>) {
        if let Some(error) = error {
            tracing::warn!(keys = self.unusable, first = %error, "keys of the JWKS document are left out");
        }
        if let Some(kid) = kid {
            tracing::error!(names = self.contradicted, first = kid, "different keys of one name are left out");
        }
    }
}

fn partition<T, E>(results: impl Iterator<Item = Result<T, E>>) -> (Vec<T>, Vec<E>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => good.push(value),
            Err(error) => bad.push(error),
        }
    }
    (good, bad)
}

/// The keys whose names stand for one key each, and the names that stand for several. A key that is listed twice counts
/// once.
fn unambiguous(jwks: Vec<Jwk>) -> (Vec<Jwk>, Vec<Box<str>>) {
    let mut by_kid: BTreeMap<Box<str>, Result<Jwk, Box<str>>> = BTreeMap::new();
    for jwk in jwks {
        let kid = jwk.kid.clone();
        let is_contradicted = match by_kid.get(&kid) {
            None => false,
            Some(Ok(known)) => !known.key.is_same_material(&jwk.key),
            Some(Err(_)) => true,
        };
        by_kid.insert(kid.clone(), if is_contradicted { Err(kid) } else { Ok(jwk) });
    }
    partition(by_kid.into_values())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    /// A key that parses; `fill` tells one from another.
    fn key(kid: &str, fill: u8) -> String {
        let n = URL_SAFE_NO_PAD.encode([fill | 0x81; 256]);
        format!(r#"{{"alg":"RS256","e":"AQAB","kid":"{kid}","kty":"RSA","n":"{n}","use":"sig"}}"#)
    }

    fn parse(keys: &[String], previous: Option<&KeySet>) -> Result<KeySet, UnusableDocument> {
        KeySet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes(), 7, previous)
    }

    #[test]
    fn an_odd_key_does_not_cost_the_set() {
        for odd in ["null", "5", r#""x""#, "[]", r#"{"kid":5}"#, r#"{"kid":"a","kty":"RSA","alg":5}"#] {
            let set = parse(&[odd.to_owned(), key("a", 1)], None).unwrap();
            assert_eq!(set.kids().collect::<Vec<_>>(), ["a"], "{odd}");
        }
    }

    #[test]
    fn a_document_without_a_usable_key_is_refused() {
        for document in [
            r#"{"keys":[]}"#,
            r#"{"keys":[null]}"#,
            "[]",
            "{}",
            "",
            "null",
            r#"{"keys":{}}"#,
            "{\"keys\":[]",
            "\"keys\"",
        ] {
            assert!(KeySet::parse(document.as_bytes(), 7, None).is_err(), "{document}");
        }
    }

    #[test]
    fn rfc7517_5_a_set_is_an_object_with_one_list_of_keys() {
        let key = key("a", 1);
        let whole = format!("\n {{\"other\":[],\"keys\":[{key}]}}\n");
        assert!(KeySet::parse(whole.as_bytes(), 7, None).is_ok());
        for bad in [
            format!("[[{key}]]"),
            format!(r#"{{"keys":[{key}],"keys":[{key}]}}"#),
            format!(r#"{{"keys":[{key}]}} x"#),
            format!("\u{feff}{whole}"),
        ] {
            assert!(KeySet::parse(bad.as_bytes(), 7, None).is_err(), "{bad}");
        }
        let not_utf8 = [br#"{"other":"#.as_slice(), b"\"\xff\"", format!(",\"keys\":[{key}]}}").as_bytes()].concat();
        assert!(KeySet::parse(&not_utf8, 7, None).is_err());
    }

    #[test]
    fn an_unusable_key_of_the_same_name_is_not_in_the_way() {
        for twin in [r#"{"kty":"oct","kid":"a","k":"AAAA"}"#.to_owned(), key("a", 4).replace("sig", "enc")] {
            let set = parse(&[twin.clone(), key("a", 2), twin], None).unwrap();
            assert_eq!(set.kids().collect::<Vec<_>>(), ["a"]);
        }
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let set = parse(&["5".to_owned(), key("a", 2), key("a", 4), key("b", 8), "null".to_owned()], None).unwrap();
        assert_eq!(set.left_out, LeftOut { unusable: 2, contradicted: 1 });
        assert_eq!(parse(&[key("b", 8)], Some(&set)).unwrap().left_out, LeftOut::default());
    }

    #[test]
    fn an_odd_document_is_reported_when_it_changes_and_not_once_for_each_key() {
        let log = Log::default();
        tracing::subscriber::with_default(log.clone(), || {
            let mut odd = vec!["null".to_owned(); 1_000];
            odd.extend([key("a", 2), key("a", 4), key("b", 2), key("b", 4), key("c", 8)]);
            let first = parse(&odd, None).unwrap();
            assert_eq!(log.lines(), 2, "one for what is unusable, one for what is contradicted");
            let second = parse(&odd, Some(&first)).unwrap();
            assert_eq!(log.lines(), 2, "nothing new");
            parse(&odd[1..], Some(&second)).unwrap();
            assert_eq!(log.lines(), 4, "one key fewer");
        });
    }

    /// Counts what is logged on its thread.
    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::atomic::AtomicUsize>);

    impl Log {
        fn lines(&self) -> usize {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    impl tracing::Subscriber for Log {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn one_name_for_two_keys_drops_both() {
        let set = parse(&[key("a", 2), key("a", 4), key("b", 8), key("a", 2)], None).unwrap();
        assert_eq!(set.kids().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_key_listed_twice_counts_once() {
        assert_eq!(parse(&[key("a", 2), key("a", 2)], None).unwrap().kids().len(), 1);
    }

    #[test]
    fn unchanged_keys_keep_their_identity() {
        let before = parse(&[key("same", 2), key("changed", 4)], None).unwrap();
        let after = parse(&[key("same", 2), key("changed", 8)], Some(&before)).unwrap();
        assert!(after.contains(before.find("same").unwrap()));
        assert!(!after.contains(before.find("changed").unwrap()));
    }
}
