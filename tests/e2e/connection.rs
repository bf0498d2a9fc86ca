//! What becomes of a connection: it is kept wherever the next request can still be found on it, and closed wherever not.

use e2e::{
    client::{Client, get, post, request},
    edge::Edge,
    key_server::{KeyServer, document},
    pool::{KID, Pool, key},
    wait::eventually,
};
use serde_json::json;

use crate::{BINARY, edge};

/// A request that must never be taken for one.
const SMUGGLED: &str = "GET /open/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The head of a `POST` that is refused for want of a token.
fn head(framing: &str) -> String {
    format!("POST /items/1 HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n")
}

/// The next request on the connection gets the answer to itself.
#[track_caller]
fn assert_in_step(client: &mut Client, edge: &Edge, case: &str) {
    edge.upstream.take_requests();
    let response = client.ask(&get("/open/next"));
    assert_eq!((response.status, response.json()["target"].as_str()), (200, Some("/open/next")), "{case}");
    assert_eq!(edge.upstream.take_request().target(), "/open/next", "{case}");
}

#[test]
fn a_refusal_keeps_the_connection() {
    let user_pools = r#"
  main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS" }
  cold: { id: eu-west-1_Cold, client_ids: [$CLIENT], jwks_uri: "http://127.0.0.1:1/jwks.json" }"#;
    let routes = r#"
  - { match: { path: /cold }, auth: { user_pools: [cold] }, upstream: items }
  - { match: { path: /grouped }, auth: { user_pools: [main], groups_any: [readers] }, upstream: items }
  - { match: { path: "/open/{proxy+}" }, auth: none, upstream: items }"#;
    let keys = KeyServer::start(document([&key(KID)]));
    let edge = Edge::launch(BINARY, keys, &[("user_pools", user_pools), ("routes", routes)]);
    edge.wait_keys();
    let mut client = edge.client();
    for (refused, status) in [
        (get("/grouped"), 401),
        (get("/grouped").token("a.b.c"), 401),
        (get("/grouped").token(&edge.pool.id_token(&json!({}))), 403),
        (get("/nowhere"), 404),
        (get("/open/../grouped"), 400),
        (get("/cold").token(&Pool::new("eu-west-1_Cold").id_token(&json!({}))), 503),
    ] {
        let response = client.ask(&refused);
        assert_eq!((response.status, response.is_last()), (status, false), "{refused:?}");
        assert_in_step(&mut client, &edge, &status.to_string());
    }
}

#[test]
fn a_small_body_that_is_refused_is_read_and_dropped() {
    let edge = edge(&[]);
    let mut client = edge.client();
    for body in ["x".to_owned(), SMUGGLED.to_owned(), SMUGGLED.repeat(100)] {
        let response = client.ask(&post("/items/1").body(body.as_str()));
        assert_eq!(response.status, 401);
        assert_in_step(&mut client, &edge, &format!("{} bytes", body.len()));
    }
}

#[test]
fn a_small_body_that_comes_after_the_decision_is_waited_for() {
    let edge = edge(&[]);
    let mut client = edge.client();
    client.send(head("Content-Length: 5"));
    let is_decided =
        || edge.proxy.metrics().sum("cognigate_auth_decisions_total", &[("reason", "token_missing")]) > 0.0;
    eventually("the decision", || is_decided().then_some(()));
    client.send("hello");
    assert_eq!(client.response().status, 401);
    assert_in_step(&mut client, &edge, "late");
}

#[test]
fn a_small_body_that_does_not_come_is_not_waited_for_for_ever() {
    let edge = edge(&[]);
    let mut client = edge.client();
    client.send(head("Content-Length: 5"));
    let response = client.response();
    assert_eq!((response.status, response.is_last()), (401, true));
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_body_whose_end_is_far_or_unknown_closes_the_connection() {
    let edge = edge(&[]);
    for (case, framing, body) in [
        ("large", "Content-Length: 1000000", SMUGGLED.to_owned()),
        ("chunked", "Transfer-Encoding: chunked", format!("{:x}\r\n{SMUGGLED}\r\n", SMUGGLED.len())),
        ("chunked and over", "Transfer-Encoding: chunked", format!("5\r\nhello\r\n0\r\n\r\n{SMUGGLED}")),
        ("expecting a go-ahead", "Content-Length: 5\r\nExpect: 100-continue", String::new()),
        ("expecting, but not waiting", "Content-Length: 5\r\nExpect: 100-continue", format!("hello{SMUGGLED}")),
    ] {
        let mut client = edge.client();
        client.send(head(framing) + &body);
        let response = client.response();
        assert_eq!((response.status, response.is_last()), (401, true), "{case}");
        assert_eq!(client.rest(), b"", "{case}");
        assert!(edge.upstream.take_requests().is_empty(), "{case}");
    }
}

#[test]
fn framing_that_can_be_read_in_two_ways_is_refused_and_ends_the_connection() {
    let edge = edge(&[]);
    let token = edge.pool.id_token(&json!({}));
    for framing in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
    ] {
        for (path, authorization) in [("/open/1", String::new()), ("/items/1", format!("Authorization: {token}\r\n"))] {
            let mut client = edge.client();
            let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}{framing}\r\n\r\n");
            client.send(format!("{head}0\r\n\r\n{SMUGGLED}"));
            let response = client.response();
            assert_eq!((response.status, response.is_last()), (400, true), "{framing} {path}");
            assert_eq!(client.rest(), b"", "{framing} {path}");
            assert!(edge.upstream.take_requests().is_empty(), "{framing} {path}");
        }
    }
}

