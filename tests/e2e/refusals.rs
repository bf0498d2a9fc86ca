//! What a refused request gets: for each reason one status, one challenge and one body. It is counted once, and nothing of
//! it reaches the upstream.

use std::collections::{BTreeMap, BTreeSet};

use cognigate_auth::{policy::TokenUse, rejection::Rejection};
use e2e::{
    client::{Request, Response, get},
    edge::Edge,
    key_server::{KeyServer, document},
    pool::{KID, Pool, key, now, strangers_key},
    process::Directory,
    upstream::{Answer, REFUSING},
};
use serde_json::json;

use crate::{BINARY, edge};

/// A second pool, whose keys are nowhere.
const COLD: Pool = Pool::new("eu-west-1_Cold");

const USER_POOLS: &str = r#"
  main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS" }
  cold: { id: eu-west-1_Cold, client_ids: [$CLIENT], jwks_uri: "http://127.0.0.1:1/jwks.json" }"#;

const ROUTES: &str = r#"
  - { name: cold, match: { path: /cold }, auth: { user_pools: [cold] }, upstream: items }
  - { name: grouped, match: { path: /grouped }, auth: { user_pools: [main], groups_any: [readers] }, upstream: items }
  - { name: id, match: { path: /id }, auth: { user_pools: [main] }, upstream: items }
  - { name: open, match: { path: /open }, auth: none, upstream: items }
  - name: scoped
    match: { path: /scoped }
    auth: { user_pools: [main], scopes_any: [items/read, items/write] }
    upstream: items"#;

/// A session that was ended.
const REVOKED: &str = "5eed0002-4b5a-4978-8796-a5b4c3d2e1f0";

