//! A proxy that has no keys yet: it runs, says what it waits for, refuses only what needs keys, and recovers by itself.

use e2e::{
    client::get,
    edge::Edge,
    key_server::KeyServer,
    pool::{KID, key},
    upstream::Answer,
};
use serde_json::json;

use crate::{BINARY, edge};

const USER_POOLS: (&str, &str) =
    ("user_pools", r#"{ main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS", jwks: { timeout: 1s } } }"#);

#[test]
fn without_keys_only_what_needs_them_is_refused_until_they_come() {
    let outages = [("closed", Answer::Close), ("silence", Answer::never()), ("503", Answer::json(503, "{}"))];
    let edges = outages.map(|(case, outage)| (case, Edge::launch(BINARY, KeyServer::start(outage), &[USER_POOLS])));
    for (case, edge) in &edges {
        let protected = get("/items/1").token(&edge.pool.id_token(&json!({})));
        assert_eq!(edge.proxy.admin("/livez").status, 200, "{case}");
        let readiness = edge.proxy.admin("/readyz");
        assert_eq!(readiness.status, 503, "{case}");
        assert!(readiness.text().contains("main"), "{case}: {}", readiness.text());
        let refused = edge.ask(&protected);
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{case}");
        assert_eq!(edge.ask(&get("/items/1")).status, 401, "{case}: no token is no token, with keys or without");
        assert_eq!(edge.ask(&get("/open/1")).status, 200, "{case}");

        edge.keys.publish([&key(KID)]);
        edge.proxy.wait_ready();
        assert_eq!(edge.ask(&protected).status, 200, "{case}");
    }
}

#[test]
fn a_pool_that_no_route_asks_for_is_not_waited_for() {
    let user_pools = r#"
  main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS" }
  spare: { id: eu-west-1_Spare, any_client: true, jwks_uri: "http://127.0.0.1:1/jwks.json" }"#;
    let edge = edge(&[("user_pools", user_pools)]);
    assert_eq!(edge.proxy.admin("/readyz").status, 200);
}
