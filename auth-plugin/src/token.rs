//! Hot path: no lock, no I/O, no info log.
//!
//! Where a token is read from, and its compact form.
//!
//! - A header's value is the bare token or `Bearer <token>`, the scheme in any letter case (RFC 6750 section 2.1,
//!   RFC 9110 section 11.1; the bare form is what API Gateway's Cognito authorizer takes). Another scheme is no token.
//! - A request that shows two different tokens is ambiguous: which of them the upstream would believe is not ours to
//!   guess. Two fields of one name are ambiguous even when they are the same.
//! - The compact form is three parts, none empty, between two dots (RFC 7515 section 3.1). Five parts are an encrypted
//!   token, such as Cognito's refresh tokens.
//!
//! Tokens are never read from the query. Nothing here decides whether a token is good.

use std::{fmt, sync::LazyLock};

use base64::{
    Engine,
    engine::{Simd, general_purpose::NO_PAD},
};
use http::{HeaderMap, HeaderName, HeaderValue, header::COOKIE};
use thiserror::Error;

use crate::{json, rejection::Rejection};

/// The longest token that is looked at, in bytes. Cognito's are near 1 KiB; 16 KiB leaves room for every custom attribute
/// that still fits through a load balancer, and bounds what a forged one costs.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The longest encoded JOSE header that is looked at, in bytes. Cognito's are 91.
const MAX_HEADER_SEGMENT_BYTES: usize = 1024;

/// Looks once at what the CPU can do. With AVX2 a usual token is decoded in a third of the time that it takes a byte at a
/// time (390 of 1,200 ns, with the allocations).
static BASE64URL: LazyLock<Simd> = LazyLock::new(|| Simd::url_safe(NO_PAD));

/// A place where a request may carry its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// The cookie of this name; names are compared byte for byte (RFC 6265 section 4.1.1).
    Cookie(Box<str>),
    /// The header field of this name.
    Header(HeaderName),
}

impl TokenSource {
    /// The token that this source carries, if it carries one.
    ///
    /// # Errors
    ///
    /// [`AmbiguousToken`] if it carries several.
    fn read<'r>(&self, headers: &'r HeaderMap) -> Result<Option<RawToken<'r>>, AmbiguousToken> {
        match self {
            Self::Cookie(name) => {
                sole_different(cookies(headers).filter(|(key, _)| *key == name.as_bytes()).map(value_of))
            }
            Self::Header(name) => {
                let mut values = headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (Some(_), Some(_)) => Err(AmbiguousToken),
                    (first, _) => Ok(first.and_then(|value| credentials(value.as_bytes()))),
                }
            }
        }
    }
}

/// The places where a request may carry its token. By default the `Authorization` header alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSources(Box<[TokenSource]>);

/// More than one token, and no way to know which of them counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the request carries more than one token")]
pub struct AmbiguousToken;

impl TokenSources {
    /// Reads from these places; where several carry the same token it counts once.
    #[must_use]
    pub fn new(sources: impl Into<Box<[TokenSource]>>) -> Self {
        Self(sources.into())
    }

    /// The places, as given.
    pub fn iter(&self) -> impl Iterator<Item = &TokenSource> {
        self.0.iter()
    }

    /// The one token of a request, or none.
    ///
    /// # Errors
    ///
    /// [`AmbiguousToken`] if two places carry different tokens, or one place carries several.
    pub fn read<'r>(&self, headers: &'r HeaderMap) -> Result<Option<RawToken<'r>>, AmbiguousToken> {
        let mut found = None;
        for source in &self.0 {
            match (found, source.read(headers)?) {
                (Some(one), Some(other)) if one != other => return Err(AmbiguousToken),
                (None, token) => found = token,
                (Some(_), _) => {}
            }
        }
        Ok(found)
    }
}

impl Default for TokenSources {
    fn default() -> Self {
        Self::new([TokenSource::Header(http::header::AUTHORIZATION)])
    }
}

/// A token as the request carries it: not checked in any way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawToken<'r>(&'r [u8]);

impl<'r> RawToken<'r> {
    /// Takes bytes that did not come out of a request header: a file, standard input.
    #[must_use]
    pub const fn new(bytes: &'r [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes of the token. They are a secret: whoever holds them is the caller.
    #[must_use]
    pub const fn as_bytes(self) -> &'r [u8] {
        self.0
    }
}

impl fmt::Debug for RawToken<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RawToken({} bytes)", self.0.len())
    }
}

/// What a header value offers as a token. `Bearer` with nothing behind it is an empty token, which is malformed.
fn credentials(value: &[u8]) -> Option<RawToken<'_>> {
    let value = value.trim_ascii();
    match memchr::memchr(b' ', value).and_then(|space| value.split_at_checked(space)) {
        Some((scheme, token)) if is_bearer(scheme) => Some(RawToken(token.trim_ascii_start())),
        Some(_) => None,
        None if value.is_empty() => None,
        None if is_bearer(value) => Some(RawToken(b"")),
        None => Some(RawToken(value)),
    }
}

