//! `X-Request-Id`: one name for a request, upstream, in the response and in the log.

use std::collections::HashSet;

use e2e::{
    client::{get, request},
    edge::Edge,
    upstream::Answer,
};

use crate::{BINARY, edge};

const TRUSTED: (&str, &str) = ("forwarded", "{ trusted: [127.0.0.0/8] }");

fn is_uuid(id: &str) -> bool {
    id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[test]
fn every_request_has_one_of_its_own_and_the_upstream_knows_it() {
    let edge = edge(&[]);
    let mut client = edge.client();
    let ids: HashSet<_> = (0..20)
        .map(|_| {
            let response = client.ask(&get("/open/1"));
            let id = response.header("x-request-id").unwrap().to_owned();
            assert_eq!(edge.upstream.take_request().header("x-request-id"), Some(&*id));
            assert!(is_uuid(&id), "{id}");
            id
        })
        .collect();
    assert_eq!(ids.len(), 20);
}

#[test]
fn what_is_answered_here_has_one_too() {
    let cors = "{ allow_origins: [https://app.example.com], allow_headers: [] }";
    let edge = edge(&[("cors", cors)]);
    let preflight = request("OPTIONS", "/items/1")
        .header("Origin", "https://app.example.com")
        .header("Access-Control-Request-Method", "GET");
    for (request, status) in [(get("/items/1"), 401), (get("/none"), 404), (get("/a//b"), 400), (preflight, 204)] {
        let response = edge.ask(&request);
        assert_eq!(response.status, status);
        assert!(is_uuid(response.header("x-request-id").unwrap()), "{response:?}");
    }
    edge.upstream.answer(Answer::Close);
    assert!(is_uuid(edge.ask(&get("/open/1")).header("x-request-id").unwrap()));
}

#[test]
fn a_profile_says_it_by_its_own_name_too() {
    for (profile, name) in [("aws-rest", "x-amzn-requestid"), ("aws-http", "apigw-requestid")] {
        let edge = edge(&[("responses", &format!("{{ profile: {profile} }}"))]);
        let response = edge.ask(&get("/items/1"));
        assert_eq!(response.header(name), response.header("x-request-id"), "{response:?}");
        assert!(response.header(name).is_some_and(is_uuid));
    }
}

#[test]
fn a_trusted_proxy_may_choose_it() {
    let edge = edge(&[TRUSTED]);
    let chosen = |id: &str| {
        let response = edge.ask(&get("/open/1").header("X-Request-ID", id));
        assert_eq!(response.header("x-request-id"), edge.upstream.take_request().header("x-request-id"));
        response.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(chosen("Root=1-67891233-abcdef"), "Root=1-67891233-abcdef");
    for bad in ["a b", "a\"b", "a,b", &"x".repeat(129), ""] {
        assert!(is_uuid(&chosen(bad)), "{bad}");
    }
}

#[test]
fn a_stranger_may_not() {
    let edge = edge(&[]);
    let request = get("/open/1").header("X-Request-Id", "mine").header("X_Request_Id", "mine");
    let response = edge.ask(&request);
    let id = response.header("x-request-id").unwrap();
    assert!(is_uuid(id));
    let upstream = edge.upstream.take_request();
    assert_eq!((upstream.header("x-request-id"), upstream.header("x_request_id")), (Some(id), None));
}

#[test]
fn an_upstreams_own_is_replaced() {
    let edge = edge(&[]);
    edge.upstream.answer(Answer::Raw(b"HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n".to_vec()));
    assert!(is_uuid(edge.ask(&get("/open/1")).header("x-request-id").unwrap()));
}

#[test]
fn a_failure_is_logged_under_it() {
    let edge = edge(&[]);
    edge.upstream.answer(Answer::Close);
    let id = edge.ask(&get("/open/1")).header("x-request-id").unwrap().to_owned();
    edge.proxy.await_log("the failure", |line| line.contains("request failed") && line.contains(&id));
}

#[test]
fn a_refusal_is_logged_under_it() {
    let edge = Edge::start_logging(BINARY, "debug", &[]);
    let id = edge.ask(&get("/items/1")).header("x-request-id").unwrap().to_owned();
    edge.proxy.await_log("the refusal", |line| line.contains("refused") && line.contains(&id));
}
