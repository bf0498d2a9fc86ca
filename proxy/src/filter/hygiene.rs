//! Hot path: no lock, no I/O, no info log.
//!
//! Refuses requests that two readers could understand differently: what is decided on must be what the upstream reads.
//!
//! - the target is a path without tricks ([`crate::route::path`])
//! - exactly one `Host`, a host and at most a port (RFC 9112 section 3.2): a name that one reader cuts off where another
//!   does not would choose another route than the upstream serves; on HTTP/2 it is `:authority`, and a `Host` says the same
//!   (RFC 9113 section 8.3.1)
//! - one `Authorization` at most, on open routes too: nobody knows which of two an upstream believes
//! - one `Content-Length` at most, of digits alone, and no transfer coding but `chunked` (RFC 9112 section 6): where a body ends must not be
//!   a matter of opinion; on HTTP/2, where frames say it, no field of HTTP/1 that steers a connection (RFC 9113 section 8.2.2)

use std::net::Ipv6Addr;

use cognigate_auth::token::AmbiguousToken;
use http::{
    HeaderName, HeaderValue, Version,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE},
};
use pingora_http::RequestHeader;
use thiserror::Error;

use crate::route::path::{self, PathFault, RequestPath};

/// What makes a request ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// It is unclear where the body ends.
    #[error("ambiguous framing")]
    Framing,
    /// No host, an empty one, or several.
    #[error("no single host")]
    Host,
    /// The path could be read as another one.
    #[error("ambiguous path")]
    Path(#[from] PathFault),
    /// It is unclear who calls.
    #[error("ambiguous credentials")]
    Token(#[from] AmbiguousToken),
}

impl Fault {
    /// The words of [`reason`](Self::reason).
    pub const REASONS: [&str; 4] = ["framing_ambiguous", "host_ambiguous", "path_ambiguous", "token_ambiguous"];

    /// The stable word for this fault.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Framing => "framing_ambiguous",
            Self::Host => "host_ambiguous",
            Self::Path(fault) => fault.reason(),
            Self::Token(_) => "token_ambiguous",
        }
    }

    /// Whether the connection cannot be used any more, because nobody knows where the next request begins.
    #[must_use]
    pub const fn closes_connection(self) -> bool {
        match self {
            Self::Framing => true,
            Self::Host | Self::Path(_) | Self::Token(_) => false,
        }
    }
}

/// Where a request wants to go, free of ambiguity.
#[derive(Clone, Copy, Debug)]
pub struct Target<'r> {
    /// The host as the client wrote it, a port included.
    pub host: &'r str,
    /// The path.
    pub path: RequestPath<'r>,
}

/// Checks a request's head.
///
/// # Errors
///
/// The first [`Fault`].
pub fn check(request: &RequestHeader) -> Result<Target<'_>, Fault> {
    check_framing(request)?;
    if is_repeated(request, &AUTHORIZATION) {
        return Err(Fault::Token(AmbiguousToken));
    }
    if request.version == Version::HTTP_2 && !has_known_scheme(request) {
        return Err(Fault::Host);
    }
    let host = host(request).ok_or(Fault::Host)?;
    let path = path::check(request.raw_path())?;
    Ok(Target { host, path })
}

fn check_framing(request: &RequestHeader) -> Result<(), Fault> {
    if request.version == Version::HTTP_2 {
        let steers = |name: &HeaderName| request.headers.contains_key(name);
        if [TRANSFER_ENCODING, CONNECTION, UPGRADE].iter().any(steers) {
            return Err(Fault::Framing);
        }
    }
    let mut codings = request.headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked_at_most = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    let mut lengths = request.headers.get_all(CONTENT_LENGTH).iter();
    let is_length_at_most = match (lengths.next(), lengths.next()) {
        (None, _) => true,
        // A list of equal lengths is one length to some readers and none to others.
        (Some(length), None) => !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit),
        (Some(_), Some(_)) => false,
    };
    if is_chunked_at_most && is_length_at_most { Ok(()) } else { Err(Fault::Framing) }
}

fn is_repeated(request: &RequestHeader, name: &HeaderName) -> bool {
    request.headers.get_all(name).iter().nth(1).is_some()
}

/// The host that a request names, and a port where it names one; nothing, where that is not exactly one.
#[must_use]
pub fn host(request: &RequestHeader) -> Option<&str> {
    let mut fields = request.headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return None;
    }
    let host = match (request.uri.authority(), field.map(HeaderValue::to_str)) {
        (Some(authority), None) if request.version == Version::HTTP_2 => Some(authority.as_str()),
        (Some(authority), Some(Ok(field))) => Some(field).filter(|field| *field == authority.as_str()),
        (None, Some(Ok(field))) => Some(field),
        (None | Some(_), None | Some(Err(_))) => None,
    };
    host.filter(|host| is_authority(host))
}

