//! Hot path: no lock, no I/O, no info log.
//!
//! WebSockets (RFC 6455): who may open one, and when it ends.
//!
//! - The request that opens one is a request like any other, and meets every rule that others meet.
//! - A browser sends cookies with it from any page, and no rule of CORS keeps that page from reading what comes back. So
//!   where a cookie may have brought the token, or a certificate says who calls, which browsers show to any page's request as
//!   well, the page must be of the same host or of an origin that `cors` names. A request without `Origin` is no page's.
//! - It ends when nothing was sent for a while, and when the token ends that it was opened with.

use std::time::Duration;

use cognigate_auth::{
    cache::VerifiedToken,
    clock::{Clock, UnixSeconds},
    token::{self, TokenSource, TokenSources},
};
use http::{
    HeaderValue, Method, Version,
    header::{CONNECTION, CONTENT_LENGTH, ORIGIN, TRANSFER_ENCODING, UPGRADE},
};
use pingora_http::RequestHeader;
use tokio::time::Instant;

use crate::{
    filter::{cors::Cors, forwarded::Arrival, hygiene},
    response::Refusal,
};

/// Whether a request asks for a WebSocket (RFC 6455 section 4.1), and for nothing else: with a body it would be two things at
/// once. That the answer agrees is for Pingora to check.
#[must_use]
pub fn is_asked_for(request: &RequestHeader) -> bool {
    let mut protocols = request.headers.get_all(UPGRADE).iter();
    let is_websocket = protocols.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    is_websocket
        && protocols.next().is_none()
        && request.version == Version::HTTP_11
        && request.method == Method::GET
        && !request.headers.contains_key(CONTENT_LENGTH)
        && !request.headers.contains_key(TRANSFER_ENCODING)
        && asks_to_upgrade(request)
}