/// Whether a header value offers a token, good or bad.
#[must_use]
pub fn is_credential(value: &HeaderValue) -> bool {
    credentials(value.as_bytes()).is_some()
}

/// The names of the request's cookies.
pub fn cookie_names(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    cookies(headers).map(|(name, _)| name)
}

fn is_bearer(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"bearer")
}

/// The `name=value` pairs of every `Cookie` field: HTTP/2 clients may split it (RFC 9113 section 8.2.3).
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        let (name, value) = pair.split_at_checked(equals)?;
        Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
    })
}

fn value_of<'r>((_, value): (&'r [u8], &'r [u8])) -> &'r [u8] {
    value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(value)
}

fn sole_different<'r>(mut values: impl Iterator<Item = &'r [u8]>) -> Result<Option<RawToken<'r>>, AmbiguousToken> {
    let first = values.next();
    match values.all(|value| Some(value) == first) {
        true => Ok(first.filter(|value| !value.is_empty()).map(RawToken)),
        false => Err(AmbiguousToken),
    }
}

/// A `Cookie` field without the cookies of these names; `None` if nothing else is in it.
///
/// For a proxy that keeps the token from the upstream. The other pairs stay as they were, in order.
#[must_use]
pub fn cookie_without(field: &HeaderValue, is_hidden: impl Fn(&[u8]) -> bool) -> Option<HeaderValue> {
    let is_kept = |pair: &&[u8]| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        !pair.trim_ascii().is_empty() && !is_hidden(name.trim_ascii())
    };
    let kept: Vec<_> = field.as_bytes().split(|byte| *byte == b';').filter(is_kept).map(<[u8]>::trim_ascii).collect();
    if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept.join(b"; ".as_slice())).ok() }
}

/// The three parts of a compact JWS, still encoded.
#[derive(Clone, Copy)]
pub(crate) struct CompactToken<'r> {
    header: &'r [u8],
    payload: &'r [u8],
    signature: &'r [u8],
    signing_input: &'r [u8],
}

impl<'r> CompactToken<'r> {
    /// Splits a token, without decoding anything.
    ///
    /// # Errors
    ///
    /// [`Rejection::TokenTooLarge`], [`Rejection::TokenMalformed`].
    pub(crate) fn parse(token: RawToken<'r>) -> Result<Self, Rejection> {
        let bytes = token.as_bytes();
        if bytes.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::TokenTooLarge);
        }
        let mut dots = memchr::memchr_iter(b'.', bytes);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Rejection::TokenMalformed);
        };
        let parts = (bytes.get(..first), bytes.get(first + 1..second), bytes.get(second + 1..), bytes.get(..second));
        match parts {
            (Some(header), Some(payload), Some(signature), Some(signing_input))
                if header.len() <= MAX_HEADER_SEGMENT_BYTES =>
            {
                Ok(Self { header, payload, signature, signing_input })
            }
            _ => Err(Rejection::TokenMalformed),
        }
    }

    /// The JSON text of the JOSE header.
    pub(crate) fn header_json(&self) -> Result<String, Rejection> {
        text(self.header)
    }

    /// The JSON text of the claims.
    pub(crate) fn payload_json(&self) -> Result<String, Rejection> {
        text(self.payload)
    }

    /// The bytes of the signature.
    pub(crate) fn signature(&self) -> Result<Vec<u8>, Rejection> {
        decode(self.signature)
    }

    /// What was signed: header, dot, payload (RFC 7515 section 5.2).
    pub(crate) const fn signing_input(&self) -> &'r [u8] {
        self.signing_input
    }
}

/// Canonical base64url without padding: one text for each value, so that nobody can restyle a token (RFC 7515 section 2).
pub(crate) fn decode(segment: &[u8]) -> Result<Vec<u8>, Rejection> {
    match BASE64URL.decode(segment) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => Err(Rejection::TokenMalformed),
    }
}

