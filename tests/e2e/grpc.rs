//! gRPC clients are refused the way they read: HTTP 200, the outcome in `grpc-status`, no body.

use e2e::{
    client::{Request, Response, post},
    edge::Edge,
    key_server::{KeyServer, document},
    pool::{KID, Pool, key, now},
    upstream::{Answer, REFUSING},
    wait::eventually,
};
use serde_json::json;

use crate::BINARY;

/// An edge whose other refusals look like this.
#[track_caller]
fn edge(profile: &str) -> Edge {
    let user_pools = r#"
  main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS" }
  cold: { id: eu-west-1_Cold, client_ids: [$CLIENT], jwks_uri: "http://127.0.0.1:1/jwks.json" }"#;
    let upstreams = format!(
        r#"
  dead: {{ endpoints: ["{REFUSING}"] }}
  items: {{ endpoints: ["$UPSTREAM"], timeouts: {{ read: 250ms }} }}"#
    );
    let routes = r#"
  - { match: { path: "/cold.Items/{proxy+}" }, auth: { user_pools: [cold] }, upstream: items }
  - { match: { path: "/dead.Items/{proxy+}" }, auth: none, upstream: dead }
  - { name: items, match: { path: "/items.Items/{proxy+}" }, auth: { user_pools: [main] }, upstream: items }
  - { match: { path: "/open.Items/{proxy+}" }, auth: none, upstream: items }
  - match: { path: "/scoped.Items/{proxy+}" }
    auth: { user_pools: [main], scopes_any: [items/read, items/write] }
    upstream: items"#;
    let profile = format!("{{ profile: {profile} }}");
    let cors =
        "{ allow_origins: [https://app.example.com], allow_headers: [authorization], expose_headers: [grpc-status] }";
    let sections = [
        ("user_pools", user_pools),
        ("upstreams", &upstreams),
        ("routes", routes),
        ("responses", profile.as_str()),
        ("cors", cors),
    ];
    let edge = Edge::launch(BINARY, KeyServer::start(document([&key(KID)])), &sections);
    edge.wait_keys();
    edge
}

fn call(path: &str) -> Request {
    post(path).header("Content-Type", "application/grpc").header("TE", "trailers").body("\0\0\0\0\0")
}

/// Status and message, once it is certain that the rest is as gRPC has it.
#[track_caller]
fn outcome(response: &Response) -> (&str, &str) {
    assert_eq!((response.status, response.text()), (200, ""), "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/grpc"));
    assert_eq!(response.header("content-length"), Some("0"));
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.header("cache-control"), Some("no-store"));
    (response.header("grpc-status").unwrap_or_default(), response.header("grpc-message").unwrap_or_default())
}

#[test]
fn each_situation_has_one_status_whatever_the_profile() {
    for profile in ["rfc6750", "aws-rest", "aws-http"] {
        let edge = edge(profile);
        let id = |changes| edge.pool.id_token(&changes);
        let cold = Pool::new("eu-west-1_Cold").id_token(&json!({}));
        for (request, answer, expected, challenge) in [
            (call("/items.Items/Get"), Answer::Echo, ("16", "token_missing"), Some(r#"Bearer realm="cognigate""#)),
            (
                call("/items.Items/Get").token(&id(json!({ "exp": now() - 1 }))),
                Answer::Echo,
                ("16", "token_expired"),
                Some(r#"Bearer realm="cognigate", error="invalid_token", error_description="token_expired""#),
            ),
            (
                call("/scoped.Items/Get").token(&edge.pool.access_token(&json!({}))),
                Answer::Echo,
                ("7", "scope_missing"),
                Some(
                    r#"Bearer realm="cognigate", error="insufficient_scope", error_description="scope_missing", scope="items/read items/write""#,
                ),
            ),
            (call("/cold.Items/Get").token(&cold), Answer::Echo, ("14", "keys_unavailable"), None),
            (call("/no.Such/Get"), Answer::Echo, ("12", "no_route"), None),
            (call("/open.Items//Get"), Answer::Echo, ("13", "path_ambiguous"), None),
            (call("/dead.Items/Get"), Answer::Echo, ("14", "bad_gateway"), None),
            (call("/open.Items/Get"), Answer::Close, ("14", "bad_gateway"), None),
            (call("/open.Items/Get"), Answer::never(), ("14", "gateway_timeout"), None),
        ] {
            edge.upstream.answer(answer);
            let response = edge.ask(&request);
            assert_eq!(outcome(&response), expected, "{profile}");
            assert_eq!(response.header("www-authenticate"), challenge, "{profile} {expected:?}");
            let retry_after = (expected.1 == "keys_unavailable").then_some("5");
            assert_eq!(response.header("retry-after"), retry_after, "{profile} {expected:?}");
            assert_eq!(response.header("x-amzn-errortype"), None, "{profile} {expected:?}");
        }
    }
}

#[test]
fn a_refused_call_keeps_the_connection() {
    let edge = edge("rfc6750");
    let mut client = edge.client();
    for _ in 0..2 {
        let response = client.ask(&call("/items.Items/Get"));
        assert_eq!((outcome(&response), response.is_last()), (("16", "token_missing"), false));
    }
    assert!(edge.upstream.take_requests().is_empty());
    assert_eq!(client.ask(&call("/items.Items/Get").token(&edge.pool.id_token(&json!({})))).status, 200);
    assert_eq!(edge.upstream.take_request().body, b"\0\0\0\0\0");
}

#[test]
fn only_clients_that_read_grpc_are_answered_so() {
    let edge = edge("rfc6750");
    for (media_type, status) in [
        ("application/grpc", 200),
        ("application/grpc+proto", 200),
        ("APPLICATION/GRPC+json", 200),
        ("application/grpc-web+proto", 401),
        ("application/grpcfoo", 401),
        ("application/json", 401),
        ("application/gRP", 401),
    ] {
        let response = edge.ask(&post("/items.Items/Get").header("Content-Type", media_type));
        assert_eq!(response.status, status, "{media_type}");
        assert_eq!(response.header("grpc-status").is_some(), status == 200, "{media_type}");
    }
    let response = edge.ask(&post("/items.Items/Get").header("Accept", "application/grpc"));
    assert_eq!(response.status, 401);
}

/// The reason is in the decision; the status of the response is the one that was sent.
#[test]
fn a_refused_call_is_counted_by_its_reason_and_as_http_200() {
    let edge = edge("rfc6750");
    outcome(&edge.ask(&call("/items.Items/Get")));
    let sent = [("route", "items"), ("method", "POST"), ("code", "200")];
    let is_counted = || edge.proxy.metrics().sum("cognigate_http_requests_total", &sent) == 1.0;
    eventually("the request", || is_counted().then_some(()));
    let decided = [("route", "items"), ("reason", "token_missing")];
    assert_eq!(edge.proxy.metrics().sum("cognigate_auth_decisions_total", &decided), 1.0);
}

#[test]
fn a_page_can_read_a_refusal_of_grpc() {
    let edge = edge("rfc6750");
    let response = edge.ask(&call("/items.Items/Get").header("Origin", "https://app.example.com"));
    assert_eq!(outcome(&response), ("16", "token_missing"));
    assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example.com"));
    let exposed = "grpc-status, www-authenticate, retry-after, x-request-id";
    assert_eq!(response.header("access-control-expose-headers"), Some(exposed));
}
