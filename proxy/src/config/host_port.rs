//! A host and a port as URLs write them: `items.svc:8080`, `10.0.0.1`, `[fd00::1]:80`.

use std::num::NonZeroU16;

use super::pattern::HostPattern;

/// The host, lower case and without a dot at its end, and the port where there is one. Nothing if it is anything else.
pub(super) fn host_port(text: &str) -> Option<(HostPattern, Option<NonZeroU16>)> {
    let (host, port) = match text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(number(port)?)),
        None => (text, None),
    };
    // Without brackets nobody could tell where an address ends.
    let is_bracketed = host.starts_with('[') || !host.contains(':');
    Some((host.parse().ok().filter(|_| is_bracketed)?, port))
}

/// Digits alone: a number may also be read from `+80`.
fn number(text: &str) -> Option<NonZeroU16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_a_port() {
        for (text, host, port) in [
            ("items.svc:8080", "items.svc", 8080),
            ("Items", "items", 0),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[FD00::1]:65535", "[fd00::1]", 65535),
            ("[::1]", "[::1]", 0),
        ] {
            let found = host_port(text).map(|(host, port)| (host.to_string(), port));
            assert_eq!(found, Some((host.to_owned(), NonZeroU16::new(port))), "{text}");
        }
        for text in [
            "", ":80", "a:", "a:0", "a:65536", "a:+80", "a:b", "a:80:80", "::1", "::1:80", "[::1", "a b:80", "a/b",
            "u@a:80", "-a:80", "a..b",
        ] {
            assert_eq!(host_port(text), None, "{text:?}");
        }
    }
}
