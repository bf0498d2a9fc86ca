//! WebSockets (RFC 6455): opened like any request, and closed when nobody uses them or their token ends.

use std::{
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use e2e::{
    authority::Authority,
    client::{Client, Request, get},
    edge::Edge,
    message::Head,
    pool::now,
    process::Directory,
    secure::{self, SecureClient},
    upstream::BEFORE_A_TUNNEL,
    wait::{Watched, eventually},
};
use serde_json::json;

use crate::edge;

const ROUTES: &str = r#"
  - { name: items, match: { path: "/items/{proxy+}" }, auth: { user_pools: [main] }, upstream: items, rewrite: "/ws/{proxy}" }
  - { name: open, match: { path: "/open/{proxy+}" }, auth: none, upstream: items, timeout: 500ms }"#;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// An endpoint that takes every upgrade and sends back every byte that comes after it.
#[derive(Debug)]
struct Echo {
    address: SocketAddr,
    /// The requests.
    heads: Arc<Watched<Vec<Head>>>,
    /// How many tunnels have ended.
    ended: Arc<Watched<usize>>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, ended) = (Arc::<Watched<Vec<Head>>>::default(), Arc::<Watched<usize>>::default());
        let echo = Self { address, heads: Arc::clone(&heads), ended: Arc::clone(&ended) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heads, ended) = (Arc::clone(&heads), Arc::clone(&ended));
                thread::spawn(move || {
                    serve(stream, &heads);
                    ended.with(|ended| *ended += 1);
                });
            }
        });
        echo
    }

    fn edge(&self, sections: &[(&str, &str)]) -> Edge {
        let upstreams = format!("{{ items: {{ endpoints: [\"{}\"] }} }}", self.address);
        let mut all = vec![("routes", ROUTES), ("upstreams", upstreams.as_str())];
        all.extend(sections);
        edge(&all)
    }

    fn take_head(&self) -> Head {
        let mut heads = self.heads.with(std::mem::take);
        assert_eq!(heads.len(), 1, "{heads:?}");
        heads.remove(0)
    }
}

