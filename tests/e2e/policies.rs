//! What a route asks of a caller: pools, kinds of token, clients, scopes, groups.

use e2e::{
    client::get,
    edge::Edge,
    key_server::{KeyServer, document},
    pool::{KID, Pool, key, now},
};
use serde_json::{Value, json};

use crate::{edge, reason};

/// Each path gives each token this reason for refusing it; `None` admits it.
#[track_caller]
fn assert_reasons(edge: &Edge, cases: &[(&str, String, Option<&str>)]) {
    for (path, token, expected) in cases {
        let response = edge.ask(&get(*path).token(token));
        assert_eq!(reason(&response), *expected, "{path}");
        assert_eq!(response.status == 200, expected.is_none(), "{path}");
    }
}

#[test]
fn the_issuer_of_a_token_picks_one_of_the_pools_of_the_route() {
    let other = Pool::new("us-east-1_Other");
    let keys = KeyServer::start(document([&key(KID)]));
    let user_pools = format!(
        r#"
  main: {{ id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS" }}
  other: {{ id: {}, client_ids: [$CLIENT], jwks_uri: "{}" }}"#,
        other.id(),
        keys.uri()
    );
    let routes = r#"
  - { match: { path: /both }, auth: { user_pools: [main, other] }, upstream: items }
  - { match: { path: /main }, auth: { user_pools: [main] }, upstream: items }"#;
    let edge = edge(&[("user_pools", &user_pools), ("routes", routes)]);
    let token = |pool: Pool| pool.id_token(&json!({}));
    assert_reasons(
        &edge,
        &[
            ("/both", token(edge.pool), None),
            ("/both", token(other), None),
            ("/main", token(edge.pool), None),
            ("/main", token(other), Some("issuer_unknown")),
            ("/both", token(Pool::new("us-east-1_Third")), Some("issuer_unknown")),
        ],
    );
}

#[test]
fn a_route_takes_id_tokens_unless_it_asks_for_scopes_or_says_otherwise() {
    let routes = r#"
  - { match: { path: /unsaid }, auth: { user_pools: [main] }, upstream: items }
  - { match: { path: /id }, auth: { user_pools: [main], token: id }, upstream: items }
  - { match: { path: /access }, auth: { user_pools: [main], token: access }, upstream: items }
  - { match: { path: /any }, auth: { user_pools: [main], token: any }, upstream: items }
  - { match: { path: /scoped }, auth: { user_pools: [main], scopes_any: [items/read] }, upstream: items }"#;
    let edge = edge(&[("routes", routes)]);
    let id = || edge.pool.id_token(&json!({}));
    let access = || edge.pool.access_token(&json!({ "scope": "items/read" }));
    let mismatch = Some("token_use_mismatch");
    assert_reasons(
        &edge,
        &[
            ("/unsaid", id(), None),
            ("/unsaid", access(), mismatch),
            ("/id", id(), None),
            ("/id", access(), mismatch),
            ("/access", id(), mismatch),
            ("/access", access(), None),
            ("/any", id(), None),
            ("/any", access(), None),
            ("/scoped", id(), mismatch),
            ("/scoped", access(), None),
        ],
    );
}

#[test]
fn one_of_the_scopes_and_one_of_the_groups_is_enough() {
    let routes = r#"
  - { match: { path: /scoped }, auth: { user_pools: [main], scopes_any: [a/read, a/write] }, upstream: items }
  - { match: { path: /grouped }, auth: { user_pools: [main], groups_any: [readers, writers] }, upstream: items }"#;
    let edge = edge(&[("routes", routes)]);
    let scope = |scope: &str| edge.pool.access_token(&json!({ "scope": scope }));
    let groups = |groups: Value| edge.pool.id_token(&json!({ "cognito:groups": groups }));
    assert_reasons(
        &edge,
        &[
            ("/scoped", scope("a/write"), None),
            ("/scoped", scope("openid a/read email"), None),
            ("/scoped", scope("a/reader a A/READ"), Some("scope_missing")),
            ("/scoped", scope(""), Some("scope_missing")),
            ("/grouped", groups(json!(["others", "writers"])), None),
            ("/grouped", groups(json!("readers")), None),
            ("/grouped", groups(json!(["Readers", "readers,writers"])), Some("group_missing")),
            ("/grouped", groups(json!([])), Some("group_missing")),
            ("/grouped", groups(json!(null)), Some("group_missing")),
        ],
    );
}

#[test]
fn a_pool_may_take_any_client_and_allow_for_clocks_that_differ() {
    let user_pools = r#"{ main: { id: $POOL, any_client: true, clock_skew: 60s, jwks_uri: "$KEYS" } }"#;
    let edge = edge(&[("user_pools", user_pools)]);
    let token = |changes| edge.pool.id_token(&changes);
    assert_reasons(
        &edge,
        &[
            ("/items/1", token(json!({ "aud": "another" })), None),
            ("/items/1", token(json!({ "iat": now() - 3600, "exp": now() - 30 })), None),
            ("/items/1", token(json!({ "iat": now() - 3600, "exp": now() - 61 })), Some("token_expired")),
            ("/items/1", token(json!({ "nbf": now() + 30 })), None),
            ("/items/1", token(json!({ "nbf": now() + 90 })), Some("token_not_yet_valid")),
        ],
    );
}
