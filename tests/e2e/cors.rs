//! CORS: pages of the origins that are named, and of no others, read what is answered, whoever answers.

use e2e::{
    client::{Client, Request, Response, get, request},
    edge::Edge,
    key_server::{KeyServer, document},
    pool::{KID, Pool, key},
    upstream::{Answer, REFUSING},
    wait::eventually,
};
use serde_json::json;

use crate::{BINARY, edge};

const APP: &str = "https://app.example.com";

const CORS: &str = "{ allow_origins: [https://app.example.com, \"http://localhost:3000\"], \
                    allow_headers: [authorization, content-type], expose_headers: [etag] }";

/// What the browser asks before a page of this origin may send a request of this method.
fn preflight(origin: &str, path: &str) -> Request {
    request("OPTIONS", path)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "DELETE")
        .header("Access-Control-Request-Headers", "authorization")
}

/// What a response says about who may read it, and of what it depends.
fn said(response: &Response) -> Vec<String> {
    let is_about_it = |name: &str| name.starts_with("access-control-") || name == "vary";
    let fields = response.head.fields().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let mut said: Vec<_> =
        fields.filter(|(name, _)| is_about_it(name)).map(|(name, value)| format!("{name}: {value}")).collect();
    said.sort_unstable();
    said
}

/// What a refusal says to a page that may read it.
fn read_by(origin: &str) -> Vec<String> {
    vec![
        format!("access-control-allow-origin: {origin}"),
        "access-control-expose-headers: etag, www-authenticate, retry-after, x-request-id".to_owned(),
        "vary: Origin".to_owned(),
    ]
}

#[test]
fn a_preflight_is_answered_before_anyone_asks_who_calls() {
    let edge = edge(&[("cors", CORS)]);
    let mut client = edge.client();
    for path in ["/items/1", "/open/1", "/nowhere", "/"] {
        let response = client.ask(&preflight(APP, path));
        assert_eq!((response.status, response.is_last()), (204, false), "{path}");
        assert_eq!(
            said(&response),
            [
                "access-control-allow-headers: authorization, content-type",
                "access-control-allow-methods: DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT",
                "access-control-allow-origin: https://app.example.com",
                "access-control-max-age: 600",
                "vary: Origin",
            ],
            "{path}"
        );
        for field in ["content-length", "transfer-encoding", "content-type", "www-authenticate"] {
            assert_eq!(response.header(field), None, "{path}");
        }
    }
    assert!(edge.upstream.take_requests().is_empty());
    // A preflight is nobody's call on any route.
    let of_none = [("route", "none"), ("method", "OPTIONS"), ("code", "204")];
    let is_counted = || edge.proxy.metrics().sum("cognigate_http_requests_total", &of_none) == 4.0;
    eventually("four preflights", || is_counted().then_some(()));
    assert_eq!(edge.proxy.metrics().sum("cognigate_auth_decisions_total", &[]), 0.0);
}

#[test]
fn a_preflight_tells_a_stranger_nothing() {
    let edge = edge(&[("cors", CORS)]);
    for path in ["/items/1", "/open/1", "/nowhere"] {
        let response = edge.ask(&preflight("https://evil.example", path));
        assert_eq!((response.status, said(&response)), (204, vec!["vary: Origin".to_owned()]), "{path}");
    }
    assert!(edge.upstream.take_requests().is_empty());
}

#[test]
fn options_that_is_no_preflight_is_an_ordinary_request() {
    let edge = edge(&[("cors", CORS)]);
    let token = edge.pool.id_token(&json!({}));
    let options = |path| request("OPTIONS", path);
    for (case, sent) in [
        ("plain", options("/items/1")),
        ("an origin only", options("/items/1").header("Origin", APP)),
        ("a method only", options("/items/1").header("Access-Control-Request-Method", "GET")),
        ("another method", get("/items/1").header("Origin", APP).header("Access-Control-Request-Method", "GET")),
    ] {
        assert_eq!(edge.ask(&sent).status, 401, "{case}");
        assert!(edge.upstream.take_requests().is_empty(), "{case}");
        assert_eq!(edge.ask(&sent.token(&token)).status, 200, "{case}");
        edge.upstream.take_request();
    }
    assert_eq!(edge.ask(&options("/open/1").header("Origin", APP)).status, 200);
    assert_eq!(edge.upstream.take_request().method(), "OPTIONS");
    assert_eq!(edge.ask(&options("/nowhere")).status, 404);
}

#[test]
fn a_preflight_that_can_be_read_in_two_ways_is_refused_readably() {
    let edge = edge(&[("cors", CORS)]);
    for sent in [preflight(APP, "/open/../items/1"), preflight(APP, "/items/1").token("a").token("b")] {
        let response = edge.ask(&sent);
        assert_eq!((response.status, said(&response)), (400, read_by(APP)));
    }
}

