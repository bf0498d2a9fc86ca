//! What is tried once more: nothing that could be done twice by mistake, and not without end.

mod http2;

use std::{
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use e2e::{
    client::{Request, get, post, request},
    edge::Edge,
    upstream::{Answer, REFUSING, Upstream},
    wait::{Gate, eventually},
};
use rustix::net::sockopt::set_socket_linger;

use crate::edge;

/// Nobody is left out, so that it is known whose turn it is.
const NEVER_EJECTED: &str = "outlier: { consecutive_failures: 0 }";

fn edge_with(endpoints: &[&str], retries: usize) -> Edge {
    let endpoints: Vec<_> = endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
    let endpoints = endpoints.join(", ");
    let upstreams = format!("{{ items: {{ endpoints: [{endpoints}], {NEVER_EJECTED}, retries: {retries} }} }}");
    edge(&[("upstreams", &upstreams)])
}

fn counted(edge: &Edge, name: &str) -> f64 {
    edge.proxy.metrics().sum(name, &[("upstream", "items")])
}

fn retries(edge: &Edge) -> f64 {
    counted(edge, "cognigate_upstream_retries_total")
}

/// Statuses, and how often the first endpoint and the second got the request, when the first ends the connection that the
/// request is sent on, having read all of it. `is_reused`: the connection had been used before.
fn sent_to_one_that_dies(sent: &Request, is_reused: bool) -> (u16, usize, usize) {
    let second = Upstream::start();
    let edge = edge_with(&["$UPSTREAM", &second.address().to_string()], 1);
    let mut client = edge.client();
    if is_reused {
        for _ in 0..2 {
            assert_eq!(client.ask(sent).status, 200);
        }
    }
    let first = &edge.upstream;
    first.take_requests();
    second.take_requests();
    first.answer(Answer::Close);
    let status = client.ask(sent).status;
    let (at_first, at_second) = (first.take_requests().len(), second.take_requests());
    if let [again] = &*at_second {
        assert!(sent.to_bytes().ends_with(&again.body), "the body is another");
    }
    (status, at_first, at_second.len())
}

#[test]
fn what_is_idempotent_is_repeated_after_a_dead_connection() {
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        assert_eq!(sent_to_one_that_dies(&request(method, "/open/1"), true), (200, 1, 1), "{method}");
    }
    assert_eq!(sent_to_one_that_dies(&request("PUT", "/open/1").body("x".repeat(60_000)), true), (200, 1, 1));
}

/// RFC 9110 section 9.2.2: "A proxy MUST NOT automatically retry non-idempotent requests."
#[test]
fn what_is_not_idempotent_is_sent_once() {
    for method in ["POST", "PATCH", "BREW"] {
        for sent in [request(method, "/open/1").body("hello"), request(method, "/open/1").header("Content-Length", "0")]
        {
            for is_reused in [true, false] {
                assert_eq!(sent_to_one_that_dies(&sent, is_reused), (502, 1, 0), "{method} {is_reused}");
            }
        }
    }
}

/// It was not idle: the endpoint died of the request, or with it.
#[test]
fn on_a_new_connection_nothing_is_repeated() {
    assert_eq!(sent_to_one_that_dies(&get("/open/1"), false), (502, 1, 0));
}

/// More than is kept of it.
#[test]
fn a_body_that_is_not_there_any_more_is_not_repeated() {
    let (status, at_first, at_second) =
        sent_to_one_that_dies(&request("PUT", "/open/1").body("x".repeat(200_000)), true);
    assert_eq!((status, at_first, at_second), (502, 1, 0));
}

/// The client resets its connection just as the answer comes: it cannot be written, which is nothing that the endpoint did.
#[test]
fn a_client_that_leaves_makes_no_request_two() {
    const ROUNDS: u32 = 100;
    let edge = edge_with(&["$UPSTREAM"], 1);
    for round in 0..ROUNDS {
        edge.upstream.answer(Answer::Echo);
        assert_eq!(edge.ask(&get("/open/1")).status, 200);
        edge.upstream.take_requests();
        let gate = Gate::default();
        let answer = Answer::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".into());
        edge.upstream.answer(Answer::After(gate.clone(), Box::new(answer)));
        let mut client = TcpStream::connect(edge.proxy.address()).unwrap();
        set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        client.write_all(&get("/open/1").to_bytes()).unwrap();
        edge.upstream.await_requests(1);
        gate.open();
        drop(client);
        let counted = || edge.proxy.metrics().sum("cognigate_http_requests_total", &[]);
        eventually("counted", || (counted() == 2.0 * f64::from(round + 1)).then_some(()));
        assert_eq!(edge.upstream.take_requests().len(), 1, "round {round}");
    }
    assert_eq!(retries(&edge), 0.0);
}

