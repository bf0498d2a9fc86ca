//! How much memory a connection costs that waits for its next request.

use std::{fs, sync::Arc, thread};

use ::h2::client::SendRequest;
use bytes::Bytes;
use e2e::{
    client::{Client, get},
    edge::Edge,
    h2, secure,
    secure::SecureClient,
    wait::eventually,
};
use tokio::runtime::Runtime;

use crate::{BINARY, Secure, allow_connections, alone, say};

/// How many wait at a time.
const CONNECTIONS: usize = 10_000;

/// Threads that open them.
const OPENERS: usize = 8;

/// The most that one may cost: bytes.
const LIMIT: usize = 50 * 1024;

/// Nothing is closed while the test goes on.
const PATIENT: (&str, &str) = ("limits", "{ idle_timeout: 1h }");

/// Asks something, whatever it speaks. What status it is answered with.
trait Ask: Send {
    fn ask(&mut self) -> u16;
}

impl Ask for Client {
    fn ask(&mut self) -> u16 {
        Client::ask(self, &get("/open/1")).status
    }
}

impl Ask for SecureClient {
    fn ask(&mut self) -> u16 {
        SecureClient::ask(self, &get("/open/1")).status
    }
}

/// An HTTP/2 connection, and what drives it.
struct Http2<'r> {
    runtime: &'r Runtime,
    sender: SendRequest<Bytes>,
}

impl Ask for Http2<'_> {
    fn ask(&mut self) -> u16 {
        let request = h2::get("/open/1").body(()).unwrap();
        self.runtime.block_on(h2::ask(&mut self.sender, request, &[])).unwrap().status()
    }
}

/// What a process has in memory: bytes.
fn resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kilobytes.unwrap().parse::<usize>().unwrap() * 1024
}

fn open(edge: &Edge) -> f64 {
    edge.proxy.metrics().sum("cognigate_downstream_connections", &[])
}

/// Opens so many connections, has each ask once, and keeps them.
fn fill<C: Ask>(count: usize, connect: impl Fn() -> C + Sync) -> Vec<C> {
    let opener = || {
        let open_one = |_| {
            let mut client = connect();
            assert_eq!(client.ask(), 200);
            client
        };
        (0..count / OPENERS).map(open_one).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS).map(|_| scope.spawn(opener)).collect();
        openers.into_iter().flat_map(|opener| opener.join().unwrap()).collect()
    })
}

/// What one of many connections costs that asked once and wait.
fn assert_cheap<C: Ask>(what: &str, edge: &Edge, connect: impl Fn() -> C + Sync) {
    // What the first requests cost is not the price of a connection.
    drop(fill(10 * OPENERS, &connect));
    eventually("an empty proxy", || (open(edge) == 0.0).then_some(()));
    let before = resident(edge.proxy.id());
    let mut clients = fill(CONNECTIONS, connect);
    assert_eq!(open(edge), CONNECTIONS as f64, "all of them are open");
    let growth = resident(edge.proxy.id()).saturating_sub(before);
    let each = growth / CONNECTIONS;
    say(format_args!(
        "{what}: {CONNECTIONS} idle connections: resident memory {before} + {growth} bytes, {each} bytes each"
    ));
    assert!(each <= LIMIT, "{each} bytes each, at most {LIMIT}");
    for client in clients.iter_mut().step_by(100) {
        assert_eq!(client.ask(), 200, "each is served when it asks again");
    }
}

#[test]
fn an_idle_connection_costs_little() {
    let _alone = alone();
    allow_connections(CONNECTIONS);
    let edge = Edge::start(BINARY, &[PATIENT]);
    assert_cheap("plain", &edge, || edge.client());
}

#[test]
fn an_idle_tls_connection_costs_little() {
    let _alone = alone();
    allow_connections(CONNECTIONS);
    let Secure { edge, authority, directory: _directory } = Secure::start(&[PATIENT]);
    let config = Arc::new(secure::config(&authority, None));
    let connect = || SecureClient::connect(edge.proxy.address(), Arc::clone(&config), "localhost").unwrap();
    assert_cheap("TLS", &edge, connect);
}

#[test]
fn an_idle_http_2_connection_costs_little() {
    let _alone = alone();
    allow_connections(CONNECTIONS);
    let Secure { edge, authority, directory: _directory } = Secure::start(&[PATIENT]);
    let runtime = Runtime::new().unwrap();
    let connect = || {
        let sender = runtime.block_on(h2::connect(edge.proxy.address(), &authority));
        Http2 { runtime: &runtime, sender }
    };
    assert_cheap("HTTP/2", &edge, connect);
}
