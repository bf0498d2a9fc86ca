//! What is too large is refused, each with its own status and its own reason, and nothing of it reaches the upstream.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use e2e::{
    client::{Request, get, post},
    edge::Edge,
    wait::eventually,
};

use crate::edge;

const LIMITS: &str =
    "{ request_header_bytes: 1KiB, request_headers: 10, request_uri_bytes: 64, request_body_bytes: 1KiB }";

/// How many requests were refused for this reason.
fn refused(edge: &Edge, reason: &str) -> f64 {
    edge.proxy.metrics().sum("cognigate_rejected_requests_total", &[("reason", reason)])
}

/// A request with this many fields, `Host` included.
fn with_fields(count: usize) -> Request {
    (1..count).fold(get("/open/1"), |request, number| request.header(format!("x-{number}"), "1"))
}

/// A request whose fields add up to this many bytes, as the limit counts them.
fn with_field_bytes(bytes: usize) -> Request {
    let host = "host".len() + "localhost".len() + 4;
    get("/open/1").header("x-large", "x".repeat(bytes - host - "x-large".len() - 4))
}

#[test]
fn each_limit_has_its_status_and_its_reason() {
    let target = |length: usize| format!("/open/{}", "x".repeat(length - "/open/".len()));
    for (profile, uri_too_long) in
        [("rfc6750", "URI Too Long"), ("aws-rest", "Request URI too long"), ("aws-http", "URI Too Long")]
    {
        let cors = "{ allow_origins: [https://app.example.com], allow_headers: [] }";
        let responses = format!("{{ profile: {profile} }}");
        let edge = edge(&[("limits", LIMITS), ("responses", &responses), ("cors", cors)]);
        for (fits, exceeds, status, message, reason) in [
            (with_fields(10), with_fields(11), 431, "Request Header Fields Too Large", "headers_too_many"),
            (
                with_field_bytes(1024),
                with_field_bytes(1025),
                431,
                "Request Header Fields Too Large",
                "header_too_large",
            ),
            (get(target(64)), get(target(65)), 414, uri_too_long, "uri_too_long"),
        ] {
            assert_eq!(edge.ask(&fits).status, 200, "{profile} {reason}");
            assert_eq!(edge.upstream.take_requests().len(), 1);
            let response = edge.ask(&exceeds);
            assert_eq!((response.status, &response.json()["message"]), (status, &message.into()), "{profile}");
            assert!(response.is_last(), "{reason}");
            assert_eq!(response.header("vary"), Some("Origin"), "{profile} {reason}");
            assert!(edge.upstream.take_requests().is_empty(), "{reason}");
            assert_eq!(refused(&edge, reason), 1.0, "{reason}");
        }
    }
}

#[test]
fn a_page_can_read_that_it_asked_for_too_much() {
    let cors = "{ allow_origins: [https://app.example.com], allow_headers: [] }";
    let edge = edge(&[("limits", LIMITS), ("cors", cors)]);
    let request = post("/open/1").header("Origin", "https://app.example.com").body("x".repeat(1025));
    let response = edge.ask(&request);
    assert_eq!(response.status, 413);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example.com"));
}

#[test]
fn a_declared_body_is_refused_before_it_is_sent() {
    let edge = edge(&[("limits", LIMITS)]);
    assert_eq!(edge.ask(&post("/open/1").body("x".repeat(1024))).status, 200);
    assert_eq!(edge.upstream.take_request().body.len(), 1024);
    let mut client = edge.client();
    // Nothing of the body is sent: the answer does not wait for it.
    client.send("POST /open/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1025\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.is_last()), (413, true));
    assert!(edge.upstream.take_requests().is_empty());
    assert_eq!(refused(&edge, "body_too_large"), 1.0);
}

#[test]
fn who_may_not_call_is_told_nothing_of_bodies() {
    let edge = edge(&[("limits", LIMITS)]);
    assert_eq!(edge.ask(&post("/items/1").body("x".repeat(1024))).status, 401);
    assert_eq!(edge.ask(&post("/items/1").body("x".repeat(1025))).status, 413);
}

#[test]
fn a_body_without_a_length_is_counted() {
    let edge = edge(&[("limits", LIMITS)]);
    let chunked = |size: usize| {
        let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
        format!("POST /open/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n")
    };
    let mut client = edge.client();
    client.send(chunked(1024));
    assert_eq!(client.response().status, 200);
    assert_eq!(edge.upstream.take_request().body.len(), 1024);
    client.send(chunked(1025));
    let response = client.response();
    assert_eq!((response.status, response.is_last()), (413, true));
    assert_eq!(refused(&edge, "body_too_large"), 1.0);
    // The connection to the upstream has half a request on it: the next one has its own.
    assert_eq!(edge.ask(&get("/open/2")).status, 200);
    let requests = edge.upstream.take_requests();
    assert_eq!(requests.iter().map(|request| request.target()).collect::<Vec<_>>(), ["/open/2"]);
}

/// An endpoint that answers as soon as a request begins, but never to the end.
fn hasty_upstream() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                drop(stream.read(&mut buffer));
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").ok();
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

#[test]
fn a_response_that_has_begun_is_cut() {
    let upstreams = format!("{{ items: {{ endpoints: [\"{}\"] }} }}", hasty_upstream());
    let edge = edge(&[("limits", LIMITS), ("upstreams", &upstreams)]);
    let mut client = edge.client();
    client.send("POST /open/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    client.expect("hello");
    client.send(format!("400\r\n{}\r\n", "x".repeat(1024)));
    assert!(!String::from_utf8_lossy(&client.rest()).contains("HTTP/1.1"));
    eventually("the metric", || (refused(&edge, "body_too_large") == 1.0).then_some(()));
}

#[test]
fn no_limit_is_no_limit() {
    let edge = edge(&[("limits", "{ request_body_bytes: 0 }")]);
    let body = "x".repeat(11 * 1024 * 1024);
    assert_eq!(edge.ask(&post("/open/1").body(body.as_str())).status, 200);
    assert_eq!(edge.upstream.take_request().body.len(), body.len());
}

/// Who sends its body before it reads the answer still gets the answer.
#[test]
fn a_client_that_talks_first_hears_the_answer() {
    let edge = edge(&[("limits", LIMITS)]);
    let mut client = edge.client();
    client.send("POST /open/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..64 {
        client.send(format!("4000\r\n{}\r\n", "x".repeat(0x4000)));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().status, 413);
}