fn asks_to_upgrade(request: &RequestHeader) -> bool {
    let fields = request.headers.get_all(CONNECTION).iter();
    let mut options = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Checks that no page of a stranger opens a WebSocket with its reader's cookie or certificate.
///
/// # Errors
///
/// [`Refusal::OriginNotAllowed`].
pub fn check_origin(
    request: &RequestHeader,
    arrival: Arrival,
    sources: &TokenSources,
    cors: Option<&Cors>,
) -> Result<(), Refusal> {
    let mut origins = request.headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    if !arrival.has_certificate && !has_token_cookie(request, sources) {
        return Ok(());
    }
    let is_own = is_of_host(origin, hygiene::host(request), arrival.is_encrypted);
    let is_known = is_own || cors.is_some_and(|cors| cors.names(origin));
    if is_known && origins.next().is_none() { Ok(()) } else { Err(Refusal::OriginNotAllowed) }
}

fn has_token_cookie(request: &RequestHeader, sources: &TokenSources) -> bool {
    let mut sources = sources.iter();
    sources.any(|source| match source {
        TokenSource::Cookie(cookie) => token::cookie_names(&request.headers).any(|name| name == cookie.as_bytes()),
        TokenSource::Header(_) => false,
    })
}

/// Whether the page comes from where the request goes. Who sits on the way can answer for any page of http, so that none is
/// of a host that is asked through TLS. Where TLS ends in front of this proxy, it does not know how the page came.
fn is_of_host(origin: &HeaderValue, host: Option<&str>, is_encrypted: bool) -> bool {
    let parts = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    parts.zip(host).is_some_and(|((scheme, authority), host)| {
        (!is_encrypted || scheme.eq_ignore_ascii_case("https")) && authority.eq_ignore_ascii_case(host)
    })
}

/// When the token ends that opens a WebSocket. Clocks of this kind count whole seconds, so it is less than one late.
#[must_use]
pub fn end_of(token: &VerifiedToken, clock: &dyn Clock) -> Option<Instant> {
    let identity = token.identity();
    let end: UnixSeconds = identity.expires_at().saturating_add(identity.pool().clock_skew.as_secs());
    // A token that outlives what clocks can add is forever.
    Instant::now().checked_add(Duration::from_secs(end.saturating_sub(clock.now())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        model::{AllowedOrigins, CorsConfig},
        pattern::MethodSet,
    };

    fn request(fields: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn cors(allow_origins: AllowedOrigins) -> Cors {
        let config = CorsConfig {
            allow_origins,
            allow_methods: MethodSet::any(),
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            allow_credentials: false,
            max_age: Duration::ZERO,
        };
        Cors::new(&config, &[], &[])
    }

    #[test]
    fn only_http_1_1_asks_for_a_websocket() {
        for (upgrade, expected) in
            [("websocket", true), ("WebSocket", true), ("h2c", false), ("websocket, h2c", false), ("", false)]
        {
            let asked = [("upgrade", upgrade), ("connection", "keep-alive, Upgrade")];
            assert_eq!(is_asked_for(&request(&asked)), expected, "{upgrade}");
        }
        let asked = [("upgrade", "websocket"), ("connection", "upgrade")];
        for more in [("content-length", "1"), ("transfer-encoding", "chunked"), ("upgrade", "websocket")] {
            assert!(!is_asked_for(&request(&[asked[0], asked[1], more])), "{more:?}");
        }
        let (mut post, mut h2) = (request(&asked), request(&asked));
        post.set_method(Method::POST);
        h2.set_version(Version::HTTP_2);
        for other in [post, h2, request(&asked[..1]), request(&[])] {
            assert!(!is_asked_for(&other), "{other:?}");
        }
    }

    #[test]
    fn a_strangers_page_cannot_use_its_readers_cookie() {
        const HOST: (&str, &str) = ("host", "api.example.com");
        const COOKIE: (&str, &str) = ("cookie", "x=1; session=a.b.c");
        let sources = TokenSources::new([
            TokenSource::Header(http::header::AUTHORIZATION),
            TokenSource::Cookie("session".into()),
        ]);
        let listed = cors(AllowedOrigins::Listed(vec!["https://app.example.com".parse().unwrap()]));
        let any = cors(AllowedOrigins::Any);
        let app = ("origin", "https://app.example.com");
        let own = ("origin", "https://api.example.com");
        for (fields, cors, is_allowed) in [
            (vec![HOST, COOKIE], None, true),
            (vec![HOST, COOKIE, own], None, true),
            (vec![HOST, COOKIE, app], None, false),
            (vec![HOST, COOKIE, app], Some(&listed), true),
            (vec![HOST, COOKIE, app], Some(&any), false),
            (vec![HOST, COOKIE, app, app], Some(&listed), false),
            (vec![HOST, COOKIE, ("origin", "null")], Some(&listed), false),
            (vec![HOST, COOKIE, ("origin", "https://evil.example")], Some(&listed), false),
            (vec![HOST, COOKIE, ("origin", "https://api.example.com:8443")], Some(&listed), false),
            (vec![HOST, ("cookie", "x=1"), ("origin", "https://evil.example")], Some(&listed), true),
            (vec![HOST, ("authorization", "Bearer a.b.c"), ("origin", "https://evil.example")], None, true),
        ] {
            let checked = check_origin(&request(&fields), Arrival::default(), &sources, cors);
            assert_eq!(checked.is_ok(), is_allowed, "{fields:?}");
        }
        let plain = ("origin", "http://api.example.com");
        let evil = ("origin", "https://evil.example");
        let plain_listed = cors(AllowedOrigins::Listed(vec!["http://api.example.com".parse().unwrap()]));
        for (fields, is_encrypted, has_certificate, cors, is_allowed) in [
            (vec![HOST, COOKIE, plain], false, false, None, true),
            (vec![HOST, COOKIE, plain], true, false, None, false),
            (vec![HOST, COOKIE, plain], true, false, Some(&plain_listed), true),
            (vec![HOST, COOKIE, own], true, false, None, true),
            (vec![HOST, evil], true, false, None, true),
            (vec![HOST, evil], true, true, None, false),
            (vec![HOST, own], true, true, None, true),
            (vec![HOST], true, true, None, true),
        ] {
            let arrival = Arrival { peer: None, is_encrypted, has_certificate };
            let checked = check_origin(&request(&fields), arrival, &sources, cors);
            assert_eq!(checked.is_ok(), is_allowed, "{fields:?} {arrival:?}");
        }
    }
}