/// Unicode to its last escape, so that nobody who reads the token later sees another text (RFC 7519 section 7.2).
fn text(segment: &[u8]) -> Result<String, Rejection> {
    let text = String::from_utf8(decode(segment)?).map_err(|_| Rejection::TokenMalformed)?;
    if json::has_lone_surrogate(&text) { Err(Rejection::TokenMalformed) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn read(sources: &TokenSources, fields: &[(&'static str, &str)]) -> Result<Option<Vec<u8>>, AmbiguousToken> {
        Ok(sources.read(&headers(fields))?.map(|token| token.as_bytes().to_vec()))
    }

    #[test]
    fn rfc6750_2_1_scheme_and_bare_token() {
        let sources = TokenSources::default();
        for (value, token) in [
            ("Bearer a.b.c", Some("a.b.c")),
            ("bearer a.b.c", Some("a.b.c")),
            ("BEARER    a.b.c", Some("a.b.c")),
            ("a.b.c", Some("a.b.c")),
            ("Bearer", Some("")),
            ("Basic dXNlcjpwYXNz", None),
            ("", None),
        ] {
            let found = read(&sources, &[("authorization", value)]).unwrap();
            assert_eq!(found.as_deref(), token.map(str::as_bytes), "{value:?}");
        }
    }

    #[test]
    fn two_authorization_fields_are_ambiguous_even_when_equal() {
        let fields = [("authorization", "Bearer a.b.c"), ("authorization", "Bearer a.b.c")];
        assert_eq!(read(&TokenSources::default(), &fields), Err(AmbiguousToken));
    }

    #[test]
    fn several_sources_must_agree() {
        let sources = TokenSources::new([
            TokenSource::Header(http::header::AUTHORIZATION),
            TokenSource::Cookie("session".into()),
        ]);
        let cookie = |value: &'static str| ("cookie", value);
        let bearer = ("authorization", "Bearer a.b.c");
        for (case, fields, expected) in [
            ("cookie alone", vec![cookie("x=1; session=a.b.c; y=2")], Ok(Some(b"a.b.c".to_vec()))),
            ("quoted cookie", vec![cookie("session=\"a.b.c\"")], Ok(Some(b"a.b.c".to_vec()))),
            ("split cookie field", vec![cookie("x=1"), cookie("session=a.b.c")], Ok(Some(b"a.b.c".to_vec()))),
            ("other letter case", vec![cookie("Session=a.b.c")], Ok(None)),
            ("empty cookie", vec![cookie("session=")], Ok(None)),
            ("same in both", vec![bearer, cookie("session=a.b.c")], Ok(Some(b"a.b.c".to_vec()))),
            ("different", vec![bearer, cookie("session=d.e.f")], Err(AmbiguousToken)),
            ("cookie twice", vec![cookie("session=a.b.c; session=d.e.f")], Err(AmbiguousToken)),
        ] {
            assert_eq!(read(&sources, &fields), expected, "{case}");
        }
    }

    #[test]
    fn a_hidden_cookie_leaves_the_others_as_they_were() {
        for (field, left) in
            [("session=a.b.c", None), ("x=1; session=a.b.c;y=2=3", Some("x=1; y=2=3")), ("x=1; ;", Some("x=1"))]
        {
            let left = left.map(HeaderValue::from_static);
            assert_eq!(cookie_without(&HeaderValue::from_static(field), |name| name == b"session"), left, "{field}");
        }
    }

    #[test]
    fn rfc7515_3_1_three_parts() {
        for bad in ["", ".", "a", "a.b", "a.b.c.d.e", "a.b.c.d"] {
            assert_eq!(CompactToken::parse(RawToken(bad.as_bytes())).err(), Some(Rejection::TokenMalformed), "{bad:?}");
        }
        assert!(CompactToken::parse(RawToken(b"a.b.c")).is_ok());
    }

    #[test]
    fn a_token_over_the_limit_is_not_looked_at() {
        let long = vec![b'a'; MAX_TOKEN_BYTES + 1];
        assert_eq!(CompactToken::parse(RawToken(&long)).err(), Some(Rejection::TokenTooLarge));
    }

    #[test]
    fn rfc7515_2_canonical_base64url_only() {
        assert_eq!(decode(b"e30").unwrap(), b"{}");
        for (case, text) in [
            ("padding", "e30="),
            ("trailing bits", "e31"),
            ("standard alphabet", "+/+/"),
            ("white space", "e3 0"),
            ("empty", ""),
        ] {
            assert_eq!(decode(text.as_bytes()), Err(Rejection::TokenMalformed), "{case}");
        }
    }

    /// Long enough for whole vectors, and for each way in which a rest can be left over.
    #[test]
    fn rfc7515_2_every_byte_at_every_place_is_judged_as_one_at_a_time() {
        for length in (62..=68).chain(126..=132) {
            let good: Vec<u8> = b"AbYz09-_".iter().copied().cycle().take(length).collect();
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut segment = good.clone();
                    segment[place] = byte;
                    let expected = URL_SAFE_NO_PAD.decode(&segment).map_err(|_| Rejection::TokenMalformed);
                    assert_eq!(decode(&segment), expected, "{byte} at {place} of {length}");
                }
            }
        }
    }

    #[test]
    fn debug_prints_the_length_alone() {
        assert_eq!(format!("{:?}", RawToken(b"secret")), "RawToken(6 bytes)");
    }
}