#[test]
fn a_preflight_with_a_body_does_not_confuse_the_connection() {
    let edge = edge(&[("cors", CORS)]);
    let mut client = edge.client();
    assert_eq!(client.ask(&preflight(APP, "/items/1").body("hello")).status, 204);
    assert_eq!(client.ask(&get("/open/1")).status, 200);
    let mut client = edge.client();
    let chunked = preflight(APP, "/items/1").header("Transfer-Encoding", "chunked");
    client.send([chunked.to_bytes(), b"5\r\nhello\r\n0\r\n\r\n".to_vec()].concat());
    let head = String::from_utf8(client.rest()).unwrap();
    assert!(head.starts_with("HTTP/1.1 204 No Content\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn every_response_can_be_read() {
    let user_pools = r#"
  main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS" }
  cold: { id: eu-west-1_Cold, client_ids: [$CLIENT], jwks_uri: "http://127.0.0.1:1/jwks.json" }"#;
    let upstreams = format!(
        r#"
  dead: {{ endpoints: ["{REFUSING}"] }}
  items: {{ endpoints: ["$UPSTREAM"], timeouts: {{ read: 250ms }} }}"#
    );
    let routes = r#"
  - { match: { path: /cold }, auth: { user_pools: [cold] }, upstream: items }
  - { match: { path: /dead }, auth: none, upstream: dead }
  - { match: { path: /grouped }, auth: { user_pools: [main], groups_any: [readers] }, upstream: items }
  - { match: { path: /open }, auth: none, upstream: items }"#;
    let sections = [("user_pools", user_pools), ("upstreams", &upstreams), ("routes", routes), ("cors", CORS)];
    let edge = Edge::launch(BINARY, KeyServer::start(document([&key(KID)])), &sections);
    edge.wait_keys();
    let token = edge.pool.id_token(&json!({}));
    for (status, sent, answer) in [
        (400, get("/open/../grouped"), Answer::Echo),
        (401, get("/grouped"), Answer::Echo),
        (401, get("/grouped").token("a.b.c"), Answer::Echo),
        (403, get("/grouped").token(&token), Answer::Echo),
        (404, get("/nowhere"), Answer::Echo),
        (502, get("/dead"), Answer::Echo),
        (502, get("/open"), Answer::Close),
        (503, get("/cold").token(&Pool::new("eu-west-1_Cold").id_token(&json!({}))), Answer::Echo),
        (504, get("/open"), Answer::never()),
    ] {
        edge.upstream.answer(answer);
        let response = edge.ask(&sent.clone().header("Origin", "http://localhost:3000"));
        assert_eq!((response.status, said(&response)), (status, read_by("http://localhost:3000")), "{sent:?}");
        let stranger = edge.ask(&sent.clone().header("Origin", "https://evil.example"));
        assert_eq!((stranger.status, said(&stranger)), (status, vec!["vary: Origin".to_owned()]), "{sent:?}");
    }
    edge.upstream.take_requests();
    for (status, answer) in [(200, Answer::Echo), (401, Answer::json(401, "{}")), (500, Answer::json(500, "{}"))] {
        edge.upstream.answer(answer);
        let response = edge.ask(&get("/open").header("Origin", APP));
        assert_eq!(response.status, status);
        assert_eq!(
            said(&response),
            [
                "access-control-allow-origin: https://app.example.com",
                "access-control-expose-headers: etag",
                "vary: Origin"
            ]
        );
        // The upstream decides for itself about an origin that may not read.
        assert_eq!(edge.upstream.take_request().header("origin"), Some(APP));
    }
}

#[test]
fn a_refusal_in_the_words_of_api_gateway_can_be_read() {
    for (profile, exposed) in [
        ("{ profile: aws-rest }", "etag, x-amzn-errortype, x-amzn-requestid, retry-after, x-request-id"),
        ("{ profile: aws-http }", "etag, www-authenticate, apigw-requestid, retry-after, x-request-id"),
    ] {
        let edge = edge(&[("cors", CORS), ("responses", profile)]);
        let response = edge.ask(&get("/items/1").header("Origin", APP));
        assert_eq!(response.status, 401);
        assert_eq!(response.header("access-control-expose-headers"), Some(exposed));
        assert_eq!(response.header("access-control-allow-origin"), Some(APP));
    }
}

/// An upstream that says something of its own about who may read it.
const THEIRS: &str = "access-control-allow-origin: *\r\nAccess-Control-Allow-Origin: https://evil.example\r\n\
                      Access-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: x-theirs\r\n\
                      Access-Control-Max-Age: 1\r\nVary: Accept-Encoding\r\nx-theirs: 1\r\n";

fn theirs() -> Answer {
    Answer::Raw(format!("HTTP/1.1 200 OK\r\n{THEIRS}content-length: 2\r\n\r\nok").into())
}

#[test]
fn what_the_upstream_says_of_it_is_replaced() {
    let edge = edge(&[("cors", CORS)]);
    edge.upstream.answer(theirs());
    let response = edge.ask(&get("/open/1").header("Origin", APP));
    assert_eq!(
        said(&response),
        [
            "access-control-allow-origin: https://app.example.com",
            "access-control-expose-headers: etag",
            "vary: Accept-Encoding",
            "vary: Origin",
        ]
    );
    assert_eq!((response.text(), response.header("x-theirs")), ("ok", Some("1")));
    for sent in [get("/open/1"), get("/open/1").header("Origin", "https://evil.example")] {
        assert_eq!(said(&edge.ask(&sent)), ["vary: Accept-Encoding", "vary: Origin"], "{sent:?}");
    }
}

#[test]
fn vary_is_not_doubled() {
    let edge = edge(&[("cors", CORS)]);
    for vary in ["origin", "Accept, ORIGIN", "*"] {
        let answer = format!("HTTP/1.1 200 OK\r\nVary: {vary}\r\ncontent-length: 0\r\n\r\n");
        edge.upstream.answer(Answer::Raw(answer.into()));
        assert_eq!(said(&edge.ask(&get("/open/1"))), [format!("vary: {vary}")]);
    }
}

#[test]
fn hints_that_come_early_do_not_double_anything() {
    let edge = edge(&[("cors", CORS)]);
    let answer = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\naccess-control-allow-origin: *\r\n\r\n\
                  HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\ncontent-length: 2\r\n\r\nok";
    edge.upstream.answer(Answer::Raw(answer.into()));
    let mut client = edge.client();
    client.send(get("/open/1").header("Origin", APP).to_bytes());
    let statuses: [_; 2] = std::array::from_fn(|_| {
        let response = client.response();
        assert_eq!(response.header("access-control-allow-origin"), Some(APP));
        assert_eq!(response.header("vary"), Some("Origin"));
        response.status
    });
    assert_eq!(statuses, [103, 200]);
}

#[test]
fn an_origin_that_is_not_allowed_is_told_nothing_and_served() {
    let edge = edge(&[("cors", CORS)]);
    let mut client = edge.client();
    for origin in [
        "null",
        "",
        "*",
        "https://evil.example",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.example",
        "https://APP.example.com",
        "https://app.example.com/",
        "https://evil.example, https://app.example.com",
        "https://evil.example https://app.example.com",
        "\u{e9}",
    ] {
        let response = client.ask(&get("/open/1").header("Origin", origin));
        assert_eq!((response.status, said(&response)), (200, vec!["vary: Origin".to_owned()]), "{origin}");
    }
    let twice = get("/open/1").header("Origin", APP).header("Origin", "https://evil.example");
    assert_eq!(said(&client.ask(&twice)), ["vary: Origin"]);
    assert_eq!(said(&client.ask(&get("/open/1"))), ["vary: Origin"]);
}

#[test]
fn credentials_are_allowed_where_the_file_says_so() {
    let cors = "{ allow_origins: [https://app.example.com], allow_methods: [GET, POST], allow_headers: [], \
                allow_credentials: true, max_age: 1h }";
    let edge = edge(&[("cors", cors)]);
    let ask = |client: &mut Client, origin| client.ask(&get("/open/1").header("Origin", origin));
    let mut client = edge.client();
    assert_eq!(
        said(&ask(&mut client, APP)),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://app.example.com",
            "vary: Origin"
        ]
    );
    assert_eq!(said(&ask(&mut client, "https://evil.example")), ["vary: Origin"]);
    assert_eq!(
        said(&client.ask(&preflight(APP, "/items/1"))),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-methods: GET,POST",
            "access-control-allow-origin: https://app.example.com",
            "access-control-max-age: 3600",
            "vary: Origin",
        ]
    );
}

