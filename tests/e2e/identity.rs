//! What the upstream learns about the caller: what was verified, and nothing that the client made up.

use e2e::{
    client::{Request, get},
    upstream::Recorded,
};
use serde_json::json;

use crate::edge;

const IDENTITY: (&str, &str) =
    ("identity", r#"{ headers: { x-cognito-sub: sub, x-cognito-groups: "cognito:groups", x-cognito-email: email } }"#);

/// Ways to write `x-cognito-sub` that some server reads as just that.
const SPELLINGS: [&str; 8] = [
    "x-cognito-sub",
    "X-Cognito-Sub",
    "X-COGNITO-SUB",
    "x_cognito_sub",
    "X_COGNITO_SUB",
    "x-cognito_sub",
    "x.cognito.sub",
    "X!Cognito~Sub",
];

/// The values of every field that some server reads as `name`.
fn read_as<'r>(seen: &'r Recorded, name: &str) -> Vec<&'r str> {
    let is_alike = |field: &str| field.replace(|c: char| !c.is_alphanumeric(), "-").eq_ignore_ascii_case(name);
    seen.head.fields().filter(|(field, _)| is_alike(field)).map(|(_, value)| value).collect()
}

fn forged(request: Request) -> Request {
    SPELLINGS.iter().fold(request, |request, name| request.header(*name, "mallory"))
}

#[test]
fn headers_are_set_from_verified_claims() {
    let edge = edge(&[IDENTITY]);
    for (case, groups, email, expected_groups, expected_email) in [
        ("one of each", json!(["readers"]), json!("jane@example.com"), Some("readers"), Some("jane@example.com")),
        ("a list is joined by commas", json!(["a", "b", "c d"]), json!("j"), Some("a,b,c d"), Some("j")),
        ("an absent claim has no header", json!(null), json!(null), None, None),
        ("a comma is no separator", json!(["a,b", "c"]), json!("Doe, Jane"), Some("a%2Cb,c"), Some("Doe%2C Jane")),
        ("a percent sign is itself", json!(["100%"]), json!("%41"), Some("100%25"), Some("%2541")),
        ("a line ends no header", json!(["a\r\nx-admin: 1"]), json!("\n"), Some("a%0D%0Ax-admin: 1"), Some("%0A")),
        ("letters of all languages", json!(["Zoë"]), json!("名"), Some("Zo%C3%AB"), Some("%E5%90%8D")),
    ] {
        let claims = json!({ "sub": "jane", "cognito:groups": groups, "email": email });
        let response = edge.ask(&get("/items/1").token(&edge.pool.id_token(&claims)));
        assert_eq!(response.status, 200, "{case}");
        let seen = edge.upstream.take_request();
        assert_eq!(seen.header("x-cognito-sub"), Some("jane"), "{case}");
        assert_eq!(seen.header("x-cognito-groups"), expected_groups, "{case}");
        assert_eq!(seen.header("x-cognito-email"), expected_email, "{case}");
        assert_eq!(seen.header("x-admin"), None, "{case}");
    }
}

#[test]
fn a_cached_token_says_the_same_as_a_new_one() {
    let edge = edge(&[IDENTITY]);
    let request = get("/items/1").token(&edge.pool.id_token(&json!({ "sub": "jane", "cognito:groups": ["a", "b"] })));
    for _ in 0..3 {
        edge.ask(&request);
        let seen = edge.upstream.take_request();
        assert_eq!((seen.header("x-cognito-sub"), seen.header("x-cognito-groups")), (Some("jane"), Some("a,b")));
    }
}

#[test]
fn a_forged_header_is_removed_in_every_spelling() {
    let edge = edge(&[IDENTITY]);
    let token = edge.pool.id_token(&json!({ "sub": "jane" }));
    for (request, verified) in [(get("/items/1").token(&token), vec!["jane"]), (get("/open/1"), vec![])] {
        for name in SPELLINGS {
            edge.ask(&request.clone().header(name, "mallory"));
            assert_eq!(read_as(&edge.upstream.take_request(), "x-cognito-sub"), verified, "{name}");
        }
        edge.ask(&forged(request));
        assert_eq!(read_as(&edge.upstream.take_request(), "x-cognito-sub"), verified, "all of them");
    }
}

#[test]
fn a_forged_header_does_not_stand_in_for_an_absent_claim() {
    let edge = edge(&[IDENTITY]);
    let token = edge.pool.id_token(&json!({ "email": null }));
    edge.ask(
        &get("/items/1")
            .token(&token)
            .header("X-Cognito-Email", "mallory@example.com")
            .header("x_cognito_groups", "admins"),
    );
    let seen = edge.upstream.take_request();
    assert!(read_as(&seen, "x-cognito-email").is_empty());
    assert!(read_as(&seen, "x-cognito-groups").is_empty());
}

#[test]
fn a_client_cannot_have_our_headers_removed() {
    let edge = edge(&[IDENTITY]);
    let token = edge.pool.id_token(&json!({ "sub": "jane" }));
    for connection in ["x-cognito-sub", "close, X-Cognito-Sub", "keep-alive, x-cognito-sub, x-cognito-groups"] {
        edge.ask(&get("/items/1").token(&token).header("Connection", connection));
        assert_eq!(edge.upstream.take_request().header("x-cognito-sub"), Some("jane"), "{connection}");
    }
}

#[test]
fn other_headers_pass_as_they_are() {
    let edge = edge(&[IDENTITY]);
    edge.ask(&get("/open/1").header("X-Cognito-Sub2", "a").header("x_other", "b").header("X-Mixed-Case", "c"));
    let seen = edge.upstream.take_request();
    for (name, value) in [("X-Cognito-Sub2", "a"), ("x_other", "b"), ("X-Mixed-Case", "c")] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
}
