//! The verified caller, and the claims that are passed on about it.
//!
//! A claim becomes a header value once, when the token is verified, so that passing it on costs a reference count. The
//! encoding keeps a claim from ending a header, adding one, or reading as two values:
//!
//! - a string is itself, a number or a boolean its JSON text, `null` and an absent claim no value at all
//! - the elements of a list are joined by commas; an object is compact JSON
//! - `%`, `,`, every byte that is not printable ASCII, and a space at either end are percent-encoded (RFC 3986 section
//!   2.1) within each element

use std::{fmt, sync::Arc};

use http::HeaderValue;
use serde::{
    Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use crate::{
    claims::{Caller, Claims, Lifetime},
    clock::UnixSeconds,
    policy::TokenUse,
    pool::UserPool,
    rejection::Rejection,
};

/// Who calls: read from a token whose signature and claims were checked.
#[derive(Clone, Debug)]
pub struct Identity {
    pool: Arc<UserPool>,
    token_use: TokenUse,
    sub: Box<str>,
    client_id: Box<str>,
    scope: Box<str>,
    groups: Box<[Box<str>]>,
    jti: Option<Box<str>>,
    origin_jti: Option<Box<str>>,
    lifetime: Lifetime,
    forwarded: Box<[Option<HeaderValue>]>,
}

impl Identity {
    pub(crate) fn new(
        pool: &Arc<UserPool>,
        caller: Caller<'_>,
        claims: &Claims<'_>,
        forwarded: ForwardedValues,
    ) -> Self {
        // What a trigger calls `scope` in an ID token was granted by nobody.
        let scope = match caller.token_use {
            TokenUse::Access => &*claims.scope,
            TokenUse::Id => "",
        };
        Self {
            pool: Arc::clone(pool),
            token_use: caller.token_use,
            sub: (*claims.sub).into(),
            client_id: caller.client_id.into(),
            scope: scope.into(),
            groups: claims.groups.0.as_slice().into(),
            jti: claims.jti.clone(),
            origin_jti: claims.origin_jti.clone(),
            lifetime: claims.lifetime(),
            forwarded,
        }
    }

    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller { token_use: self.token_use, client_id: &self.client_id }
    }

    /// The pool that vouches for the caller.
    #[must_use]
    pub fn pool(&self) -> &UserPool {
        &self.pool
    }

    /// The kind of token that was shown.
    #[must_use]
    pub const fn token_use(&self) -> TokenUse {
        self.token_use
    }

    /// `sub`: the user, or the client in a client credentials token.
    #[must_use]
    pub fn sub(&self) -> &str {
        &self.sub
    }

    /// The app client: `aud` of an ID token, `client_id` of an access token.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The scopes of an access token; an ID token has none.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scope.split(' ').filter(|scope| !scope.is_empty())
    }

    /// The groups that the user is in.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| &**group)
    }

    /// The id of the token, where revocation is enabled for the app client.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.jti.as_deref()
    }

    /// The id of the session, constant over refreshes.
    #[must_use]
    pub fn origin_jti(&self) -> Option<&str> {
        self.origin_jti.as_deref()
    }

    /// When the token was issued.
    #[must_use]
    pub const fn issued_at(&self) -> Option<UnixSeconds> {
        self.lifetime.issued_at
    }

    /// When the token dies.
    #[must_use]
    pub const fn expires_at(&self) -> UnixSeconds {
        self.lifetime.expires_at
    }

    pub(crate) const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// The values of the [`ForwardedClaims`], in their order; `None` where the token lacks the claim.
    #[must_use]
    pub fn forwarded(&self) -> &[Option<HeaderValue>] {
        &self.forwarded
    }

    /// The sizes of what it has on the heap, one for each allocation, for the cache's account.
    pub(crate) fn heap_blocks(&self) -> impl Iterator<Item = usize> {
        let texts =
            [Some(&self.sub), Some(&self.client_id), Some(&self.scope), self.jti.as_ref(), self.origin_jti.as_ref()];
        let texts = texts.into_iter().flatten().chain(&self.groups).map(|text| text.len());
        let values = self.forwarded.iter().flatten();
        let values = values.flat_map(|value| [value.len(), SHARED_VALUE_BYTES]);
        texts.chain(values).chain([size_of_val(&*self.groups), size_of_val(&*self.forwarded)])
    }
}

