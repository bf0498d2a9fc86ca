//! What a line tells about each kind of request.

use std::{thread, time::Duration};

use e2e::{
    client::{Request, get, post, request},
    edge::Edge,
    h2,
    pool::CLIENT_ID,
    upstream::{Answer, REFUSING},
    wait::eventually,
};
use serde_json::{Map, Value, json};

use super::Log;
use crate::{edge, http2::SecureEdge};

const ROUTES: &str = r#"
  - { name: items, match: { path: "/items/{proxy+}" }, auth: { user_pools: [main] }, upstream: items }
  - { name: open, match: { path: "/open/{proxy+}" }, auth: none, upstream: items }
  - { name: short, match: { path: "/short/{proxy+}" }, auth: none, upstream: items, timeout: 600ms }
  - { name: down, match: { path: "/down/{proxy+}" }, auth: none, upstream: down }"#;

const UPSTREAMS: &str = "{ items: { endpoints: [\"$UPSTREAM\"] }, down: { endpoints: [\"127.0.0.1:1\"] } }";

/// What differs from one time to the next; of these only what there is can be told beforehand.
const VARYING: [&str; 5] = ["time", "request_id", "duration_ms", "auth_ms", "upstream_ms"];

fn logging(log: &Log, sections: &[(&str, &str)]) -> Edge {
    let section = log.section("json");
    edge(&[&[("access_log", &*section), ("routes", ROUTES), ("upstreams", UPSTREAMS)], sections].concat())
}

/// A line with a tick in the place of what varies.
fn ticked(mut line: Map<String, Value>) -> Value {
    for name in VARYING {
        if let Some(value) = line.get_mut(name) {
            let is_plausible = match name {
                "time" => value.as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')),
                "request_id" => value.as_str().is_some_and(|id| id.len() == 36),
                _ => value.as_f64().is_some_and(|millis| (0.0..10_000.0).contains(&millis)),
            };
            assert!(is_plausible, "{name}: {value}");
            *value = json!(true);
        }
    }
    Value::Object(line)
}

/// What every line has, and these members.
fn line(more: Value) -> Value {
    let mut line = json!({
        "time": true, "request_id": true, "client": "127.0.0.1", "method": "GET", "host": "localhost",
        "protocol": "HTTP/1.1", "bytes_received": 0, "duration_ms": true,
    });
    let (members, Value::Object(more)) = (line.as_object_mut().unwrap(), more) else { panic!("no object") };
    members.extend(more);
    line
}

/// Asks, and finds the line of that as expected.
#[track_caller]
fn assert_told(log: &Log, edge: &Edge, (sent, path, expected): (Request, &str, Value)) {
    let response = edge.ask(&sent);
    let mut expected = line(expected);
    let members = expected.as_object_mut().unwrap();
    members.insert("path".into(), path.into());
    members.insert("bytes_sent".into(), response.body.len().into());
    let found = log.of(path);
    assert_eq!(found["request_id"], response.header("x-request-id").unwrap(), "{path}");
    assert_eq!(ticked(found), expected, "{path}");
}

#[test]
fn a_request_that_is_served_is_told_with_who_asked_and_where_it_went() {
    let log = Log::new();
    let edge = logging(&log, &[]);
    let token = edge.pool.id_token(&json!({ "sub": "5f0c" }));
    let asked = get("/open/1?key=secret").header("User-Agent", "curl/8 \"x\"").header("Referer", "http://a/b?c#d");
    let cases = [
        (asked, "/open/1", json!({ "user_agent": "curl/8 \"x\"", "referer": "http://a/b" })),
        (post("/open/2").body("hello"), "/open/2", json!({ "method": "POST", "bytes_received": 5 })),
        (request("HEAD", "/open/3"), "/open/3", json!({ "method": "HEAD" })),
        (
            get("/items/1").token(&token),
            "/items/1",
            json!({
                "route": "items", "reason": "ok", "auth_ms": true,
                "sub": "5f0c", "client_id": CLIENT_ID, "user_pool": "main",
            }),
        ),
    ];
    for (sent, path, more) in cases {
        let mut expected = json!({
            "status": 200, "route": "open", "reason": "open",
            "upstream": "items", "endpoint": edge.upstream.address().to_string(), "retries": 0, "upstream_ms": true,
        });
        expected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_told(&log, &edge, (sent, path, expected));
    }
}

#[test]
fn what_nobody_decided_has_no_reason() {
    const LIMITED: &str = r#"
  - match: { path: "/open/{proxy+}" }
    auth: none
    upstream: items
    rate_limit: { by: source_ip, rate: 1/h }"#;
    let log = Log::new();
    let edge = logging(&log, &[("routes", LIMITED)]);
    assert_eq!((edge.ask(&get("/open/1")).status, edge.ask(&get("/open/2")).status), (200, 429));
    let told = |path| {
        let line = log.of(path);
        ["reason", "refusal"].map(|name| line.get(name).cloned())
    };
    assert_eq!(told("/open/1"), [Some("open".into()), None]);
    assert_eq!(told("/open/2"), [None, Some("rate_limited".into())]);
    assert_eq!(edge.proxy.metrics().sum("cognigate_auth_decisions_total", &[("reason", "open")]), 1.0);
}

