//! Keys come and go at the user pool, and key servers have bad days: what that means for tokens.

use std::time::Duration;

use cognigate_auth::policy::TokenUse;
use e2e::{
    client::{Request, get},
    edge::Edge,
    pool::{KID, key, strangers_key},
    upstream::Answer,
    wait::eventually,
};
use serde_json::json;

use crate::{edge, reason};

/// The shortest time between two fetches that can be configured.
const USER_POOLS: (&str, &str) = (
    "user_pools",
    r#"{ main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS", jwks: { refresh: 1s, timeout: 1s } } }"#,
);

/// That time, as short as its spread by a fifth can make it.
const SHORTEST_WAIT: Duration = Duration::from_millis(800);

/// A request with a token that the key of this name signed.
fn signed_by(edge: &Edge, kid: &str) -> Request {
    get("/items/1").token(&edge.pool.token(&key(kid), TokenUse::Id, &json!({})))
}

#[track_caller]
fn await_reason(edge: &Edge, request: &Request, expected: &str) {
    eventually(expected, || (reason(&edge.ask(request)) == Some(expected)).then_some(()));
}

#[test]
fn a_new_key_counts_after_a_refresh() {
    let edge = edge(&[USER_POOLS]);
    let (old, new) = (signed_by(&edge, KID), signed_by(&edge, "key-2"));
    assert_eq!(reason(&edge.ask(&new)), Some("kid_unknown"));
    edge.keys.publish([&key(KID), &key("key-2")]);
    eventually("the new key", || (edge.ask(&new).status == 200).then_some(()));
    assert_eq!(edge.ask(&old).status, 200);
}

#[test]
fn a_withdrawn_key_takes_its_cached_tokens_along() {
    let edge = edge(&[USER_POOLS]);
    let request = signed_by(&edge, KID);
    assert_eq!([edge.ask(&request).status, edge.ask(&request).status], [200, 200]);
    assert_eq!(edge.proxy.metrics().sum("cognigate_token_cache_hits_total", &[]), 1.0);
    edge.keys.publish([&key("key-2")]);
    await_reason(&edge, &request, "kid_unknown");
}

#[test]
fn a_key_that_comes_back_with_other_material_is_another_key() {
    let edge = edge(&[USER_POOLS]);
    let request = signed_by(&edge, KID);
    assert_eq!([edge.ask(&request).status, edge.ask(&request).status], [200, 200]);
    edge.keys.publish([&strangers_key(KID)]);
    await_reason(&edge, &request, "signature_invalid");
}

#[test]
fn a_failing_key_server_costs_no_key() {
    let failures = [
        ("closed", Answer::Close),
        ("500", Answer::json(500, "{}")),
        ("404", Answer::json(404, "{}")),
        ("garbage", Answer::json(200, "<html>")),
        ("no keys", Answer::json(200, r#"{"keys":[]}"#)),
        ("no usable key", Answer::json(200, r#"{"keys":[{"kty":"EC"}]}"#)),
        ("silence", Answer::never()),
    ];
    let edges = failures.map(|(case, failure)| {
        let edge = edge(&[USER_POOLS]);
        edge.keys.answer(failure);
        (case, edge)
    });
    for (case, edge) in edges {
        // One that succeeded and two that failed: the first failure is over when the second begins.
        edge.keys.await_fetches(3);
        let failed = edge.proxy.metrics().sum("cognigate_jwks_refreshes_total", &[("result", "failure")]);
        assert!(failed >= 1.0, "{case}");
        assert_eq!(edge.ask(&signed_by(&edge, KID)).status, 200, "{case}");
        assert_eq!(edge.proxy.admin("/readyz").status, 200, "{case}");
    }
}

#[test]
fn failures_do_not_make_the_key_server_busy() {
    let edge = edge(&[USER_POOLS]);
    edge.keys.answer(Answer::json(500, "{}"));
    let fetches = edge.keys.await_fetches(3);
    for (earlier, later) in fetches.iter().zip(&fetches[1..]) {
        let wait = *later - *earlier;
        assert!(wait >= SHORTEST_WAIT, "{wait:?}");
    }
}

#[test]
fn keys_that_cannot_be_refreshed_go_stale_and_expire_and_each_is_seen() {
    let user_pools = r#"{ main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS", jwks: { refresh: 1s, max_stale: 3s, timeout: 1s } } }"#;
    let edge = edge(&[("user_pools", user_pools)]);
    let await_state = |state| {
        eventually(state, || {
            let metrics = edge.proxy.metrics();
            let is_current = metrics.sum("cognigate_jwks_state", &[("user_pool", "main"), ("state", state)]) == 1.0;
            is_current.then_some(())
        });
    };
    await_state("fresh");
    edge.keys.answer(Answer::Close);
    await_state("stale");
    await_state("expired");
    assert_eq!(edge.ask(&signed_by(&edge, KID)).status, 503);
    assert_eq!(edge.proxy.admin("/readyz").status, 503);
    edge.keys.publish([&key(KID)]);
    await_state("fresh");
    assert_eq!(edge.ask(&signed_by(&edge, KID)).status, 200);
    let log = edge.proxy.log();
    for (change, fields) in [
        ("keys fetched", ["user_pool", "kids"]),
        ("keys not refreshed", ["error", "failures"]),
        ("keys stale", ["age", "max_stale"]),
        ("keys expired", ["age", "uri"]),
    ] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(change)).collect();
        assert!(!lines.is_empty() && lines.iter().all(|line| fields.iter().all(|field| line.contains(field))), "{log}");
    }
}