/// What a header value takes next to its text once it is shared between requests: a pointer, a capacity and a count.
const SHARED_VALUE_BYTES: usize = 3 * size_of::<usize>();

/// One value for each forwarded claim.
type ForwardedValues = Box<[Option<HeaderValue>]>;

/// The names of the claims that are passed on, each literal: `sub`, `cognito:groups`, `https://example.com/tenant`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardedClaims(Box<[Box<str>]>);

impl ForwardedClaims {
    /// Passes these claims on.
    #[must_use]
    pub fn new(names: impl Into<Box<[Box<str>]>>) -> Self {
        Self(names.into())
    }

    /// Reads the claims from the JSON text of a payload.
    ///
    /// # Errors
    ///
    /// [`Rejection::TokenMalformed`] if one of them appears twice.
    pub(crate) fn read(&self, payload: &str) -> Result<ForwardedValues, Rejection> {
        if self.0.is_empty() {
            return Ok(Box::default());
        }
        let mut deserializer = serde_json::Deserializer::from_str(payload);
        deserializer.deserialize_map(Wanted(&self.0)).map_err(|_| Rejection::TokenMalformed)
    }
}

struct Wanted<'n>(&'n [Box<str>]);

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = ForwardedValues;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut claims: A) -> Result<ForwardedValues, A::Error> {
        let mut seen: Vec<Option<Value>> = vec![None; self.0.len()];
        while let Some(name) = claims.next_key::<std::borrow::Cow<'de, str>>()? {
            let mut slots = self.0.iter().zip(&mut seen).filter(|(wanted, _)| ***wanted == *name).map(|(_, slot)| slot);
            let Some(slot) = slots.next() else {
                claims.next_value::<IgnoredAny>()?;
                continue;
            };
            if slot.is_some() {
                return Err(A::Error::custom("a claim that appears twice"));
            }
            let value = claims.next_value::<Value>()?;
            slots.for_each(|twin| *twin = Some(value.clone()));
            *slot = Some(value);
        }
        Ok(seen.iter().map(|value| value.as_ref().and_then(header_value)).collect())
    }
}

fn header_value(claim: &Value) -> Option<HeaderValue> {
    let mut text = match claim {
        Value::Null => return None,
        Value::Array(elements) => elements.iter().map(encoded).collect::<Vec<_>>().join(","),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::String(_) => encoded(claim),
    };
    // Kept as long as the token is remembered: no spare room, which the value would keep too.
    text.shrink_to_fit();
    HeaderValue::try_from(text).ok()
}

fn encoded(element: &Value) -> String {
    match element {
        Value::String(text) => percent_encoded(text),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => {
            percent_encoded(&element.to_string())
        }
    }
}

fn percent_encoded(text: &str) -> String {
    use fmt::Write as _;
    let last = text.len().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let is_edge_space = byte == b' ' && (at == 0 || at == last);
        if matches!(byte, b'%' | b',') || !matches!(byte, b' '..=b'~') || is_edge_space {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(name: &str, payload: &str) -> Result<Option<String>, Rejection> {
        let values = ForwardedClaims::new([name.into()]).read(payload)?;
        Ok(values.first().unwrap().as_ref().map(|value| value.to_str().unwrap().to_owned()))
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
    fn one_claim_may_be_forwarded_twice() {
        let values = ForwardedClaims::new(["sub".into(), "sub".into()]).read(r#"{"sub":"s"}"#).unwrap();
        assert!(values.iter().all(|value| value.as_ref().is_some_and(|value| value == "s")));
    }
}
