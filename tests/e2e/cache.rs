//! Verified tokens are remembered, verdicts are not: a cached token gets the same answer as a new one.

use e2e::{client::get, pool::now, wait::eventually};
use serde_json::json;

use crate::{edge, reason};

#[test]
fn every_route_judges_a_cached_token_anew() {
    let routes = r#"
  - { match: { path: /any }, auth: { user_pools: [main], token: any }, upstream: items }
  - { match: { path: /id }, auth: { user_pools: [main] }, upstream: items }
  - { match: { path: /other }, auth: { user_pools: [other], token: any }, upstream: items }
  - { match: { path: /read }, auth: { user_pools: [main], scopes_any: [items/read] }, upstream: items }
  - { match: { path: /write }, auth: { user_pools: [main], scopes_any: [items/write] }, upstream: items }"#;
    let user_pools = r#"
  main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS" }
  other: { id: eu-west-1_Other, client_ids: [$CLIENT], jwks_uri: "$KEYS" }"#;
    let edge = edge(&[("user_pools", user_pools), ("routes", routes)]);
    let token = edge.pool.access_token(&json!({ "scope": "items/read" }));
    for round in 0..2 {
        for (path, expected) in [
            ("/write", Some("scope_missing")),
            ("/any", None),
            ("/id", Some("token_use_mismatch")),
            ("/other", Some("issuer_unknown")),
            ("/read", None),
        ] {
            assert_eq!(reason(&edge.ask(&get(path).token(&token))), expected, "{path} in round {round}");
        }
    }
    assert!(edge.proxy.metrics().sum("cognigate_token_cache_hits_total", &[]) >= 5.0);
}

#[test]
fn a_cached_token_dies_with_its_exp() {
    let edge = edge(&[]);
    let request = get("/items/1").token(&edge.pool.id_token(&json!({ "exp": now() + 2 })));
    assert_eq!(edge.ask(&request).status, 200);
    eventually("the end of the token", || (reason(&edge.ask(&request)) == Some("token_expired")).then_some(()));
    assert!(edge.proxy.metrics().sum("cognigate_token_cache_hits_total", &[]) >= 1.0);
}

#[test]
fn a_token_that_resembles_a_cached_one_is_another() {
    let edge = edge(&[]);
    let token = edge.pool.id_token(&json!({}));
    assert_eq!(edge.ask(&get("/items/1").token(&token)).status, 200);
    let other = edge.pool.id_token(&json!({ "sub": "other" }));
    let (body, signature) = token.rsplit_once('.').unwrap();
    let (other_body, _) = other.rsplit_once('.').unwrap();
    for (case, forged, expected) in [
        ("the signature of another", format!("{other_body}.{signature}"), "signature_invalid"),
        // 336 of 342 characters: whole groups of base64.
        ("cut", token.split_at(token.len() - 6).0.to_owned(), "signature_invalid"),
        ("no signature", format!("{body}."), "token_malformed"),
        ("padded", format!("{token}=="), "token_malformed"),
    ] {
        assert_eq!(reason(&edge.ask(&get("/items/1").token(&forged))), Some(expected), "{case}");
    }
}

#[test]
fn without_a_cache_nothing_is_remembered() {
    let edge = edge(&[("token_cache", "{ max_bytes: 0 }")]);
    let request = get("/items/1").token(&edge.pool.id_token(&json!({})));
    for _ in 0..3 {
        assert_eq!(edge.ask(&request).status, 200);
    }
    let metrics = edge.proxy.metrics();
    assert_eq!(metrics.sum("cognigate_token_cache_entries", &[]), 0.0);
    assert_eq!(metrics.sum("cognigate_auth_duration_seconds_count", &[("path", "verified")]), 3.0);
}