/// Every reason, with a route and a token that lead to it.
fn cases(pool: Pool) -> [(&'static str, &'static str, Option<String>); 17] {
    let id = |changes| Some(pool.id_token(&changes));
    let signed_by = |key| Some(pool.token(&key, TokenUse::Id, &json!({})));
    let access = || Some(pool.access_token(&json!({})));
    let unsigned = || key(KID).mint_raw(r#"{"kid":"key-1","alg":"none"}"#, "{}").ok();
    [
        ("ok", "id", id(json!({}))),
        ("open", "open", None),
        ("token_missing", "id", None),
        ("token_malformed", "id", Some("a.b".to_owned())),
        ("token_too_large", "id", Some("a".repeat(16 * 1024 + 1))),
        ("alg_not_allowed", "id", unsigned()),
        ("kid_unknown", "id", signed_by(key("key-2"))),
        ("signature_invalid", "id", signed_by(strangers_key(KID))),
        ("issuer_unknown", "id", Some(Pool::new("eu-west-1_Other").id_token(&json!({})))),
        ("token_expired", "id", id(json!({ "exp": now() - 1 }))),
        ("token_not_yet_valid", "id", id(json!({ "nbf": now() + 60 }))),
        ("token_revoked", "id", id(json!({ "origin_jti": REVOKED }))),
        ("token_use_mismatch", "id", access()),
        ("client_not_allowed", "id", id(json!({ "aud": "another" }))),
        ("scope_missing", "scoped", access()),
        ("group_missing", "grouped", id(json!({ "cognito:groups": ["writers"] }))),
        ("keys_unavailable", "cold", Some(COLD.id_token(&json!({})))),
    ]
}

/// Status, body and challenge of a refusal for this reason.
fn refusal(reason: &str) -> (u16, &'static str, Option<String>) {
    let challenge = |error: &str| {
        let error = format!(r#"Bearer realm="cognigate", error="{error}", error_description="{reason}""#);
        match reason {
            "scope_missing" => format!(r#"{error}, scope="items/read items/write""#),
            _ => error,
        }
    };
    match reason {
        "token_missing" => (401, "Unauthorized", Some(r#"Bearer realm="cognigate""#.to_owned())),
        "group_missing" | "scope_missing" => (403, "Forbidden", Some(challenge("insufficient_scope"))),
        "keys_unavailable" => (503, "Service Unavailable", None),
        _ => (401, "Unauthorized", Some(challenge("invalid_token"))),
    }
}

fn request(route: &str, token: Option<&str>) -> Request {
    let request = get(format!("/{route}"));
    match token {
        Some(token) => request.token(token),
        None => request,
    }
}

#[track_caller]
fn assert_made_here(response: &Response, status: u16, message: &str, case: &str) {
    let body = format!(r#"{{"message":"{message}"}}"#);
    assert_eq!((response.status, response.text()), (status, body.as_str()), "{case}");
    assert_eq!(response.header("content-type"), Some("application/json"), "{case}");
    assert_eq!(response.header("content-length"), Some(body.len().to_string().as_str()), "{case}");
}

#[test]
fn every_reason_has_one_answer_and_is_counted_once() {
    let directory = Directory::new();
    let revoked = directory.write("revoked.yaml", &format!("revocations: [{{ origin_jti: {REVOKED} }}]"));
    let revocation = format!("{{ file: {} }}", revoked.display());
    let sections = [("user_pools", USER_POOLS), ("routes", ROUTES), ("revocation", revocation.as_str())];
    let edge = Edge::launch(BINARY, KeyServer::start(document([&key(KID)])), &sections);
    edge.wait_keys();
    let cases = cases(edge.pool);
    for (reason, route, token) in &cases {
        let response = edge.ask(&request(route, token.as_deref()));
        let is_admitted = ["ok", "open"].contains(reason);
        if is_admitted {
            assert_eq!(response.status, 200, "{reason}");
        } else {
            let (status, message, challenge) = refusal(reason);
            assert_made_here(&response, status, message, reason);
            assert_eq!(response.header("www-authenticate"), challenge.as_deref(), "{reason}");
            assert_eq!(response.header("retry-after"), (status == 503).then_some("5"), "{reason}");
        }
        assert_eq!(edge.upstream.take_requests().len(), usize::from(is_admitted), "{reason}");
    }

    let metrics = edge.proxy.metrics();
    let decisions = metrics.series("cognigate_auth_decisions_total").filter(|(_, count)| *count > 0.0);
    let counted: BTreeMap<_, _> =
        decisions.map(|(labels, count)| ((labels["reason"].as_str(), labels["route"].as_str()), count)).collect();
    assert_eq!(counted, cases.iter().map(|(reason, route, _)| ((*reason, *route), 1.0)).collect());

    let log = edge.proxy.log();
    let mut tokens = cases.iter().filter_map(|(_, _, token)| token.as_deref());
    assert!(!tokens.any(|token| token.len() > "a.b".len() && log.contains(token)), "a token is in the log");
}

#[test]
fn the_cases_are_all_the_reasons_that_there_are() {
    let cases = cases(Pool::new("eu-west-1_AbC123xyz"));
    let tested: BTreeSet<_> = cases.iter().map(|(reason, ..)| *reason).collect();
    let known = Rejection::ALL.map(Rejection::reason);
    assert_eq!(tested, known.into_iter().chain(["ok", "open"]).collect());
}

#[test]
fn a_missing_group_is_told_with_the_scopes_that_the_route_asks_for() {
    let routes = r#"
  - match: { path: /strict }
    auth: { user_pools: [main], scopes_any: [items/read], groups_any: [readers] }
    upstream: items"#;
    let edge = edge(&[("routes", routes)]);
    let token = edge.pool.access_token(&json!({ "scope": "items/read" }));
    let response = edge.ask(&get("/strict").token(&token));
    assert_made_here(&response, 403, "Forbidden", "group_missing");
    let error = r#"error="insufficient_scope", error_description="group_missing", scope="items/read""#;
    let challenge = format!(r#"Bearer realm="cognigate", {error}"#);
    assert_eq!(response.header("www-authenticate"), Some(challenge.as_str()));
}

#[test]
fn what_no_token_can_mend_has_one_answer_each() {
    let upstreams = format!(
        r#"
  dead: {{ endpoints: ["{REFUSING}"] }}
  items: {{ endpoints: ["$UPSTREAM"], timeouts: {{ read: 250ms }} }}"#
    );
    let routes = r#"
  - { match: { path: /dead }, auth: none, upstream: dead }
  - { match: { path: /items }, auth: none, upstream: items }"#;
    let edge = edge(&[("upstreams", &upstreams), ("routes", routes)]);
    for (case, answer, path, status, message) in [
        ("no route", Answer::Echo, "/nowhere", 404, "Not Found"),
        ("ambiguous", Answer::Echo, "/items/../items", 400, "Bad Request"),
        ("upstream refuses", Answer::Echo, "/dead", 502, "Bad Gateway"),
        ("upstream breaks off", Answer::Close, "/items", 502, "Bad Gateway"),
        ("upstream makes no sense", Answer::Raw(b"SSH-2.0\r\n\r\n".to_vec()), "/items", 502, "Bad Gateway"),
        ("upstream takes too long", Answer::never(), "/items", 504, "Gateway Timeout"),
    ] {
        edge.upstream.answer(answer);
        let response = edge.ask(&get(path));
        assert_made_here(&response, status, message, case);
        assert_eq!(response.header("www-authenticate"), None, "{case}");
    }
}
