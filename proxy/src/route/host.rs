//! Hot path: no lock, no I/O, no info log.
//!
//! The host that a request is for, in the form that routes name hosts in. Whether a request has exactly one is checked
//! elsewhere.

use std::{borrow::Cow, net::Ipv6Addr};

/// The host in `authority`, the value of `Host` or `:authority`: no port, no dot at the end, lower case, an IPv6 address
/// in its shortest form in brackets (RFC 9110 section 4.2.3, RFC 5952).
///
/// Allocates only for capitals and IPv6 addresses. What is no host comes back as it is, which no route names.
#[must_use]
pub fn normalized(authority: &str) -> Cow<'_, str> {
    if let Some(address) = ipv6(authority) {
        return Cow::Owned(["[", &address.to_string(), "]"].concat());
    }
    let host = without_port(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    }
}

fn ipv6(authority: &str) -> Option<Ipv6Addr> {
    let (address, port) = authority.strip_prefix('[')?.split_once(']')?;
    let is_end = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    if is_end { address.parse().ok() } else { None }
}

fn without_port(authority: &str) -> &str {
    match authority.split_once(':') {
        Some((host, port)) if is_port(port) => host,
        Some(_) | None => authority,
    }
}

/// Digits, or nothing at all (RFC 3986 section 3.2.3).
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pattern::HostPattern;

    #[test]
    fn a_host_has_one_form_however_it_is_written() {
        for (authority, host) in [
            ("api.example.com", "api.example.com"),
            ("api.example.com:8443", "api.example.com"),
            ("api.example.com:", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("api.example.com.:80", "api.example.com"),
            ("API.Example.COM.:80", "api.example.com"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]:8080", "[::1]"),
            ("[2001:DB8::A]", "[2001:db8::a]"),
        ] {
            assert_eq!(normalized(authority), host, "{authority}");
            let pattern: HostPattern = host.parse().unwrap();
            assert_eq!(pattern.as_ref(), host, "a route can name it");
        }
    }

    #[test]
    fn what_is_no_host_is_no_host_of_a_route() {
        for authority in ["", "a..", "a:b", "a:80:80", "::1", "[::1", "[::1]x", "[::1]:x", "[a]", "a b", "*"] {
            let host = normalized(authority);
            let named = host.parse::<HostPattern>().is_ok_and(|pattern| pattern.as_ref() == host);
            assert!(!named, "{authority} became {host}");
        }
    }

    #[test]
    fn a_host_in_lower_case_is_borrowed() {
        for authority in ["api.example.com", "api.example.com.:443", "192.0.2.1"] {
            assert!(matches!(normalized(authority), Cow::Borrowed(_)), "{authority}");
        }
    }
}
