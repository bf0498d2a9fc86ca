//! Hot path: no lock, no I/O, no info log.
//!
//! Path hygiene: what this proxy reads in a path is what any upstream behind it will read. A target that two servers could
//! take for two different resources is refused, never repaired: the bytes that are routed are the bytes that are sent on.
//!
//! - the target is a path, which begins with a slash, and perhaps a query: no absolute URL, no `*`
//! - no control byte, space, `#` or byte beyond ASCII anywhere, and no backslash in the path
//! - no empty segment, but one slash at the end is fine; no segment `.` or `..`, also with encoded dots, and also with
//!   parameters: there are servers that read `/..;x/` as `/../`
//! - every `%` is followed by two hexadecimal digits; none encodes a slash, a backslash or a control byte
//! - decoded segments are UTF-8: what is not has stood for a dot or a slash (`%c0%ae`) in lenient decoders
//! - decoded twice, a path has no more dots, slashes, backslashes or control bytes than decoded once: `%252e` and `%252f`
//!   harm only an upstream that decodes twice, but nobody needs them
//!
//! A query is not decoded, and a backslash in it is data. Nothing here is decoded for what is sent on, and case counts.

use std::borrow::Cow;

use thiserror::Error;

use crate::config::pattern::{RawSegments, raw_segments};

/// The path and query of a request: holding one proves that [`check`] let it pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPath<'a> {
    path: &'a str,
    query: Option<&'a str>,
}

/// Why a request target is refused. All count under one reason: see [`PathFault::reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathFault {
    /// `\` in the path.
    #[error("the path has a backslash")]
    Backslash,
    /// A `%` without two hexadecimal digits.
    #[error("the path has a % without two hexadecimal digits")]
    BadEncoding,
    /// A byte below 0x20, or 0x7f.
    #[error("the request target has a control byte")]
    ControlByte,
    /// `.` or `..`, however it is written.
    #[error("the path has a dot segment")]
    DotSegment,
    /// An encoded `%` which, decoded again, makes a dot, slash, backslash, semicolon or control byte.
    #[error("the path has a dot, slash, backslash, semicolon or control byte that is percent-encoded twice")]
    DoubleEncoding,
    /// Two slashes in a row, or nothing but parameters (`;x`) between two.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A control byte, percent-encoded.
    #[error("the path has a percent-encoded control byte")]
    EncodedControl,
    /// A slash or backslash, percent-encoded.
    #[error("the path has a percent-encoded slash or backslash")]
    EncodedSeparator,
    /// `#`.
    #[error("the request target has a fragment")]
    Fragment,
    /// An absolute URL, `*`, or something else that is no path.
    #[error("the request target does not begin with a slash")]
    NoLeadingSlash,
    /// A byte beyond ASCII that is not percent-encoded.
    #[error("the request target has a byte that is not ASCII")]
    NotAscii,
    /// Percent-encoded bytes that are not UTF-8.
    #[error("the path has percent-encoded bytes that are not UTF-8")]
    NotUtf8,
    /// A space.
    #[error("the request target has a space")]
    Space,
}

impl PathFault {
    /// The reason under which the request is counted: one for all faults.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        "path_ambiguous"
    }
}

impl<'a> RequestPath<'a> {
    /// The path as it came, still percent-encoded, without the query.
    #[must_use]
    pub const fn path(&self) -> &'a str {
        self.path
    }

    /// What follows the first `?`, as it came.
    #[must_use]
    pub const fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The segments as they came; none of them is empty.
    pub(super) fn segments(&self) -> RawSegments<'a> {
        raw_segments(self.path)
    }

    /// Whether a segment has a `;`, plain or encoded.
    pub(super) fn has_parameters(&self) -> bool {
        let is_semicolon = |after: &str| escape(after).is_some_and(|(byte, _)| byte == b';');
        self.path.contains(';') || self.path.split('%').skip(1).any(is_semicolon)
    }
}

/// Checks a request target, as it stands in the request line or in `:path`. Allocates only for segments with a `%`.
///
/// # Errors
///
/// [`PathFault`] if it breaks one of the rules above: the request is answered with 400.
pub fn check(target: &[u8]) -> Result<RequestPath<'_>, PathFault> {
    target.iter().try_for_each(|byte| check_byte(*byte))?;
    let target = str::from_utf8(target).map_err(|_| PathFault::NotAscii)?;
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    if !path.starts_with('/') {
        return Err(PathFault::NoLeadingSlash);
    }
    if path.contains('\\') {
        return Err(PathFault::Backslash);
    }
    raw_segments(path).try_for_each(check_segment)?;
    Ok(RequestPath { path, query })
}