#[test]
fn chunks_outrank_a_length_and_end_the_connection() {
    let edge = edge(&[]);
    let mut client = edge.client();
    let head = "POST /open/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}5\r\nhello\r\n0\r\n\r\n{SMUGGLED}"));
    let response = client.response();
    assert_eq!((response.status, response.is_last()), (200, true));
    assert_eq!(client.rest(), b"");
    let seen = edge.upstream.take_request();
    assert_eq!((seen.header("content-length"), seen.body.as_slice()), (None, b"hello".as_slice()));
}

#[test]
fn a_body_reaches_the_upstream_whole() {
    let edge = edge(&[]);
    let mut client = edge.client();
    let large = "x".repeat(300_000);
    for (case, framing, sent, seen) in [
        ("none", "Content-Length: 0", "", ""),
        ("small", "Content-Length: 5", "hello", "hello"),
        ("chunked", "Transfer-Encoding: chunked", "5\r\nhello\r\n3;x=y\r\n yo\r\n0\r\n\r\n", "hello yo"),
        ("large", "Content-Length: 300000", &large, &large),
    ] {
        client.send(format!("POST /open/1 HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{sent}"));
        assert_eq!(client.response().status, 200, "{case}");
        assert!(edge.upstream.take_request().body == seen.as_bytes(), "{case}");
        assert_in_step(&mut client, &edge, case);
    }
}

#[test]
fn what_follows_a_request_unasked_is_not_served() {
    let edge = edge(&[]);
    for (case, first, status, unasked) in [
        ("garbage", get("/open/1"), 200, "\0\u{1}garbage\r\n\r\n"),
        ("garbage after a refusal", get("/items/1"), 401, "\0\u{1}garbage\r\n\r\n"),
        ("a request after a refusal", get("/items/1"), 401, SMUGGLED),
    ] {
        let mut client = edge.client();
        client.send([first.to_bytes(), unasked.into()].concat());
        assert_eq!(client.response().status, status, "{case}");
        client.rest();
        let seen = edge.upstream.take_requests();
        assert!(!seen.iter().any(|seen| seen.target() == "/open/smuggled"), "{case}");
        assert_eq!(seen.len(), usize::from(status == 200), "{case}");
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    let edge = edge(&[]);
    let mut client = edge.client();
    for (path, status) in [("/items/1", 401), ("/open/1", 200), ("/nowhere", 404)] {
        let response = client.ask(&request("HEAD", path));
        assert_eq!(response.status, status, "{path}");
        assert!(response.header("content-length").is_some_and(|length| length != "0"), "{path}");
        assert_in_step(&mut client, &edge, path);
    }
}

#[test]
fn http_1_0_is_answered_and_the_connection_closed() {
    let edge = edge(&[]);
    for (path, status) in [("/open/1", 200), ("/items/1", 401), ("/nowhere", 404)] {
        let mut client = edge.client();
        let response = client.ask(&get(path).version("HTTP/1.0"));
        assert_eq!(response.status, status, "{path}");
        assert_eq!(client.rest(), b"", "{path}");
    }
}

#[test]
fn a_client_that_says_close_is_taken_at_its_word() {
    let edge = edge(&[]);
    for (path, status) in [("/open/1", 200), ("/items/1", 401)] {
        let mut client = edge.client();
        let response = client.ask(&get(path).header("Connection", "close"));
        assert_eq!((response.status, response.is_last()), (status, true), "{path}");
        assert_eq!(client.rest(), b"", "{path}");
    }
}
