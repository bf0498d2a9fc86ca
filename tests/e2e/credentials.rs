//! Where a token is read from, and what of it the upstream sees.

use e2e::client::{Request, get};
use serde_json::json;

use crate::{edge, reason};

const HEADER_AND_COOKIE: &str = "[{ header: authorization }, { cookie: session }]";

fn authorized(value: impl Into<String>) -> Request {
    get("/items/1").header("Authorization", value)
}

fn with_cookie(value: impl Into<String>) -> Request {
    get("/items/1").header("Cookie", value)
}

#[test]
fn a_token_is_bare_or_bearer_in_any_letter_case() {
    let edge = edge(&[]);
    let token = edge.pool.id_token(&json!({}));
    for scheme in ["", "Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer   "] {
        let response = edge.ask(&authorized(format!("{scheme}{token}")));
        assert_eq!(response.status, 200, "{scheme:?}");
    }
}

#[test]
fn another_scheme_is_no_token() {
    let edge = edge(&[]);
    let token = edge.pool.id_token(&json!({}));
    for value in ["Basic dXNlcjpwYXNz".to_owned(), format!("Token {token}"), format!("Bearer, {token}"), String::new()]
    {
        let response = edge.ask(&authorized(&value));
        let challenge = response.header("www-authenticate");
        assert_eq!((response.status, challenge), (401, Some(r#"Bearer realm="cognigate""#)), "{value}");
    }
}

#[test]
fn bearer_without_a_token_is_malformed() {
    let edge = edge(&[]);
    assert_eq!(reason(&edge.ask(&authorized("Bearer"))), Some("token_malformed"));
}

#[test]
fn two_authorization_headers_are_refused_also_when_equal_and_on_open_routes() {
    let edge = edge(&[]);
    let bearer = format!("Bearer {}", edge.pool.id_token(&json!({})));
    for (case, path, second) in [
        ("equal", "/items/1", bearer.as_str()),
        ("no token", "/items/1", "Basic dXNlcjpwYXNz"),
        ("open route", "/open/1", "Bearer other"),
    ] {
        let response = edge.ask(&get(path).header("Authorization", &bearer).header("authorization", second));
        assert_eq!((response.status, response.text()), (400, r#"{"message":"Bad Request"}"#), "{case}");
    }
    assert!(edge.upstream.take_requests().is_empty());
}

#[test]
fn a_cookie_may_carry_the_token_where_the_configuration_says_so() {
    let edge = edge(&[("token", &format!("{{ sources: {HEADER_AND_COOKIE} }}"))]);
    let token = edge.pool.id_token(&json!({}));
    let other = edge.pool.id_token(&json!({ "sub": "other" }));
    for (case, request, status) in [
        ("alone", with_cookie(format!("session={token}")), 200),
        ("among others", with_cookie(format!("a=1; session={token}; b=2")), 200),
        ("under another name", with_cookie(format!("Session={token}")), 401),
        ("with the same token in the header", with_cookie(format!("session={token}")).token(&token), 200),
        ("with another token in the header", with_cookie(format!("session={token}")).token(&other), 400),
        ("twice and different", with_cookie(format!("session={token}; session={other}")), 400),
    ] {
        assert_eq!(edge.ask(&request).status, status, "{case}");
    }
}

#[test]
fn a_cookie_is_not_read_unless_the_configuration_says_so() {
    let edge = edge(&[]);
    let token = edge.pool.id_token(&json!({}));
    for name in ["session", "id_token", "authorization"] {
        assert_eq!(edge.ask(&with_cookie(format!("{name}={token}"))).status, 401, "{name}");
    }
}

#[test]
fn the_token_is_forwarded_as_it_came() {
    let edge = edge(&[("token", &format!("{{ sources: {HEADER_AND_COOKIE} }}"))]);
    let token = edge.pool.id_token(&json!({}));
    let cookie = format!("a=1;session={token};  b=2");
    let request = authorized(format!("bEARER  {token}")).header("Cookie", &cookie);
    assert_eq!(edge.ask(&request).status, 200);
    let seen = edge.upstream.take_request();
    assert_eq!(seen.header("authorization"), Some(format!("bEARER  {token}").as_str()));
    assert_eq!(seen.header("cookie"), Some(cookie.as_str()));
}

#[test]
fn a_token_that_is_not_forwarded_is_taken_out_alone() {
    let edge = edge(&[("token", &format!("{{ sources: {HEADER_AND_COOKIE}, forward: false }}"))]);
    let token = edge.pool.id_token(&json!({}));
    for (case, request, cookie) in [
        ("header", get("/items/1").token(&token), None),
        ("bare", authorized(&token), None),
        ("cookie alone", with_cookie(format!("session={token}")), None),
        ("cookie among others", with_cookie(format!("a=1; session={token}; b=2")), Some("a=1; b=2")),
        ("header and cookie", with_cookie(format!("session={token}; b=2")).token(&token), Some("b=2")),
        ("other cookies", with_cookie("a=1; b=2").token(&token), Some("a=1; b=2")),
    ] {
        assert_eq!(edge.ask(&request).status, 200, "{case}");
        let seen = edge.upstream.take_request();
        assert_eq!((seen.header("authorization"), seen.header("cookie")), (None, cookie), "{case}");
        assert!(!seen.head.as_str().contains(&token), "{case}");
    }
}