/// A connection that was idle ends as the request comes. What takes longer is the endpoint's doing.
#[test]
fn an_endpoint_that_ends_used_connections_late_is_left_out() {
    for (late, is_out) in [(Duration::ZERO, false), (Duration::from_millis(1500), true)] {
        let second = Upstream::start();
        let outlier = "outlier: { consecutive_failures: 1, eject_for: 1h }";
        let endpoints = format!("['$UPSTREAM', '{}']", second.address());
        let upstreams = format!("{{ items: {{ endpoints: {endpoints}, {outlier}, retries: 1 }} }}");
        let edge = edge(&[("upstreams", &upstreams)]);
        let mut client = edge.client();
        for _ in 0..2 {
            assert_eq!(client.ask(&get("/open/1")).status, 200);
        }
        edge.upstream.take_requests();
        let gate = Gate::default();
        edge.upstream.answer(Answer::After(gate.clone(), Box::new(Answer::Close)));
        client.send(get("/open/1").to_bytes());
        edge.upstream.await_requests(1);
        let arrived = Instant::now();
        while arrived.elapsed() < late {
            thread::park_timeout(late);
        }
        gate.open();
        assert_eq!(client.response().status, 200, "it is idempotent");
        assert_eq!(counted(&edge, "cognigate_upstream_ejections_total"), f64::from(u8::from(is_out)), "{late:?}");
    }
}

/// Both are left out for it. What is said is what became of the request.
#[test]
fn a_request_that_has_nowhere_left_to_go_fails_with_what_it_failed_with() {
    let outlier = "outlier: { consecutive_failures: 1, eject_for: 1h, max_ejected: 100% }";
    let endpoints = format!("['{REFUSING}', '127.0.0.2:1']");
    let upstreams = format!("{{ items: {{ endpoints: {endpoints}, {outlier}, retries: 5 }} }}");
    let edge = edge(&[("upstreams", &upstreams)]);
    assert_eq!(edge.ask(&get("/open/1")).status, 502);
    edge.proxy.await_log("the reason", |line| line.contains("request failed") && line.contains("bad_gateway"));
    assert_eq!(counted(&edge, "cognigate_upstream_retries_denied_total"), 0.0);
}

#[test]
fn a_response_that_has_begun_is_not_begun_again() {
    let second = Upstream::start();
    let edge = edge_with(&["$UPSTREAM", &second.address().to_string()], 5);
    let mut client = edge.client();
    for _ in 0..2 {
        assert_eq!(client.ask(&get("/open/1")).status, 200);
    }
    second.take_requests();
    edge.upstream.answer(Answer::Last("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".into()));
    client.send(get("/open/1").to_bytes());
    let response = String::from_utf8(client.rest()).unwrap();
    assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("\r\n\r\nhello"), "{response}");
    assert_eq!((second.take_requests().len(), retries(&edge)), (0, 0.0));
}

/// Nothing was written.
#[test]
fn any_request_is_tried_elsewhere_if_there_is_no_connection() {
    let edge = edge_with(&[REFUSING, "$UPSTREAM"], 1);
    for _ in 0..4 {
        assert_eq!(edge.ask(&post("/open/1").body("hello")).status, 200);
    }
    assert_eq!(edge.upstream.take_requests().len(), 4);
    assert_eq!(retries(&edge), 2.0);
}

#[test]
fn it_is_tried_as_often_as_the_configuration_says_each_time_elsewhere() {
    const DEAD: [&str; 5] = ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1", "127.0.0.4:1", "127.0.0.5:1"];
    for retries in [0, 4, 5] {
        let edge = edge_with(&DEAD, retries);
        assert_eq!(edge.ask(&post("/open/1").body("hello")).status, 502, "{retries}");
        assert_eq!(self::retries(&edge), retries as f64);
    }
    // In whatever order: six are tried, each of them once.
    let edge = edge_with(&[&DEAD[..], &["$UPSTREAM"]].concat(), 5);
    for _ in 0..2 {
        assert_eq!(edge.ask(&post("/open/1").body("hello")).status, 200);
    }
}

/// A reserve of ten, and one for five requests.
#[test]
fn a_budget_caps_retries() {
    let edge = edge_with(&[REFUSING], 5);
    let mut statuses: Vec<_> = (0..100).map(|_| edge.ask(&get("/open/1")).status).collect();
    statuses.dedup();
    assert_eq!(statuses, [502]);
    assert_eq!(retries(&edge), 30.0);
    // Of a hundred requests, each was denied one in the end, but for those that had all five.
    let denied = counted(&edge, "cognigate_upstream_retries_denied_total");
    assert!((90.0..=100.0).contains(&denied), "{denied}");
}
