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
