//! A route with a `timeout` bounds the whole request: 504 before the response has begun, and afterwards the end.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use e2e::{
    client::{get, post},
    edge::Edge,
    upstream::Answer,
    wait::eventually,
};

use crate::edge;

const TIMEOUT: Duration = Duration::from_millis(600);

const ROUTES: &str = r#"
  - { name: short, match: { path: "/short/{proxy+}" }, auth: none, upstream: items, timeout: 600ms }
  - { name: long, match: { path: "/long/{proxy+}" }, auth: none, upstream: items }"#;

fn timed_out(edge: &Edge) -> f64 {
    edge.proxy.metrics().sum("cognigate_rejected_requests_total", &[("reason", "request_timeout")])
}

#[track_caller]
fn assert_on_time(start: Instant) {
    let elapsed = start.elapsed();
    assert!(
        (TIMEOUT - Duration::from_millis(50)..TIMEOUT + Duration::from_millis(700)).contains(&elapsed),
        "{elapsed:?}"
    );
}

/// An endpoint that answers every request with these bytes, one after the other, this far apart, and then says nothing.
fn dripping(response: &'static [&'static str], gap: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move |mut stream: TcpStream| {
        drop(stream.read(&mut [0; 4096]));
        for piece in response {
            stream.write_all(piece.as_bytes()).ok();
            thread::park_timeout(gap);
        }
        while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn edge_before(address: SocketAddr) -> Edge {
    let upstreams = format!("{{ items: {{ endpoints: [\"{address}\"] }} }}");
    edge(&[("routes", ROUTES), ("upstreams", &upstreams)])
}

#[test]
fn an_upstream_that_is_silent_is_given_up() {
    let edge = edge(&[("routes", ROUTES)]);
    edge.upstream.answer(Answer::never());
    for request in [get("/short/1"), post("/short/1").body("hello")] {
        let start = Instant::now();
        let response = edge.ask(&request);
        assert_eq!((response.status, response.is_last()), (504, true), "{response:?}");
        assert_on_time(start);
    }
    assert_eq!(timed_out(&edge), 2.0);
    edge.upstream.answer(Answer::Echo);
    assert_eq!(edge.ask(&get("/short/1")).status, 200);
    assert_eq!(edge.proxy.metrics().sum("cognigate_http_requests_total", &[("route", "short"), ("code", "504")]), 2.0);
}

#[test]
fn an_upload_that_pauses_is_given_up() {
    let edge = edge(&[("routes", ROUTES)]);
    let start = Instant::now();
    let mut client = edge.client();
    client.send("POST /short/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(client.response().status, 504);
    assert_on_time(start);
    assert_eq!(timed_out(&edge), 1.0);
}

#[test]
fn an_upload_that_drips_is_given_up() {
    let edge = edge(&[("routes", ROUTES)]);
    let start = Instant::now();
    let mut client = edge.client();
    client.send("POST /short/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    while start.elapsed() < TIMEOUT {
        client.try_send("1\r\nx\r\n");
        thread::park_timeout(Duration::from_millis(100));
    }
    assert_eq!(client.response().status, 504);
    assert_on_time(start);
}

/// It is answered, and cut off while it is still listened to: that is one request, and one refusal.
#[test]
fn what_is_refused_is_not_counted_again_when_it_is_cut_off() {
    let edge = edge(&[("routes", ROUTES)]);
    let start = Instant::now();
    let mut client = edge.client();
    client.send("POST /short/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    while start.elapsed() < TIMEOUT + Duration::from_millis(1400) {
        client.try_send("1\r\nx\r\n");
        thread::park_timeout(Duration::from_millis(100));
    }
    let counted = [("route", "short"), ("code", "504")];
    let is_counted = || edge.proxy.metrics().sum("cognigate_http_requests_total", &counted) == 1.0;
    eventually("the metric", || is_counted().then_some(()));
    assert_eq!(timed_out(&edge), 1.0);
}

#[test]
fn a_response_that_has_begun_ends() {
    const PIECE: &str = "5\r\nhello\r\n";
    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for gap in [Duration::from_secs(5), Duration::from_millis(100)] {
        let edge = edge_before(dripping(&[HEAD, PIECE, PIECE, PIECE, PIECE, PIECE, PIECE, PIECE, PIECE, PIECE], gap));
        let start = Instant::now();
        let mut client = edge.client();
        client.send(get("/short/1").to_bytes());
        let response = String::from_utf8(client.rest()).unwrap();
        assert_on_time(start);
        assert!(response.starts_with("HTTP/1.1 200") && response.contains("hello"), "{response}");
        assert!(!response.ends_with("0\r\n\r\n") && !response.contains("504"), "{response}");
        eventually("the metric", || (timed_out(&edge) == 1.0).then_some(()));
        let counted = [("route", "short"), ("code", "200")];
        assert_eq!(edge.proxy.metrics().sum("cognigate_http_requests_total", &counted), 1.0);
    }
}

/// An upload that takes nearly all of the time, and an upstream that has nothing to say to it: no single wait is too long.
#[test]
fn what_adds_up_is_cut_off() {
    let edge = edge(&[("routes", ROUTES)]);
    edge.upstream.answer(Answer::never());
    let start = Instant::now();
    let mut client = edge.client();
    client.send("POST /short/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..5 {
        client.send("1\r\nx\r\n");
        thread::park_timeout(Duration::from_millis(100));
    }
    client.send("0\r\n\r\n");
    client.rest();
    let elapsed = start.elapsed();
    assert!((TIMEOUT..TIMEOUT * 2 + Duration::from_millis(800)).contains(&elapsed), "{elapsed:?}");
    eventually("the metric", || (timed_out(&edge) == 1.0).then_some(()));
    let counted = [("route", "short"), ("code", "504")];
    assert_eq!(edge.proxy.metrics().sum("cognigate_http_requests_total", &counted), 1.0);
}

#[test]
fn a_route_without_one_waits() {
    let edge =
        edge_before(dripping(&["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "o", "k"], Duration::from_millis(500)));
    let response = edge.ask(&get("/long/1"));
    assert_eq!((response.status, response.text()), (200, "ok"));
    assert_eq!(timed_out(&edge), 0.0);
}
