//! What passes between client and upstream once a request is admitted, and what a failing upstream does to it.

use e2e::{
    client::{get, post, request},
    upstream::{Answer, REFUSING},
    wait::eventually,
};

use crate::edge;

#[test]
fn what_the_upstream_answers_passes_as_it_is() {
    let edge = edge(&[]);
    let mut client = edge.client();
    for (status, fields, body) in [
        ("200 OK", "Content-Length: 5\r\nContent-Type: text/plain", "hello"),
        ("200 OK", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
        ("204 No Content", "X-Empty: yes", ""),
        ("304 Not Modified", "ETag: \"a\"", ""),
        ("302 Found", "Location: https://a.example/b?c\r\nContent-Length: 0", ""),
        ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"theirs\"\r\nContent-Length: 2", "no"),
        ("418 I'm a teapot", "Content-Length: 6", "teapot"),
        ("503 Service Unavailable", "Retry-After: 77\r\nContent-Length: 4", "busy"),
    ] {
        edge.upstream.answer(Answer::Raw(format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n{body}").into()));
        let response = client.ask(&get("/open/1"));
        assert!(status.starts_with(&response.status.to_string()), "{status}: {response:?}");
        assert_eq!(response.text(), if body.contains("hello") { "hello" } else { body }, "{status}");
        for field in fields.lines() {
            let (name, value) = field.split_once(": ").unwrap();
            assert_eq!(response.header(name), Some(value), "{status}");
        }
    }
}

#[test]
fn an_endpoint_that_refuses_connections_costs_no_request() {
    let upstreams = format!(r#"{{ items: {{ endpoints: ["{REFUSING}", "$UPSTREAM"] }} }}"#);
    let edge = edge(&[("upstreams", &upstreams)]);
    for sent in [get("/open/1"), post("/open/2").body("hello"), get("/open/3"), post("/open/4").body("hello")] {
        assert_eq!(edge.ask(&sent).status, 200, "{sent:?}");
    }
    assert_eq!(edge.upstream.take_requests().len(), 4);
    assert!(edge.proxy.metrics().sum("cognigate_upstream_retries_total", &[("upstream", "items")]) >= 2.0);
}

#[test]
fn what_may_not_be_repeated_is_sent_once() {
    let edge = edge(&[]);
    for method in ["POST", "PATCH", "BREW"] {
        // The first request leaves a connection behind that the upstream closes on the second.
        edge.upstream.answer(Answer::Echo);
        assert_eq!(edge.ask(&get("/open/1")).status, 200);
        edge.upstream.answer(Answer::Close);
        edge.upstream.take_requests();
        assert_eq!(edge.ask(&request(method, "/open/1").body("hello")).status, 502, "{method}");
        assert_eq!(edge.upstream.take_requests().len(), 1, "{method}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_not_completed() {
    let edge = edge(&[]);
    edge.upstream.answer(Answer::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_vec()));
    let answer = edge.client().try_ask(&get("/open/1"));
    assert_eq!(answer.err().map(|error| error.kind()), Some(std::io::ErrorKind::UnexpectedEof));
}

#[test]
fn the_upstream_learns_nothing_of_the_clients_connection() {
    let edge = edge(&[]);
    let hop_by_hop =
        [("Keep-Alive", "timeout=5"), ("TE", "trailers"), ("Proxy-Authorization", "Basic eDp5"), ("X-Nominated", "1")];
    let sent = get("/open/1").header("Connection", "keep-alive, X-Nominated");
    edge.ask(&hop_by_hop.iter().fold(sent, |sent, (name, value)| sent.header(*name, *value)));
    let seen = edge.upstream.take_request();
    for (name, _) in hop_by_hop {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[test]
fn what_comes_before_an_answer_is_no_answer() {
    let edge = edge(&[]);
    for interim in ["103 Early Hints", "100 Continue"] {
        edge.upstream.answer(Answer::Last(format!("HTTP/1.1 {interim}\r\n\r\n").into()));
        let mut client = edge.client();
        client.send(get("/open/1").to_bytes());
        let first = client.response();
        let last = if first.status < 200 { client.response() } else { first };
        assert_eq!(last.status, 502, "{interim}");
    }
    let codes = || edge.proxy.metrics().sum("cognigate_http_requests_total", &[("code", "502")]);
    eventually("both counted as what they ended as", || (codes() == 2.0).then_some(()));
}

#[test]
fn a_second_try_goes_to_another_endpoint() {
    let upstreams = format!(
        r#"{{ items: {{ endpoints: [{{ address: "{REFUSING}", weight: 5 }}, {{ address: "$UPSTREAM", weight: 1 }}] }} }}"#
    );
    let edge = edge(&[("upstreams", &upstreams)]);
    let statuses: Vec<_> = (0..12).map(|_| edge.ask(&get("/open/1")).status).collect();
    assert_eq!(statuses, [200; 12]);
}
