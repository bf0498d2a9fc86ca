//! How the proxy stops: it lets go of nobody who is being served, waits for nobody else, and for nobody for ever.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use e2e::{
    client::{Client, get},
    edge::Edge,
    upstream::Answer,
    wait::{Gate, eventually},
};

use crate::edge;

/// Well before the default `shutdown_grace` of 30 seconds.
const PROMPTLY: Duration = Duration::from_secs(5);

/// A connection whose request has reached the upstream, which answers when the gate opens.
fn request_in_flight(edge: &Edge) -> (Client, Gate) {
    let gate = Gate::default();
    edge.upstream.answer(Answer::After(gate.clone(), Box::new(Answer::Echo)));
    let mut client = edge.client();
    client.send(get("/open/in-flight").to_bytes());
    edge.upstream.await_requests(1);
    (client, gate)
}

/// Waits until the connections are asked to end.
#[track_caller]
fn await_stopping(edge: &Edge) {
    eventually("stopping", || edge.proxy.log().contains("stopping connections=").then_some(()));
}

fn exit_code(status: Option<ExitStatus>) -> Option<i32> {
    status.and_then(|status| status.code())
}

#[test]
fn a_stop_waits_for_the_request_in_flight_and_no_longer() {
    for signal in ["TERM", "INT"] {
        let mut edge = edge(&[]);
        let (mut client, gate) = request_in_flight(&edge);
        edge.proxy.signal(signal);
        eventually("not ready", || (edge.proxy.admin("/readyz").status == 503).then_some(()));
        assert_eq!(edge.proxy.admin("/livez").status, 200, "{signal}");
        let late = Client::try_connect(edge.proxy.address()).and_then(|mut late| late.try_ask(&get("/nowhere")));
        assert!(late.is_err() || late.is_ok_and(|late| late.is_last()), "{signal}");
        assert_eq!(edge.proxy.wait_exit(Duration::ZERO), None, "{signal}");

        gate.open();
        let response = client.response();
        assert_eq!((response.status, response.json()["target"].as_str()), (200, Some("/open/in-flight")), "{signal}");
        assert_eq!(client.rest(), b"", "{signal}");
        assert_eq!(exit_code(edge.proxy.wait_exit(PROMPTLY)), Some(0), "{signal}: {}", edge.proxy.log());
    }
}

#[test]
fn a_stop_lets_load_balancers_notice_for_drain_delay() {
    let mut edge = edge(&[("server", "{ drain_delay: 1s }")]);
    let mut kept = edge.client();
    assert_eq!(kept.ask(&get("/open/1")).status, 200);
    let asked = Instant::now();
    edge.proxy.signal("TERM");
    eventually("not ready", || (edge.proxy.admin("/readyz").status == 503).then_some(()));
    let still = [edge.ask(&get("/open/2")), kept.ask(&get("/open/3"))];
    if asked.elapsed() < Duration::from_millis(800) {
        for response in still {
            assert_eq!((response.status, response.is_last()), (200, false));
        }
    }
    assert_eq!(exit_code(edge.proxy.wait_exit(PROMPTLY)), Some(0), "{}", edge.proxy.log());
    assert!(asked.elapsed() >= Duration::from_secs(1), "load balancers had their time");
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for server in ["{ drain_delay: 1h }", "{}"] {
        let mut edge = edge(&[("server", server)]);
        let (_client, _gate) = request_in_flight(&edge);
        edge.proxy.signal("TERM");
        eventually("not ready", || (edge.proxy.admin("/readyz").status == 503).then_some(()));
        assert_eq!(edge.proxy.wait_exit(Duration::ZERO), None, "{server}");
        edge.proxy.signal("INT");
        assert_eq!(exit_code(edge.proxy.wait_exit(PROMPTLY)), Some(0), "{server}: {}", edge.proxy.log());
    }
}

#[test]
fn the_last_response_of_a_kept_connection_says_so() {
    let mut edge = edge(&[]);
    let (mut client, gate) = request_in_flight(&edge);
    edge.proxy.signal("TERM");
    await_stopping(&edge);
    gate.open();
    let response = client.response();
    assert_eq!((response.status, response.is_last()), (200, true), "{:?}", response.head);
    assert_eq!(exit_code(edge.proxy.wait_exit(PROMPTLY)), Some(0));
}

#[test]
fn a_kept_connection_may_bring_a_last_request() {
    let mut edge = edge(&[]);
    let mut kept = edge.client();
    assert_eq!(kept.ask(&get("/open/1")).status, 200);
    let asked = Instant::now();
    edge.proxy.signal("TERM");
    await_stopping(&edge);
    std::thread::park_timeout(Duration::from_millis(200));
    let last = kept.try_ask(&get("/open/2"));
    // It has a second; a machine that took longer has shown nothing.
    if asked.elapsed() < Duration::from_millis(800) {
        let last = last.unwrap();
        assert_eq!((last.status, last.is_last()), (200, true));
    }
    assert_eq!(exit_code(edge.proxy.wait_exit(PROMPTLY)), Some(0));
}

#[test]
fn a_stop_does_not_wait_for_idle_connections() {
    let mut edge = edge(&[]);
    let (_silent, mut idle) = (edge.client(), edge.client());
    assert_eq!(idle.ask(&get("/open/1")).status, 200);
    edge.proxy.signal("TERM");
    assert_eq!(exit_code(edge.proxy.wait_exit(PROMPTLY)), Some(0));
    assert!(!edge.proxy.log().contains("ERROR"), "{}", edge.proxy.log());
    assert_eq!(idle.rest(), b"");
}

#[test]
fn a_stop_waits_for_nobody_beyond_shutdown_grace() {
    let mut edge = edge(&[("server", "{ shutdown_grace: 1s }")]);
    let (_client, _gate) = request_in_flight(&edge);
    let asked = Instant::now();
    edge.proxy.signal("TERM");
    assert_eq!(exit_code(edge.proxy.wait_exit(PROMPTLY)), Some(0), "{}", edge.proxy.log());
    assert!(asked.elapsed() >= Duration::from_secs(1), "the request had its grace");
}
