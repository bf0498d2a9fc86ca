//! How many connections there may be, and how long they may take.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use e2e::{
    authority::Authority,
    client::{Client, get},
    edge::Edge,
    process::Directory,
    secure,
    secure::SecureClient,
    upstream::Answer,
    wait::{Gate, eventually, within},
};

use crate::{await_metric, await_rejected, edge, metric, secure_listener};

/// Both times that bound a wait, long enough for a machine that is busy to be in time.
const QUICK: (&str, &str) = ("limits", "{ header_read_timeout: 1s, idle_timeout: 1500ms }");
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(1);
const IDLE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Well before the next bound.
const PROMPTLY: Duration = Duration::from_secs(5);

fn open(edge: &Edge) -> f64 {
    metric(edge, "cognigate_downstream_connections", &[])
}

/// That the other side closes after `limit` and not before, with these as its last bytes.
#[track_caller]
fn assert_closes(client: &mut Client, since: Instant, limit: Duration, case: &str) -> Vec<u8> {
    let rest = client.rest();
    let time = since.elapsed();
    assert!(time >= limit && time < limit + PROMPTLY, "{case}: {time:?}");
    rest
}

#[test]
fn more_connections_than_allowed_are_closed_at_once() {
    let edge = edge(&[("limits", "{ connections: 2 }")]);
    let (mut first, mut second) = (edge.client(), edge.client());
    for client in [&mut first, &mut second] {
        assert_eq!(client.ask(&get("/open/1")).status, 200);
    }
    for _ in 0..3 {
        assert_eq!(edge.client().rest(), b"");
    }
    await_rejected(&edge, "connection_limit", 3.0);
    assert!(edge.proxy.log().contains("limits.connections are open"));
    assert_eq!(edge.proxy.admin("/readyz").status, 200, "whoever watches is not counted");
    drop(first);
    eventually("room", || (open(&edge) == 1.0).then_some(()));
    assert_eq!(edge.ask(&get("/open/2")).status, 200);
    assert_eq!(second.ask(&get("/open/3")).status, 200);
}

#[test]
fn one_address_has_as_many_connections_as_allowed() {
    let edge = edge(&[("limits", "{ connections_per_ip: 1 }")]);
    let mut first = edge.client();
    assert_eq!(first.ask(&get("/open/1")).status, 200);
    assert_eq!(edge.client().rest(), b"");
    await_rejected(&edge, "connection_limit_per_ip", 1.0);
    assert_eq!(first.ask(&get("/open/2")).status, 200);
    drop(first);
    eventually("room", || (open(&edge) == 0.0).then_some(()));
    assert_eq!(edge.ask(&get("/open/3")).status, 200);
}

#[test]
fn a_slow_head_is_answered_408_and_ends_the_connection() {
    let edge = edge(&[QUICK]);
    for requests_before in [0, 1] {
        let mut client = edge.client();
        for _ in 0..requests_before {
            assert_eq!(client.ask(&get("/open/1")).status, 200);
        }
        client.send("GET /open/2 HTTP/1.1\r\n");
        let began = Instant::now();
        client.send("Host: localh");
        let answer = client.response();
        assert_eq!((answer.status, answer.is_last()), (408, true), "{answer:?}");
        assert!(answer.header("date").is_some());
        assert_closes(&mut client, began, HEADER_READ_TIMEOUT - Duration::from_millis(100), "slow");
    }
    await_rejected(&edge, "header_timeout", 2.0);
    assert!(!edge.proxy.log().contains("ERROR"), "{}", edge.proxy.log());
}

#[test]
fn bytes_now_and_then_do_not_make_a_head_last() {
    let edge = edge(&[QUICK]);
    let mut stream = TcpStream::connect(edge.proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let began = Instant::now();
    let mut answer = [0; 512];
    let length = loop {
        // Fails once the proxy has closed.
        drop(stream.write_all(b"X"));
        match stream.read(&mut answer) {
            Ok(length) => break length,
            Err(_) => assert!(began.elapsed() < PROMPTLY, "it lasts"),
        }
    };
    assert!(answer[..length].starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&answer[..length]));
    assert!(began.elapsed() >= HEADER_READ_TIMEOUT - Duration::from_millis(100));
}

#[test]
fn who_only_waits_is_closed_without_a_word() {
    let edge = edge(&[QUICK]);
    let began = Instant::now();
    let (mut silent, mut idle) = (edge.client(), edge.client());
    assert_eq!(idle.ask(&get("/open/1")).status, 200);
    let idle_since = Instant::now();
    assert_eq!(assert_closes(&mut silent, began, HEADER_READ_TIMEOUT, "silent"), b"");
    let slack = Duration::from_millis(200);
    assert_eq!(assert_closes(&mut idle, idle_since, IDLE_TIMEOUT - slack, "idle"), b"");
    assert_eq!(metric(&edge, "cognigate_rejected_requests_total", &[("reason", "header_timeout")]), 0.0);
}