#[test]
fn a_request_that_is_refused_or_fails_is_told_with_why() {
    let log = Log::new();
    let edge = logging(&log, &[]);
    let expired = edge.pool.id_token(&json!({ "exp": 1 }));
    let unauthorized = |reason| json!({ "status": 401, "route": "items", "reason": reason, "auth_ms": true });
    for case in [
        (get("/items/2"), "/items/2", unauthorized("token_missing")),
        (get("/items/3").token(&expired), "/items/3", unauthorized("token_expired")),
        (get("/nowhere").host("other"), "/nowhere", json!({ "status": 404, "refusal": "no_route", "host": "other" })),
        (get("/open/../4"), "/open/../4", json!({ "status": 400, "refusal": "path_ambiguous" })),
        (
            get("/down/1"),
            "/down/1",
            json!({
                "status": 502, "route": "down", "reason": "open", "refusal": "bad_gateway",
                "upstream": "down", "endpoint": REFUSING, "retries": 1, "upstream_ms": true,
            }),
        ),
    ] {
        assert_told(&log, &edge, case);
    }
}

#[test]
fn who_does_not_wait_and_what_is_cut_off_have_a_line_too() {
    let log = Log::new();
    let edge = logging(&log, &[]);
    let endpoint = edge.upstream.address().to_string();
    let with = |more: Value| {
        let mut line = line(json!({
            "reason": "open", "upstream": "items", "endpoint": endpoint, "retries": 0, "upstream_ms": true, "bytes_sent": 0,
        }));
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    edge.upstream.answer(Answer::never());
    let mut impatient = edge.client();
    impatient.send(get("/open/gone").to_bytes());
    edge.upstream.await_requests(1);
    drop(impatient);
    let expected = with(json!({ "path": "/open/gone", "status": 499, "route": "open" }));
    assert_eq!(ticked(log.of("/open/gone")), expected);

    let mut client = edge.client();
    client
        .send("POST /short/cut HTTP/1.1\r\nHost: localhost\r\nUser-Agent: slow\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..5 {
        client.send("1\r\nx\r\n");
        thread::park_timeout(Duration::from_millis(100));
    }
    client.send("0\r\n\r\n");
    let response = String::from_utf8(client.rest()).unwrap();
    let sent = response.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
    let expected = with(json!({
        "path": "/short/cut", "method": "POST", "status": 504, "route": "short", "refusal": "request_timeout",
        "user_agent": "slow", "bytes_received": 5, "bytes_sent": sent,
    }));
    assert_eq!(ticked(log.of("/short/cut")), expected);
}

#[test]
fn a_websocket_has_its_line_when_it_ends() {
    let log = Log::new();
    let edge = logging(&log, &[]);
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello";
    edge.upstream.answer(Answer::Raw(answer.into()));
    let mut client = edge.client();
    let upgrade = get("/open/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let upgrade = upgrade.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    client.send(upgrade.to_bytes());
    assert!(client.head().start_line().starts_with("HTTP/1.1 101"));
    assert_eq!(client.take(5), b"hello");
    client.send("0123456789");
    // Another request that came later is told before.
    edge.ask(&get("/nowhere"));
    log.of("/nowhere");
    assert!(!log.text().contains("/open/ws"));
    drop(client);
    let expected = line(json!({
        "path": "/open/ws", "status": 101, "route": "open", "reason": "open", "bytes_received": 10, "bytes_sent": 5,
        "upstream": "items", "endpoint": edge.upstream.address().to_string(), "retries": 0, "upstream_ms": true,
    }));
    assert_eq!(ticked(log.of("/open/ws")), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_http_2_and_tls_says_so() {
    let log = Log::new();
    let section = log.section("json");
    let secure = SecureEdge::start(&[("access_log", &section), ("routes", ROUTES), ("upstreams", UPSTREAMS)]);
    let mut sender = h2::connect(secure.address(), &secure.authority).await;
    let asked = h2::get("/open/1?a").header("user-agent", "h2").body(()).unwrap();
    let answer = h2::ask(&mut sender, asked, &[b"hello"]).await.unwrap();
    let expected = line(json!({
        "path": "/open/1", "protocol": "HTTP/2.0", "status": 200, "route": "open", "reason": "open", "user_agent": "h2",
        "bytes_received": 5, "bytes_sent": answer.body.len(), "tls": "TLSv1.3",
        "upstream": "items", "endpoint": secure.edge.upstream.address().to_string(), "retries": 0, "upstream_ms": true,
    }));
    assert_eq!(ticked(log.of("/open/1")), expected);

    // A stream that the client takes back.
    secure.edge.upstream.answer(Answer::never());
    let (response, mut stream) = sender.send_request(h2::get("/open/2").body(()).unwrap(), true).unwrap();
    secure.edge.upstream.await_requests(2);
    stream.send_reset(::h2::Reason::CANCEL);
    drop(response);
    let found = log.of("/open/2");
    assert_eq!((&found["status"], &found["host"]), (&json!(499), &json!("localhost")));
}

#[test]
fn a_preflight_and_a_client_behind_a_proxy_are_told_as_what_they_are() {
    let log = Log::new();
    let cors = "{ allow_origins: [https://app.example.com], allow_headers: [authorization] }";
    let edge = logging(&log, &[("cors", cors), ("forwarded", "{ trusted: [127.0.0.0/8] }")]);
    let preflight = request("OPTIONS", "/items/1")
        .header("Origin", "https://app.example.com")
        .header("Access-Control-Request-Method", "GET")
        .header("X-Forwarded-For", "203.0.113.9, 192.0.2.7")
        .header("X-Request-Id", "from-the-proxy-in-front");
    assert_eq!(edge.ask(&preflight).status, 204);
    let mut found = log.of("/items/1");
    assert_eq!(found.insert("request_id".into(), json!("x".repeat(36))).unwrap(), "from-the-proxy-in-front");
    let expected = line(json!({
        "path": "/items/1", "method": "OPTIONS", "client": "192.0.2.7", "status": 204, "bytes_sent": 0,
    }));
    assert_eq!(ticked(found), expected);
}

#[test]
fn a_combined_line_is_one_that_every_tool_reads() {
    let log = Log::new();
    let section = log.section("combined");
    let edge = edge(&[("access_log", &section), ("routes", ROUTES), ("upstreams", UPSTREAMS)]);
    let token = edge.pool.id_token(&json!({ "sub": "5f0c" }));
    let asked = get("/items/a%20b?secret").token(&token).header("User-Agent", "a \"b\" \\ é");
    let response = edge.ask(&asked.header("Referer", "http://a/b?c"));
    let mut lines = log.await_lines(1);
    let (before, after) = lines.remove(0).split_once(']').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (before, time) = before.split_once('[').unwrap();
    assert_eq!(before, "127.0.0.1 - 5f0c ");
    assert!(time.len() == 26 && time.ends_with(" +0000"), "{time}");
    let expected = r#" "GET /items/a%20b HTTP/1.1" 200 LENGTH "http://a/b" "a \"b\" \\ \xc3\xa9""#;
    assert_eq!(after, expected.replace("LENGTH", &response.body.len().to_string()));
}

/// Wherever a client puts its token, no part of it is in the log.
#[test]
fn no_token_is_ever_in_the_log() {
    for format in ["json", "combined"] {
        let log = Log::new();
        let section = log.section(format);
        let sources = "{ sources: [{ header: authorization }, { cookie: session }] }";
        let edge = edge(&[("access_log", &*section), ("routes", ROUTES), ("upstreams", UPSTREAMS), ("token", sources)]);
        let tokens = [edge.pool.id_token(&json!({})), edge.pool.id_token(&json!({ "exp": 1 }))];
        let mut count = 0;
        for token in &tokens {
            let encoded = token.replace('.', "%2E");
            for asked in [
                get("/items/1").token(token),
                get("/items/1").header("Cookie", format!("session={token}")),
                get(format!("/items/1?access_token={token}")),
                get(format!("/open/{token}/x")),
                get(format!("/open/{encoded}")),
                get(format!("/nowhere/{token}?{token}")),
                get("/open/1").header("User-Agent", format!("bad client ({token})")),
                get("/open/1").header("Referer", format!("https://app.example.com/callback#id_token={token}")),
                get("/open/1").header("Referer", format!("https://app.example.com/{token}")),
                get("/open/1").host(token),
                get("/open/1").header("X-Request-Id", token),
                request("GET", format!("//{token}")),
            ] {
                edge.ask(&asked);
                count += 1;
            }
        }
        let lines = log.await_lines(count);
        assert_eq!(lines.len(), count);
        let text = lines.join("\n");
        let parts: Vec<_> = tokens.iter().flat_map(|token| token.split('.')).collect();
        for part in parts {
            assert!(!text.contains(part), "{part} is in the log:\n{text}");
        }
        assert!(text.contains("/open/[token]/x"), "{text}");
    }
}

#[test]
fn every_request_has_one_line() {
    let log = Log::new();
    let edge = logging(&log, &[]);
    let mut client = edge.client();
    for number in 0..500 {
        client.ask(&get(format!("/open/{number}")));
        client.ask(&get(format!("/nowhere/{number}")));
    }
    let written = || edge.proxy.metrics().sum("cognigate_access_log_lines_total", &[("result", "written")]);
    eventually("counted", || (written() == 1_000.0).then_some(()));
    let mut paths: Vec<_> = log.text().lines().map(|line| line.split("\"path\":").nth(1).unwrap().to_owned()).collect();
    paths.sort_unstable();
    paths.dedup_by_key(|rest| rest.split('"').nth(1).unwrap().to_owned());
    assert_eq!(paths.len(), 1_000);
}
