//! Hot path: no lock, no I/O, no info log.
//!
//! Requests that are nothing but a head.
//!
//! That a request is one of them is found out from its bytes, before anybody has parsed them. Whatever is not as most requests
//! are is none, whether it is allowed or not: it is parsed and judged where all others are.

use memchr::memchr_iter;

/// What comes after a request's target.
const VERSION: &[u8] = b" HTTP/1.1";

/// The fields with which a request is more than a head, or asks for more than a response, or is about the connection.
const FIELDS: [&[u8]; 12] = [
    b"connection",
    b"content-length",
    b"expect",
    b"http2-settings",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// Whether `bytes` are one request, all of it, that is nothing but a head: with a path for a target, without a body, and
/// without any field that is for this hop alone, but that the connection is kept.
pub(super) fn is_bare(bytes: &[u8]) -> bool {
    let Some(head) = bytes.strip_suffix(b"\r\n\r\n") else { return false };
    let mut start = 0;
    for end in memchr_iter(b'\n', head).chain([head.len() + 1]) {
        // Whether a line may end with a line feed alone is for others to judge.
        let Some(line) = bytes.get(start..end) else { return false };
        let Some(line) = line.strip_suffix(b"\r") else { return false };
        let is_usual = if start == 0 { is_usual_start(line) } else { is_usual_field(line) };
        if !is_usual {
            return false;
        }
        start = end + 1;
    }
    true
}

fn is_usual_start(line: &[u8]) -> bool {
    let Some(line) = line.strip_suffix(VERSION) else { return false };
    let Some(space) = line.iter().position(|byte| *byte == b' ') else { return false };
    let (method, target) = line.split_at(space);
    let is_method = !method.is_empty() && method.iter().all(u8::is_ascii_uppercase) && method != b"CONNECT";
    is_method && target.starts_with(b" /") && target.iter().skip(1).all(u8::is_ascii_graphic)
}

fn is_usual_field(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    let (name, value) = line.split_at(colon);
    // A line that is empty ends a head, one that begins with a space goes on with the one before, and a space before the colon
    // is one that some servers overlook.
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return false;
    }
    match FIELDS.iter().find(|field| name.eq_ignore_ascii_case(field)) {
        None => true,
        // All that is said of the connection is that it is kept, as it is anyway.
        Some(&b"connection") => {
            value.strip_prefix(b":").is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"keep-alive"))
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "GET /items/1?a=b HTTP/1.1\r\n";

    #[test]
    fn what_is_nothing_but_a_head_is_bare() {
        for fields in [
            "",
            "Host: edge\r\n",
            "host: edge\r\nauthorization: Bearer a.b.c\r\nUser-Agent: x\r\n",
            "Host: edge\r\nConnection: keep-alive\r\n",
            "Host: edge\r\nconnection:Keep-Alive \r\n",
            "Host: edge\r\nX-Empty:\r\n",
            "Host: edge\r\nTea: x\r\nContent-Type: text/plain\r\n",
        ] {
            assert!(is_bare(format!("{START}{fields}\r\n").as_bytes()), "{fields:?}");
        }
        for method in ["DELETE", "HEAD", "OPTIONS", "POST", "PROPFIND"] {
            assert!(is_bare(format!("{method} / HTTP/1.1\r\nHost: edge\r\n\r\n").as_bytes()), "{method}");
        }
    }

    #[test]
    fn whatever_asks_for_more_is_not() {
        for field in FIELDS.map(|name| String::from_utf8(name.to_vec()).unwrap()) {
            for value in ["close", "5", "keep-alive, x-y", "upgrade", "trailers", ""] {
                assert!(!is_bare(format!("{START}Host: a\r\n{field}: {value}\r\n\r\n").as_bytes()), "{field}: {value}");
                let loud = field.to_ascii_uppercase();
                assert!(!is_bare(format!("{START}{loud}:{value}\r\nHost: a\r\n\r\n").as_bytes()), "{loud}:{value}");
            }
        }
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_not() {
        for head in [
            "",
            "\r\n\r\n",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            "get / HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\tfolded: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nbody",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert!(!is_bare(head.as_bytes()), "{head:?}");
        }
    }

    /// A name that ends with a space is not the name without: it is not bare, and what parses it refuses it.
    #[test]
    fn a_space_before_the_colon_hides_nothing() {
        assert!(!is_bare(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n"));
    }
}