fn serve(stream: TcpStream, heads: &Watched<Vec<Head>>) {
    let mut stream = BufReader::new(stream);
    let Ok(Some(head)) = Head::read(&mut stream) else { return };
    let is_upgrade = head.value("upgrade") == Some("websocket");
    heads.with(|heads| heads.push(head));
    let answer: &[u8] = match is_upgrade {
        true => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        false => b"HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    };
    thread::park_timeout(BEFORE_A_TUNNEL);
    if stream.get_mut().write_all(answer).is_err() || !is_upgrade {
        return;
    }
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.get_mut().write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

fn upgrade(target: &str) -> Request {
    get(target)
        .header("Connection", "keep-alive, Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
}

/// A text frame as a client sends it (RFC 6455 section 5.2), masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126);
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

#[track_caller]
fn open(edge: &Edge, request: &Request) -> Client {
    let mut client = edge.client();
    client.send(request.to_bytes());
    let head = client.head();
    assert!(head.start_line().starts_with("HTTP/1.1 101"), "{head:?}");
    assert_eq!(head.value("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client
}

#[track_caller]
fn assert_echoes(client: &mut Client, text: &str) {
    client.send(frame(text));
    assert_eq!(client.take(text.len() + 6), frame(text));
}

#[test]
fn ten_thousand_messages_come_back() {
    let echo = Echo::start();
    let edge = echo.edge(&[("identity", "{ headers: { x-sub: sub } }"), ("limits", "{ request_body_bytes: 1KiB }")]);
    let token = edge.pool.id_token(&json!({ "sub": "alice" }));
    let mut client = open(&edge, &upgrade("/items/1").token(&token).header("x-sub", "mallory"));
    for number in 0..10_000 {
        assert_echoes(&mut client, &format!("message {number}"));
    }
    let head = echo.take_head();
    assert_eq!((head.start_line(), head.value("x-sub")), ("GET /ws/1 HTTP/1.1", Some("alice")));
    assert_eq!((head.value("connection"), head.value("sec-websocket-key")), (Some("Upgrade"), Some(KEY)));
    assert!(head.value("x-request-id").is_some());
    drop(client);
    eventually("the end upstream", || echo.ended.with(|ended| (*ended == 1).then_some(())));
    let counted = [("route", "items"), ("code", "101")];
    let is_counted = || edge.proxy.metrics().sum("cognigate_http_requests_total", &counted) == 1.0;
    eventually("the metric", || is_counted().then_some(()));
}

#[test]
fn who_may_not_call_opens_none_and_smuggles_nothing() {
    let echo = Echo::start();
    let edge = echo.edge(&[]);
    let mut client = edge.client();
    let smuggled = get("/open/1").to_bytes();
    client.send([upgrade("/items/1").to_bytes(), smuggled].concat());
    let response = client.response();
    assert_eq!((response.status, response.is_last()), (401, true));
    assert_eq!(client.rest(), b"");
    assert!(echo.heads.with(|heads| heads.is_empty()));
}

#[test]
fn what_comes_too_early_is_part_of_the_tunnel() {
    let echo = Echo::start();
    let edge = echo.edge(&[]);
    let mut client = edge.client();
    let early = get("/open/2").to_bytes();
    client.send([upgrade("/open/1").to_bytes(), early.clone()].concat());
    assert!(client.head().start_line().starts_with("HTTP/1.1 101"));
    assert_eq!(client.take(early.len()), early);
    assert_eq!(echo.take_head().start_line(), "GET /open/1 HTTP/1.1");
}

#[test]
fn only_websocket_is_passed_on() {
    let echo = Echo::start();
    let edge = echo.edge(&[]);
    for protocol in ["h2c", "tls/1.0", "websocket, h2c", "foo"] {
        let request = get("/open/1").header("Connection", "Upgrade").header("Upgrade", protocol);
        assert_eq!(edge.ask(&request).status, 426, "{protocol}");
        let head = echo.take_head();
        assert_eq!((head.value("upgrade"), head.value("connection")), (None, None), "{protocol}");
    }
}

#[test]
fn a_tunnel_outlives_the_timeout_of_its_route() {
    let echo = Echo::start();
    let edge = echo.edge(&[]);
    let mut client = open(&edge, &upgrade("/open/1"));
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2200) {
        assert_echoes(&mut client, "still here");
        thread::park_timeout(Duration::from_millis(200));
    }
}

#[test]
fn a_tunnel_ends_with_its_token() {
    let echo = Echo::start();
    for (is_busy, id) in [(false, "1"), (true, "2")] {
        let edge = echo.edge(&[]);
        let expiry = now() + 3;
        let token = edge.pool.id_token(&json!({ "exp": expiry }));
        let mut client = open(&edge, &upgrade(&format!("/items/{id}")).token(&token));
        assert_echoes(&mut client, "hello");
        while is_busy && now() < expiry - 1 {
            assert_echoes(&mut client, "hello");
        }
        client.rest();
        assert!((expiry..=expiry + 1).contains(&now()), "{} after {expiry}", now());
        eventually("the end upstream", || echo.ended.with(|ended| (*ended > 0).then(|| *ended = 0)));
    }
}

#[test]
fn a_tunnel_may_outlive_its_token_where_that_is_said() {
    let echo = Echo::start();
    let edge = echo.edge(&[("token", "{ close_expired: false }")]);
    let expiry = now() + 2;
    let mut client = open(&edge, &upgrade("/items/1").token(&edge.pool.id_token(&json!({ "exp": expiry }))));
    while now() < expiry + 2 {
        assert_echoes(&mut client, "hello");
        thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn a_tunnel_that_nobody_uses_is_closed() {
    let echo = Echo::start();
    let edge = echo.edge(&[("limits", "{ websocket_idle_timeout: 700ms }")]);
    let mut client = open(&edge, &upgrade("/open/1"));
    for _ in 0..10 {
        assert_echoes(&mut client, "hello");
        thread::park_timeout(Duration::from_millis(150));
    }
    let start = Instant::now();
    client.rest();
    let elapsed = start.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_secs(2)).contains(&elapsed), "{elapsed:?}");
    eventually("the end upstream", || echo.ended.with(|ended| (*ended == 1).then_some(())));
}

#[test]
fn an_upstream_that_does_not_answer_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstreams = format!(
        "{{ items: {{ endpoints: [\"{}\"], timeouts: {{ connect: 100ms, read: 200ms }} }} }}",
        listener.local_addr().unwrap()
    );
    let edge = edge(&[("routes", ROUTES), ("upstreams", &upstreams)]);
    let start = Instant::now();
    let mut client = edge.client();
    client.send(upgrade("/items/1").token(&edge.pool.id_token(&json!({}))).to_bytes());
    assert_eq!(client.rest(), b"");
    assert!(start.elapsed() < Duration::from_secs(4));
    edge.proxy.await_log("the failure", |line| line.contains("request failed") && line.contains("gateway_timeout"));
    let counted = [("route", "items"), ("code", "504")];
    let is_counted = || edge.proxy.metrics().sum("cognigate_http_requests_total", &counted) == 1.0;
    eventually("the metric", || is_counted().then_some(()));
}

#[test]
fn over_http_2_it_is_a_request_like_any_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstreams = format!(
        "{{ items: {{ endpoints: [\"{}\"], protocol: http2, timeouts: {{ connect: 1s, read: 200ms }} }} }}",
        listener.local_addr().unwrap()
    );
    let edge = edge(&[("routes", ROUTES), ("upstreams", &upstreams)]);
    let response = edge.ask(&upgrade("/items/1").token(&edge.pool.id_token(&json!({}))));
    assert_eq!(response.status, 504);
}

/// The answer that declines comes in pieces, for longer than an upstream has until it begins to answer.
#[test]
fn an_answer_that_declines_is_not_cut_off() {
    const PIECES: usize = 12;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        Head::read(&mut stream).unwrap();
        let head = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n", 5 * PIECES);
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        for _ in 0..PIECES {
            thread::park_timeout(Duration::from_millis(150));
            stream.get_mut().write_all(b"hello").unwrap();
        }
    });
    let upstreams =
        format!("{{ items: {{ endpoints: [\"{address}\"], timeouts: {{ connect: 100ms, read: 200ms }} }} }}");
    let edge = edge(&[("routes", ROUTES), ("upstreams", &upstreams)]);
    let response = edge.ask(&upgrade("/items/1").token(&edge.pool.id_token(&json!({}))));
    assert_eq!((response.status, response.text()), (403, "hello".repeat(PIECES).as_str()));
    assert_eq!(edge.proxy.metrics().sum("cognigate_rejected_requests_total", &[]), 0.0);
}