#[test]
fn every_origin_gets_the_same_answer_where_all_are_allowed() {
    let edge = edge(&[("cors", "{ allow_origins: ['*'], allow_headers: [authorization] }")]);
    edge.upstream.answer(theirs());
    for sent in [get("/open/1"), get("/open/1").header("Origin", APP), get("/open/1").header("Origin", "null")] {
        assert_eq!(said(&edge.ask(&sent)), ["access-control-allow-origin: *", "vary: Accept-Encoding"], "{sent:?}");
    }
    let refusal = edge.ask(&get("/items/1").header("Origin", APP));
    let exposed = "access-control-expose-headers: www-authenticate, retry-after, x-request-id";
    assert_eq!((refusal.status, said(&refusal)), (401, vec!["access-control-allow-origin: *".into(), exposed.into()]));
    assert_eq!(
        said(&edge.ask(&preflight(APP, "/items/1"))),
        [
            "access-control-allow-headers: authorization",
            "access-control-allow-methods: DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT",
            "access-control-allow-origin: *",
            "access-control-max-age: 600",
        ]
    );
}

#[test]
fn without_the_key_everything_passes_untouched() {
    let edge = edge(&[]);
    edge.upstream.answer(theirs());
    let response = edge.ask(&get("/open/1").header("Origin", APP));
    let passed = response.head.as_str().to_ascii_lowercase();
    for line in THEIRS.to_ascii_lowercase().lines() {
        assert!(passed.contains(line), "{line}");
    }
    assert_eq!(edge.ask(&preflight(APP, "/items/1")).status, 401);
    edge.upstream.take_requests();
    assert_eq!(edge.ask(&preflight(APP, "/open/1")).status, 200);
    assert_eq!(edge.upstream.take_request().method(), "OPTIONS");
    assert!(said(&edge.ask(&get("/items/1").header("Origin", APP))).is_empty());
}
