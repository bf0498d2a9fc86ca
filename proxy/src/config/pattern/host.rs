//! One exact host: a name (RFC 1123 section 2.1, underscores let pass) or an IP address.
//!
//! Kept as a request names it once port, trailing dot and capitals are gone: `api.example.com`, `192.0.2.1`,
//! `[2001:db8::1]`.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use thiserror::Error;

/// The longest host name, in bytes (RFC 1035 section 2.3.4, less length bytes and root).
const MAX_NAME_BYTES: usize = 253;

/// The longest part of a host name between dots, in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// An exact host name or IP address: lower case, no port, no wildcard, no dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern(Box<str>);

/// The text is not one exact host.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidHost {
    /// Digits and dots, or brackets, that are not an address.
    #[error("{0:?} is not an IP address (192.0.2.1, [2001:db8::1])")]
    Address(String),
    /// Not a host name.
    #[error(
        "{0:?} is not a host name (letters, digits, hyphens and underscores in parts of at most 63 bytes, dots between \
         them, at most 253 bytes; letters of other scripts as xn--...)"
    )]
    Name(String),
    /// A port.
    #[error("{0:?} has a port (leave it out: a route matches its host on every port)")]
    Port(String),
    /// A wildcard.
    #[error("{0:?} has a wildcard (name one host for each route, or none for any host)")]
    Wildcard(String),
}

impl FromStr for HostPattern {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let found = || text.to_owned();
        if text.contains('*') {
            return Err(InvalidHost::Wildcard(found()));
        }
        if let Some(address) = ipv6(text) {
            return Ok(Self(["[", &address.to_string(), "]"].concat().into()));
        }
        if is_followed_by_port(text) {
            return Err(InvalidHost::Port(found()));
        }
        if is_like_ipv6(text) || (is_like_ipv4(text) && text.parse::<Ipv4Addr>().is_err()) {
            return Err(InvalidHost::Address(found()));
        }
        match text.len() <= MAX_NAME_BYTES && text.split('.').all(is_label) {
            true => Ok(Self(text.to_ascii_lowercase().into())),
            false => Err(InvalidHost::Name(found())),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl AsRef<str> for HostPattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// With brackets, as in a URL, or bare.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let inner = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    inner.unwrap_or(text).parse().ok()
}

fn is_followed_by_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        (host.ends_with(']') || !host.contains(':')) && port.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn is_like_ipv6(text: &str) -> bool {
    text.starts_with('[') || text.matches(':').count() > 1
}

/// Whether the last part is a number: then the whole is an IPv4 address or nothing (URL standard, "ends in a number").
fn is_like_ipv4(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_LABEL_BYTES).contains(&text.len())
        && text.bytes().all(is_allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_kept_in_one_form() {
        for (text, kept) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.COM", "api.example.com"),
            ("localhost", "localhost"),
            ("my_service", "my_service"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1.example", "1.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
            ("::1", "[::1]"),
        ] {
            let host: HostPattern = text.parse().unwrap();
            assert_eq!((host.as_ref(), host.to_string().as_str()), (kept, kept), "{text}");
        }
    }

    #[test]
    fn what_is_not_one_host_is_refused() {
        let name = InvalidHost::Name;
        for (text, error) in [
            ("", name as fn(String) -> InvalidHost),
            ("a..b", name),
            (".a", name),
            ("api.example.com.", name),
            ("-a.example", name),
            ("a-.example", name),
            ("a b", name),
            ("a/b", name),
            ("http://a.example", name),
            ("a.example:http", name),
            ("user@a.example", name),
            ("b\u{fc}cher.example", name),
            (&"a".repeat(64), name),
            (&["a"; 128].join("."), name),
            ("a.example:8080", InvalidHost::Port),
            ("a.example:", InvalidHost::Port),
            ("192.0.2.1:80", InvalidHost::Port),
            ("[::1]:80", InvalidHost::Port),
            ("*", InvalidHost::Wildcard),
            ("*.example.com", InvalidHost::Wildcard),
            ("[::1", InvalidHost::Address),
            ("[192.0.2.1]", InvalidHost::Address),
            ("fe80::1%eth0", InvalidHost::Address),
            ("1.2.3", InvalidHost::Address),
            ("256.0.0.1", InvalidHost::Address),
            ("127.0.0.01", InvalidHost::Address),
        ] {
            assert_eq!(text.parse::<HostPattern>(), Err(error(text.to_owned())), "{text}");
        }
    }
}
