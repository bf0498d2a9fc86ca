//! What upstreams make of a path that passed: the strict and the lenient ones read the same.

use super::naive::{decoded, segments, without_parameters};

/// Checks that upstreams agree.
pub(super) fn assert_is_read_alike(path: &str) {
    let once = segments(path);
    let read = |segment: &String| String::from_utf8(decoded(segment.as_bytes())).expect("UTF-8");
    let whole: Vec<_> = once.iter().map(read).collect();
    let names: Vec<_> = whole.iter().map(|segment| without_parameters(segment).to_owned()).collect();
    let text = String::from_utf8(decoded(path.as_bytes())).expect("UTF-8");
    assert!(!text.bytes().any(|byte| byte.is_ascii_control()), "{text:?}");

    assert_eq!(resolved(path), once, "nothing is decoded, dots and slashes are tidied up");
    assert_eq!(resolved(&text), whole, "decoded first");
    assert_eq!(resolved(&text.replace('\\', "/")), whole, "and backslashes are slashes");
    assert_eq!(resolved(&stripped(&text)), names, "and parameters are dropped");
    assert_eq!(resolved(&stripped(path)).len(), once.len(), "parameters are dropped, nothing is decoded");

    let twice = String::from_utf8_lossy(&decoded(text.as_bytes())).replace('\\', "/");
    for (text, how) in [(twice.clone(), "whole"), (stripped(&twice), "less its parameters")] {
        assert!(resolved(&text).len() <= once.len(), "decoded twice, {how}: {text} has more segments");
        assert!(!text.split('/').any(|segment| matches!(segment, "." | "..")), "decoded twice, {how}: {text} has dots");
    }
}

/// A path without what follows a `;` in each segment.
fn stripped(path: &str) -> String {
    path.split('/').map(without_parameters).collect::<Vec<_>>().join("/")
}

/// The segments once slashes are merged and dot segments are resolved (RFC 3986 section 5.2.4).
fn resolved(path: &str) -> Vec<String> {
    let mut resolved = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(resolved.pop()),
            _ => resolved.push(segment.to_owned()),
        }
    }
    resolved
}
