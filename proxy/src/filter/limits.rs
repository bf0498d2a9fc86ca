//! Hot path: no lock, no I/O, no info log.
//!
//! Refuses what is too large, before anyone looks at what it says.
//!
//! - the target, in bytes
//! - the fields: their number, and what they add up to, names, values and 4 bytes for each (`: ` and the end of the line)
//! - the body: what is declared, before anything is sent on, and what has come, for bodies that declare nothing
//!
//! The head of an HTTP/2 request was bounded before it got here, when it was decompressed.

use http::header::CONTENT_LENGTH;
use pingora_http::RequestHeader;

use crate::{config::model::LimitsConfig, response::Refusal};

/// What a field takes on the wire beside its name and value: `: ` and the end of the line.
const FIELD_OVERHEAD: usize = 4;

/// Checks the head of a request, and what it says about its body.
///
/// # Errors
///
/// [`Refusal::UriTooLong`], [`Refusal::HeadersTooMany`], [`Refusal::HeaderTooLarge`] or [`Refusal::BodyTooLarge`].
pub fn check(request: &RequestHeader, limits: &LimitsConfig) -> Result<(), Refusal> {
    if request.raw_path().len() > limits.request_uri_bytes {
        return Err(Refusal::UriTooLong);
    }
    if request.headers.len() > limits.request_headers {
        return Err(Refusal::HeadersTooMany);
    }
    let sizes = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
    if sizes.sum::<usize>() > limits.request_header_bytes {
        return Err(Refusal::HeaderTooLarge);
    }
    // What is no number is refused elsewhere; a number that no integer holds is too large for everybody.
    let declared = request.headers.get(CONTENT_LENGTH).filter(|value| value.as_bytes().iter().all(u8::is_ascii_digit));
    match declared.map(|value| value.to_str().ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)) {
        Some(length) => check_body(length, limits),
        None => Ok(()),
    }
}

/// Checks a body of which this many bytes are known to exist.
///
/// # Errors
///
/// [`Refusal::BodyTooLarge`].
pub fn check_body(length: u64, limits: &LimitsConfig) -> Result<(), Refusal> {
    match limits.request_body_bytes {
        Some(most) if length > most => Err(Refusal::BodyTooLarge),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(body: Option<u64>) -> LimitsConfig {
        LimitsConfig {
            request_header_bytes: 40,
            request_headers: 2,
            request_uri_bytes: 8,
            request_body_bytes: body,
            connections: 1,
            connections_per_ip: 0,
            header_read_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            websocket_idle_timeout: Duration::ZERO,
            failed_auth_per_ip: None,
            rate_limit_keys: 1024,
            requests_per_connection: 0,
            h2_streams: 1,
            h2_header_list_bytes: 0,
        }
    }

    fn verdict(target: &str, fields: &[(&'static str, &str)], body: Option<u64>) -> Option<&'static str> {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        check(&request, &limits(body)).err().map(Refusal::reason)
    }

    #[test]
    fn a_limit_is_the_most_that_passes() {
        let x = "x".repeat(32);
        for (target, fields, body, expected) in [
            ("/1234567", vec![], None, None),
            ("/12345678", vec![], None, Some("uri_too_long")),
            ("/12345?7", vec![], None, None),
            ("/123456?8", vec![], None, Some("uri_too_long")),
            ("/", vec![("a", ""), ("a", "")], None, None),
            ("/", vec![("a", ""), ("a", ""), ("b", "")], None, Some("headers_too_many")),
            ("/", vec![("name", &x)], None, None),
            ("/", vec![("names", &x)], None, Some("header_too_large")),
            ("/", vec![("content-length", "9")], Some(9), None),
            ("/", vec![("content-length", "10")], Some(9), Some("body_too_large")),
            ("/", vec![("content-length", "99999999999999999999")], Some(9), Some("body_too_large")),
            ("/", vec![("content-length", "10")], None, None),
            ("/", vec![("content-length", "+10")], Some(9), None),
        ] {
            assert_eq!(verdict(target, &fields, body), expected, "{target} {fields:?} {body:?}");
        }
    }

    #[test]
    fn what_has_come_is_counted_like_what_is_declared() {
        for (length, body, is_refused) in
            [(9, Some(9), false), (10, Some(9), true), (u64::MAX, None, false), (1, Some(0), true)]
        {
            assert_eq!(check_body(length, &limits(body)).is_err(), is_refused, "{length} {body:?}");
        }
    }
}
