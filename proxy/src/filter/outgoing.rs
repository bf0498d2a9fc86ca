//! Hot path: no lock, no I/O, no info log.
//!
//! What changes when a request goes out in another version of HTTP than it came in, or in the same one, but to another
//! connection.
//!
//! Pingora removes what belongs to a connection from requests of HTTP/1; the rest is done here.

use http::{
    HeaderValue, Version,
    header::{COOKIE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION},
    request::Parts,
};
use pingora_core::{ErrorType, OrErr, Result};

/// Makes a request one of the version that it goes out in. `came` is the version that it came in.
///
/// # Errors
///
/// An internal error, if what was checked is no value of a field.
pub fn normalize(request: &mut Parts, came: Version) -> Result<()> {
    if came != Version::HTTP_2 {
        return Ok(());
    }
    request.headers.remove(PROXY_AUTHENTICATE);
    request.headers.remove(PROXY_AUTHORIZATION);
    if request.version == Version::HTTP_2 { name_host(request) } else { join_cookies(request) }
}

/// Keeps the host where a new path does not lose it; it becomes `:authority` again.
fn name_host(request: &mut Parts) -> Result<()> {
    if request.headers.contains_key(HOST) {
        return Ok(());
    }
    let Some(authority) = request.uri.authority() else { return Ok(()) };
    let host = HeaderValue::from_str(authority.as_str());
    request.headers.insert(HOST, host.or_err(ErrorType::InternalError, "a host that was checked")?);
    Ok(())
}

/// RFC 9113 section 8.2.3: HTTP/2 may send the cookies one by one, HTTP/1.1 must have them in one field.
fn join_cookies(request: &mut Parts) -> Result<()> {
    let fields: Vec<_> = request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if fields.len() < 2 {
        return Ok(());
    }
    let joined = HeaderValue::from_bytes(&fields.join(b"; ".as_slice()));
    request.headers.insert(COOKIE, joined.or_err(ErrorType::InternalError, "cookies that were fields")?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(came: Version, goes: Version, fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let (mut request, ()) = http::Request::new(()).into_parts();
        request.uri = "https://api.example.com/".parse().unwrap();
        for (name, value) in fields {
            request.headers.append(*name, HeaderValue::from_static(value));
        }
        request.version = goes;
        normalize(&mut request, came).unwrap();
        request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn rfc9113_8_2_3_cookies_are_one_field_for_http_1_1() {
        let crumbs = [("cookie", "a=1"), ("cookie", "b=2; c=3")];
        assert_eq!(normalized(Version::HTTP_2, Version::HTTP_11, &crumbs), ["cookie: a=1; b=2; c=3"]);
        assert_eq!(normalized(Version::HTTP_2, Version::HTTP_11, &crumbs[..1]), ["cookie: a=1"]);
        assert_eq!(normalized(Version::HTTP_11, Version::HTTP_11, &crumbs), ["cookie: a=1", "cookie: b=2; c=3"]);
    }

    #[test]
    fn what_is_for_this_proxy_goes_no_further() {
        let fields = [("proxy-authorization", "Basic eA=="), ("te", "trailers")];
        let expected = ["te: trailers", "host: api.example.com"];
        assert_eq!(normalized(Version::HTTP_2, Version::HTTP_2, &fields), expected);
    }
}