/// The bytes of a segment without its percent-encoding. What is no encoding stays.
pub(super) fn decoded(segment: &str) -> Cow<'_, [u8]> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment.as_bytes());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('%') {
        let (byte, tail) = escape(after).unwrap_or((b'%', after));
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(byte);
        rest = tail;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Cow::Owned(bytes)
}

/// A decoded segment up to the first `;`: all of it that a server sees which takes the rest for parameters.
pub(super) fn without_parameters(segment: &[u8]) -> &[u8] {
    segment.split(|byte| *byte == b';').next().unwrap_or(segment)
}

const fn check_byte(byte: u8) -> Result<(), PathFault> {
    match byte {
        b' ' => Err(PathFault::Space),
        b'#' => Err(PathFault::Fragment),
        0x00..=0x1f | 0x7f => Err(PathFault::ControlByte),
        0x80..=0xff => Err(PathFault::NotAscii),
        _ => Ok(()),
    }
}

fn check_segment(segment: &str) -> Result<(), PathFault> {
    let bytes = decoded(segment);
    if let Cow::Owned(bytes) = &bytes {
        check_encoding(segment)?;
        let text = str::from_utf8(bytes).map_err(|_| PathFault::NotUtf8)?;
        check_second_encoding(text)?;
    }
    match without_parameters(&bytes) {
        b"" => Err(PathFault::EmptySegment),
        b"." | b".." => Err(PathFault::DotSegment),
        _ => Ok(()),
    }
}

fn check_encoding(segment: &str) -> Result<(), PathFault> {
    segment.split('%').skip(1).try_for_each(|after| match escape(after) {
        None => Err(PathFault::BadEncoding),
        Some((b'/' | b'\\', _)) => Err(PathFault::EncodedSeparator),
        Some((0x00..=0x1f | 0x7f, _)) => Err(PathFault::EncodedControl),
        Some(_) => Ok(()),
    })
}

/// Checks a segment that was decoded once.
fn check_second_encoding(segment: &str) -> Result<(), PathFault> {
    segment.split('%').skip(1).try_for_each(|after| match escape(after) {
        Some((b'.' | b'/' | b';' | b'\\' | 0x00..=0x1f | 0x7f, _)) => Err(PathFault::DoubleEncoding),
        Some(_) | None => Ok(()),
    })
}