#[test]
fn a_strangers_page_cannot_open_one_with_its_readers_cookie() {
    let echo = Echo::start();
    let edge = echo.edge(&[
        ("token", "{ sources: [{ header: authorization }, { cookie: session }] }"),
        ("cors", "{ allow_origins: [https://app.example.com], allow_headers: [] }"),
    ]);
    let token = edge.pool.id_token(&json!({}));
    let with_cookie = || upgrade("/items/1").header("Cookie", format!("session={token}"));
    for (request, is_allowed) in [
        (with_cookie(), true),
        (with_cookie().header("Origin", "https://app.example.com"), true),
        (with_cookie().header("Origin", "http://localhost"), true),
        (with_cookie().header("Origin", "https://evil.example"), false),
        (with_cookie().header("Origin", "null"), false),
        (upgrade("/items/1").token(&token).header("Origin", "https://evil.example"), true),
    ] {
        if is_allowed {
            assert_echoes(&mut open(&edge, &request), "hello");
            continue;
        }
        let response = edge.ask(&request);
        assert_eq!((response.status, response.is_last()), (403, true), "{request:?}");
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    let refused = [("reason", "origin_not_allowed")];
    assert_eq!(edge.proxy.metrics().sum("cognigate_rejected_requests_total", &refused), 2.0);
}

/// A browser shows a certificate to any page's request, and whoever sits on the way speaks for any page of http.
#[test]
fn a_strangers_page_cannot_open_one_through_tls() {
    let echo = Echo::start();
    let (authority, directory) = (Authority::new("clients"), Directory::new());
    let (cert, key) = authority.server(&["localhost"]).write(&directory, "proxy");
    let ca = directory.write("clients.crt", &authority.pem());
    let listeners = format!(
        "[{{ address: 127.0.0.1:0, tls: {{ certificates: [{{ cert: {}, key: {} }}], client_ca: {}, client_certificates: optional }} }}]",
        cert.display(),
        key.display(),
        ca.display()
    );
    let edge = echo.edge(&[("listeners", &listeners), ("token", "{ sources: [{ cookie: session }] }")]);
    let token = edge.pool.id_token(&json!({}));
    let with_cookie = || upgrade("/items/1").header("Cookie", format!("session={token}"));
    let client = authority.client("alice");
    for (certificate, request, status) in [
        (None, with_cookie().header("Origin", "https://localhost"), 101),
        (None, with_cookie().header("Origin", "http://localhost"), 403),
        (None, upgrade("/open/1").header("Origin", "https://evil.example"), 101),
        (Some(&client), upgrade("/open/1").header("Origin", "https://evil.example"), 403),
        (Some(&client), upgrade("/open/1").header("Origin", "https://localhost"), 101),
        (Some(&client), upgrade("/open/1"), 101),
    ] {
        let config = Arc::new(secure::config(&authority, certificate));
        let mut client = SecureClient::connect(edge.proxy.address(), config, "localhost").unwrap();
        client.send(request.to_bytes());
        let head = Head::read(&mut BufReader::new(client.stream())).unwrap().unwrap();
        assert!(head.start_line().starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {head:?}");
    }
}

#[test]
fn a_tunnel_lives_through_a_stop_until_its_grace_is_over() {
    let echo = Echo::start();
    let mut edge = echo.edge(&[("server", "{ shutdown_grace: 1s }")]);
    let mut client = open(&edge, &upgrade("/open/1"));
    assert_echoes(&mut client, "before");
    edge.proxy.signal("TERM");
    edge.proxy.await_log("the stop", |line| line.contains("stopping"));
    assert_echoes(&mut client, "after");
    client.rest();
    assert!(edge.proxy.wait_exit(Duration::from_secs(5)).is_some());
}