#[test]
fn a_request_in_flight_is_no_slow_head() {
    let edge = edge(&[QUICK]);
    let gate = Gate::default();
    edge.upstream.answer(Answer::After(gate.clone(), Box::new(Answer::Echo)));
    let mut client = edge.client();
    client.send(get("/open/1").to_bytes());
    edge.upstream.await_requests(1);
    let mut silent = edge.client();
    silent.rest();
    gate.open();
    assert_eq!(client.response().status, 200, "it outlasts both times");
}

#[test]
fn a_handshake_has_no_more_time_than_a_head() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let listener = secure_listener(&directory, &[("server", &authority.server(&["localhost"]))], "");
    let edge = edge(&[("listeners", &listener), QUICK]);
    let began = Instant::now();
    let (mut silent, mut half) = (edge.client(), edge.client());
    half.send(b"\x16\x03\x01\x02\x00\x01");
    assert_closes(&mut silent, began, HEADER_READ_TIMEOUT, "silent");
    assert_closes(&mut half, began, HEADER_READ_TIMEOUT, "half");
    await_metric(&edge, "cognigate_tls_handshake_failures_total", &[], 2.0);
    let config = Arc::new(secure::config(&authority, None));
    let mut slow = SecureClient::connect(edge.proxy.address(), config, "localhost").unwrap();
    slow.send("GET / HT");
    assert_eq!(slow.response().unwrap().status, 408, "under TLS too");
    assert_eq!(slow.rest(), b"");
}

#[test]
fn the_first_head_of_an_http_2_connection_has_no_more_time_than_one_of_http_1() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let listener = secure_listener(&directory, &[("server", &authority.server(&["localhost"]))], "");
    let edge = edge(&[("listeners", &listener), ("limits", "{ header_read_timeout: 1s, idle_timeout: 1h }")]);
    let mut config = secure::config(&authority, None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = SecureClient::connect(edge.proxy.address(), Arc::new(config), "localhost").unwrap();
    let began = Instant::now();
    // HEADERS without an end, and the beginning of what is to follow (CONTINUATION).
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x01\0\0\0\x01\x82\0\0\x09\x09\0\0\0\0\x01\x87");
    client.rest();
    assert!(began.elapsed() < HEADER_READ_TIMEOUT + PROMPTLY, "{:?}", began.elapsed());
}

#[test]
fn a_request_to_the_admin_listener_that_takes_its_time_is_no_slow_head() {
    let directory = Directory::new();
    let file = directory.write("token", "0123456789abcdef0123456789abcdef\n");
    let admin = format!("{{ address: 127.0.0.1:0, token_file: {file:?} }}");
    let edge = edge(&[("admin", &admin)]);
    // The times of this listener are fixed: 10 seconds for a head from the connection's beginning, and 10 for a body.
    let mut client = Client::connect(edge.proxy.admin_address());
    assert_eq!(within(Duration::from_secs(5), || None::<()>), None);
    client.send("POST /revocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    client.send("Authorization: Bearer 0123456789abcdef0123456789abcdef\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(within(Duration::from_secs(6), || None::<()>), None);
    client.send("[]");
    let answer = client.response();
    assert!(answer.status != 408 && !answer.is_last(), "{answer:?}");
}

#[test]
fn an_http_2_connection_begins_in_time_and_does_not_wait_for_ever() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let listener = secure_listener(&directory, &[("server", &authority.server(&["localhost"]))], "");
    let edge = edge(&[("listeners", &listener), QUICK]);
    let mut config = secure::config(&authority, None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // HEADERS without an end, and the beginning of what is to follow (CONTINUATION).
    let half = [preface, &b"\0\0\x01\x01\x01\0\0\0\x01\x82\0\0\x09\x09\0\0\0\0\x01\x87"[..]].concat();
    let whole = [preface, &b"\0\0\x16\x01\x05\0\0\0\x01\x82\x87\x04\x07/open/1\x01\x09localhost"[..]].concat();
    for (case, sent, limit) in [
        ("half a preface", &preface[..10], HEADER_READ_TIMEOUT),
        ("no stream", &preface[..], HEADER_READ_TIMEOUT),
        ("half a head", &half, HEADER_READ_TIMEOUT),
        ("a request", &whole, IDLE_TIMEOUT),
    ] {
        let mut client = SecureClient::connect(edge.proxy.address(), Arc::clone(&config), "localhost").unwrap();
        assert_eq!(client.protocol(), Some(&b"h2"[..]));
        let began = Instant::now();
        client.send(sent);
        client.rest();
        let time = began.elapsed();
        assert!(time >= limit - Duration::from_millis(300) && time < limit + PROMPTLY, "{case}: {time:?}");
    }
    await_rejected(&edge, "header_timeout", 1.0);
}

#[test]
fn a_connection_ends_after_as_many_requests_as_allowed() {
    let edge = edge(&[("limits", "{ requests_per_connection: 3 }")]);
    let mut client = edge.client();
    let answers: Vec<_> = (0..3).map(|_| client.ask(&get("/open/1"))).collect();
    let said: Vec<_> = answers.iter().map(|answer| (answer.status, answer.is_last())).collect();
    assert_eq!(said, [(200, false), (200, false), (200, true)]);
    assert_eq!(client.rest(), b"");
}