/// What the two hexadecimal digits after a `%` stand for, and what follows them.
fn escape(after: &str) -> Option<(u8, &str)> {
    let (digits, tail) = after.split_at_checked(2)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None; // the parser of numbers takes a sign
    }
    let byte = u8::from_str_radix(digits, 16).ok()?;
    Some((byte, tail))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_unambiguous_target_falls_into_path_and_query() {
        for (target, path, query) in [
            ("/", "/", None),
            ("/?", "/", Some("")),
            ("/items/1", "/items/1", None),
            ("/items/", "/items/", None),
            ("/items?a=1?b=2", "/items", Some("a=1?b=2")),
            ("/items?a=/../..//%2e%2f%zz\\", "/items", Some("a=/../..//%2e%2f%zz\\")),
            ("/caf%C3%A9%20au%20lait", "/caf%C3%A9%20au%20lait", None),
            ("/.well-known/..a/a../.../a.b", "/.well-known/..a/a../.../a.b", None),
            ("/%2e%2e%2e/%2ea", "/%2e%2e%2e/%2ea", None),
            ("/a;v=1/b;", "/a;v=1/b;", None),
            ("/a;..", "/a;..", None),
            ("/%61dmin/%3Fa%23b%25", "/%61dmin/%3Fa%23b%25", None),
            ("/%2541/%25zz/100%25", "/%2541/%25zz/100%25", None),
            ("/~a!$&'()*+,=:@\"<>[]^`{|}", "/~a!$&'()*+,=:@\"<>[]^`{|}", None),
        ] {
            let checked = check(target.as_bytes()).unwrap();
            assert_eq!((checked.path(), checked.query()), (path, query), "{target}");
        }
    }

    #[test]
    fn an_ambiguous_target_is_refused() {
        for (fault, targets) in [
            (PathFault::NoLeadingSlash, "* admin ?a=1 a/b http://a.example/admin %2fadmin .."),
            (PathFault::Fragment, "/a#b # /a?b#c /#/../admin"),
            (PathFault::Backslash, "/a\\b /\\ /..\\admin /a\\?b"),
            (PathFault::EmptySegment, "// //a /a// /a//b /// //?a //a.example/ /;/a /a/;x/b /; /%3b/a /a/%3Bx"),
            (PathFault::DotSegment, "/. /.. /./ /../ /a/.. /a/./b /a/../b /..?a"),
            (PathFault::DotSegment, "/%2e /%2E/ /.%2e/a /%2e./a /%2e%2e/a /a/%2E%2e"),
            (PathFault::DotSegment, "/..;/a /..;x=y/a /.;/a /%2e%2e;/a /..%3b/a /..%3Bx/a"),
            (PathFault::BadEncoding, "/% /%2 /a% /%zz /%2%65 /%%32e /%+1 /%0x41 /%u002e /a%2/b"),
            (PathFault::EncodedSeparator, "/a%2fb /a%2F..%2Fb /%5c /a%5Cb /..%2f /%2f%2e%2e"),
            (PathFault::EncodedControl, "/%00 /a%0d%0ab /%1F /a%7f /admin%00.json /%09"),
            (PathFault::NotUtf8, "/%c0%ae /%c0%ae%c0%ae/a /%c0%af /%e0%80%ae /%ff /caf%E9 /%ed%a0%80"),
            (
                PathFault::DoubleEncoding,
                "/%252e%252e/a /a%252fb /a%255Cb /a%2500 /%25%32%65 /a%257f /%252E /..%253bx/a",
            ),
            (PathFault::NotAscii, "/caf\u{e9} /a?caf\u{e9} /\u{ff0f}admin /\u{202e}"),
        ] {
            for target in targets.split(' ') {
                assert_eq!(check(target.as_bytes()), Err(fault), "{target:?}");
            }
        }
        assert_eq!(check(b""), Err(PathFault::NoLeadingSlash));
    }

    #[test]
    fn a_byte_that_no_target_has_is_refused_in_path_and_query() {
        for byte in 0..=u8::MAX {
            let fault = match byte {
                b' ' => Err(PathFault::Space),
                b'#' => Err(PathFault::Fragment),
                _ if byte.is_ascii_control() => Err(PathFault::ControlByte),
                _ if !byte.is_ascii() => Err(PathFault::NotAscii),
                _ => Ok(()),
            };
            assert_eq!(check(&[b'/', b'?', byte]).map(drop), fault, "{byte:#04x} in the query");
            if fault.is_err() {
                assert_eq!(check(&[b'/', byte]).map(drop), fault, "{byte:#04x} in the path");
            }
        }
    }

    #[test]
    fn all_faults_count_under_one_reason() {
        assert_eq!((PathFault::Space.reason(), PathFault::DotSegment.reason()), ("path_ambiguous", "path_ambiguous"));
    }

    /// What the most lenient upstream makes of a path: everything decoded, parameters dropped, backslashes turned,
    /// slashes merged, dots resolved.
    fn lenient(path: &str) -> Vec<String> {
        let path = String::from_utf8_lossy(&decoded(path)).replace('\\', "/");
        let mut segments = Vec::new();
        for segment in path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                _ => segments.push(segment.to_owned()),
            }
        }
        segments
    }

    proptest! {
        #[test]
        fn a_path_that_passes_reads_the_same_upstream(target in "/([a/.;\\\\]|%2[ef5]|%5c|%3b|%25|%61|%c0|%ae|%00|[2-5ef]){0,8}") {
            if let Ok(checked) = check(target.as_bytes()) {
                let read = checked.segments().map(|segment| String::from_utf8(without_parameters(&decoded(segment)).into()).unwrap());
                let read: Vec<_> = read.collect();
                prop_assert_eq!(&read, &lenient(checked.path()));
                let twice = String::from_utf8(decoded(checked.path()).into_owned()).unwrap();
                prop_assert_eq!(read.len(), lenient(&twice).len(), "decoded twice");
            }
        }

        #[test]
        fn any_bytes_are_checked_without_a_panic(target in prop::collection::vec(any::<u8>(), 0..32)) {
            if let Ok(checked) = check(&target) {
                prop_assert!(target.starts_with(checked.path().as_bytes()));
            }
        }
    }
}
