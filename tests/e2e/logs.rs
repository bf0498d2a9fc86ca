//! What the log never has, however much is asked of it: what clients and upstreams send.

use e2e::{
    client::{get, post},
    edge::Edge,
    upstream::Answer,
    wait::eventually,
};
use serde_json::json;

use crate::BINARY;

#[test]
fn no_message_reaches_the_log_at_any_level() {
    let edge = Edge::start_logging(BINARY, "trace", &[]);
    let (good, bad) = (edge.pool.id_token(&json!({})), edge.pool.id_token(&json!({ "exp": 1 })));
    let secrets = ["Sec-In-Query", "Sec-In-Body", "Sec-In-Answer", "Sec-In-Broken-Answer", "Sec-In-Broken-Request"];
    assert_eq!(edge.ask(&get("/items/1?key=Sec-In-Query").token(&good)).status, 200);
    assert_eq!(edge.ask(&post("/items/1").token(&good).body("Sec-In-Body")).status, 200);
    assert_eq!(edge.ask(&get("/items/1").token(&bad)).status, 401);
    edge.upstream
        .answer(Answer::Raw("HTTP/1.1 200 OK\r\nSet-Cookie: Sec-In-Answer\r\nContent-Length: 0\r\n\r\n".into()));
    assert_eq!(edge.ask(&get("/open/1")).status, 200);
    edge.upstream.answer(Answer::Raw("HTTP/1.1 200 OK\r\nSet-Cookie: Sec-In-Broken-Answer\r\n\0: \r\n\r\n".into()));
    assert_eq!(edge.ask(&get("/open/1")).status, 502);
    edge.client().send("GET / HTTP/1.1\r\nX: Sec-In-Broken-Request\r\n\0: \r\n\r\n");
    eventually("the failed request", || edge.proxy.log().contains("request failed").then_some(()));

    let log = edge.proxy.log();
    let signatures = [&good, &bad].map(|token| token.rsplit('.').next().unwrap().to_owned());
    for secret in signatures.iter().map(String::as_str).chain(secrets) {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