/// Whether `:scheme` is one that this proxy speaks: a server that takes another for something special is not asked.
fn has_known_scheme(request: &RequestHeader) -> bool {
    request.uri.scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https"))
}

/// A name, an IPv4 address or an IPv6 address in brackets, then a port or nothing (RFC 9110 section 4.2). Names have
/// letters, digits, `-`, `.` and `_`: what else the RFC allows has no use but to be read in two ways.
fn is_authority(text: &str) -> bool {
    let (is_host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address.parse::<Ipv6Addr>().is_ok(), rest),
        None => {
            let (name, rest) = text.find(':').and_then(|colon| text.split_at_checked(colon)).unwrap_or((text, ""));
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            (!name.is_empty() && name.bytes().all(is_letter), rest)
        }
    };
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    is_host && is_port
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, fields: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    #[test]
    fn rfc9110_4_2_a_host_is_a_name_or_an_address_and_a_port() {
        for host in ["a", "api.example.com", "api.example.com:443", "a_b.", "127.0.0.1:80", "[::1]", "[::1]:80"] {
            assert!(check(&request("/", &[("host", host)])).is_ok(), "{host}");
        }
        for host in [
            "a:abc", "a,", "a/", "a:80:80", "a:+80", "a?x", "%61", "a b", "a@b", ":80", "a:", "a:65536", "[::1",
            "[::1]x", "[a]", "::1",
        ] {
            assert_eq!(
                check(&request("/", &[("host", host)])).err().map(Fault::reason),
                Some("host_ambiguous"),
                "{host}"
            );
        }
    }

    #[test]
    fn rfc9113_8_3_1_authority_and_host_are_one() {
        for (uri, fields, fault) in [
            ("https://a/", vec![], None),
            ("http://a:80/", vec![], None),
            ("https://a/", vec![("host", "a")], None),
            ("https://a/", vec![("host", "b")], Some("host_ambiguous")),
            ("https://a/", vec![("host", "a:443")], Some("host_ambiguous")),
            ("https://a/", vec![("host", "a"), ("host", "a")], Some("host_ambiguous")),
            ("https://u@a/", vec![], Some("host_ambiguous")),
            ("ftp://a/", vec![], Some("host_ambiguous")),
            ("/", vec![("host", "a")], None),
            ("/", vec![], Some("host_ambiguous")),
            ("https://a/x/../y", vec![], Some("path_ambiguous")),
            ("https://a//y", vec![], Some("path_ambiguous")),
            ("https://a/", vec![("connection", "close")], Some("framing_ambiguous")),
            ("https://a/", vec![("transfer-encoding", "chunked")], Some("framing_ambiguous")),
            ("https://a/", vec![("upgrade", "websocket")], Some("framing_ambiguous")),
        ] {
            let uri: http::Uri = uri.parse().unwrap();
            let mut request = request("/", &fields);
            request.set_version(Version::HTTP_2);
            request.set_uri(uri.clone());
            assert_eq!(check(&request).err().map(Fault::reason), fault, "{uri} {fields:?}");
        }
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        for (target, fields, fault) in [
            ("/", vec![], Some("host_ambiguous")),
            ("/", vec![("host", "")], Some("host_ambiguous")),
            ("/", vec![("host", "a"), ("host", "a")], Some("host_ambiguous")),
            ("/a/../b", vec![("host", "a")], Some("path_ambiguous")),
            ("http://a/b", vec![("host", "a")], Some("path_ambiguous")),
            ("*", vec![("host", "a")], Some("path_ambiguous")),
            ("/", vec![("host", "a"), ("content-length", "1"), ("content-length", "1")], Some("framing_ambiguous")),
            ("/", vec![("host", "a"), ("content-length", "1, 1")], Some("framing_ambiguous")),
            ("/", vec![("host", "a"), ("content-length", "+1")], Some("framing_ambiguous")),
            ("/", vec![("host", "a"), ("transfer-encoding", "gzip, chunked")], Some("framing_ambiguous")),
            (
                "/",
                vec![("host", "a"), ("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")],
                Some("framing_ambiguous"),
            ),
            ("/", vec![("host", "a"), ("transfer-encoding", "Chunked")], None),
            ("/", vec![("host", "a"), ("authorization", "a"), ("authorization", "a")], Some("token_ambiguous")),
            ("/a?b=../c", vec![("host", "a:80"), ("content-length", "1")], None),
        ] {
            assert_eq!(check(&request(target, &fields)).err().map(Fault::reason), fault, "{target} {fields:?}");
        }
    }
}
