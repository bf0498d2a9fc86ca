//! Which endpoint of an upstream a request goes to.

use std::{
    collections::BTreeMap,
    io::{BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use e2e::{
    client::{Client, Request, get},
    edge::Edge,
    message::Head,
    process::Proxy,
    upstream::Upstream,
};
use serde_json::json;

use crate::{BINARY, edge};

#[test]
fn weights_are_kept_exactly_and_evenly() {
    let heavy = Upstream::start();
    let address = heavy.address();
    let upstreams = format!(r#"{{ items: {{ endpoints: ["$UPSTREAM", {{ address: "{address}", weight: 3 }}] }} }}"#);
    let edge = edge(&[("upstreams", &upstreams)]);
    let mut client = edge.client();
    for round in 1..=10 {
        for _ in 0..4 {
            assert_eq!(client.ask(&get("/open/1")).status, 200);
        }
        let (light, heavy) = (edge.upstream.take_requests().len(), heavy.take_requests().len());
        assert_eq!((light, heavy), (1, 3), "round {round}");
    }
}

#[test]
fn an_endpoint_of_weight_0_gets_nothing() {
    let idle = Upstream::start();
    let address = idle.address();
    let upstreams = format!(r#"{{ items: {{ endpoints: ["$UPSTREAM", {{ address: "{address}", weight: 0 }}] }} }}"#);
    let edge = edge(&[("upstreams", &upstreams)]);
    for _ in 0..8 {
        assert_eq!(edge.ask(&get("/open/1")).status, 200);
    }
    assert_eq!((edge.upstream.take_requests().len(), idle.take_requests().len()), (8, 0));
}

/// 8,000 requests over several connections, and the order of those over one.
#[test]
fn shares_are_within_a_hundredth_and_smooth() {
    const CONNECTIONS: usize = 4;
    let others = [Upstream::start(), Upstream::start()];
    let [two, five] = [&others[0], &others[1]].map(Upstream::address);
    let upstreams = format!(
        r#"{{ items: {{ endpoints: ["$UPSTREAM", {{ address: "{two}", weight: 2 }}, {{ address: "{five}", weight: 5 }}] }} }}"#
    );
    let edge = edge(&[("upstreams", &upstreams)]);
    let all = [&edge.upstream, &others[0], &others[1]];
    let taken = || all.map(|upstream| upstream.take_requests());

    let mut client = edge.client();
    (0..80).for_each(|_| assert_eq!(client.ask(&get("/open/1")).status, 200));
    let mut order: Vec<_> =
        (0..).zip(taken()).flat_map(|(place, all)| all.into_iter().map(move |it| (it.at, place))).collect();
    order.sort();
    for window in order.windows(8) {
        let count = |wanted: usize| window.iter().filter(|(_, place)| *place == wanted).count();
        assert_eq!([count(0), count(1), count(2)], [1, 2, 5]);
    }

    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = edge.client();
                (0..8000 / CONNECTIONS).for_each(|_| assert_eq!(client.ask(&get("/open/1")).status, 200));
            });
        }
    });
    assert_eq!(taken().map(|all| all.len()), [1000, 2000, 5000]);
}

/// One of three is dead and ejected. Its requests go to the others by their weights, evenly spread.
#[test]
fn the_others_share_what_was_of_one_that_is_out() {
    let (two, five) = (Upstream::start(), Upstream::start());
    let endpoints = format!(
        r#"["$UPSTREAM", {{ address: "{}", weight: 2 }}, {{ address: "{}", weight: 5 }}]"#,
        two.address(),
        five.address()
    );
    let outlier = "outlier: { consecutive_failures: 1, eject_for: 1h }";
    let edge = edge(&[("upstreams", &format!("{{ items: {{ endpoints: {endpoints}, {outlier} }} }}"))]);
    let mut client = edge.client();
    five.refuse_connections();
    (0..8).for_each(|_| assert_eq!(client.ask(&get("/open/1")).status, 200));
    let taken = || [&edge.upstream, &two].map(Upstream::take_requests);
    taken();
    (0..900).for_each(|_| assert_eq!(client.ask(&get("/open/1")).status, 200));
    let mut order: Vec<_> =
        (0..).zip(taken()).flat_map(|(place, all)| all.into_iter().map(move |it| (it.at, place))).collect();
    order.sort();
    let light = |requests: &[(Instant, usize)]| requests.iter().filter(|(_, place)| *place == 0).count();
    // 300 and 600, and of any 30 about 10 and 20.
    assert!(light(&order).abs_diff(300) <= 3, "{}", light(&order));
    let windows: Vec<_> = order.windows(30).map(light).collect();
    assert!(windows.iter().all(|light| light.abs_diff(10) <= 3), "{windows:?}");
}

/// A server that does one thing at a time.
struct Worker {
    address: SocketAddr,
    served: Arc<AtomicUsize>,
}

impl Worker {
    /// One that takes so long for a request.
    fn start(takes: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, served) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (turn, counter) = (Arc::new(Mutex::new(())), Arc::clone(&served));
        let serve = move |stream: TcpStream, turn: &Mutex<()>, served: &AtomicUsize| {
            stream.set_nodelay(true).unwrap();
            let mut stream = BufReader::new(stream);
            while let Ok(Some(_)) = Head::read(&mut stream) {
                {
                    let _turn = turn.lock().unwrap();
                    thread::park_timeout(takes);
                }
                served.fetch_add(1, Ordering::Relaxed);
                stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok();
            }
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (turn, served) = (Arc::clone(&turn), Arc::clone(&counter));
                thread::spawn(move || serve(stream, &turn, &served));
            }
        });
        Self { address, served }
    }
}

/// Sends requests at a steady rate, whether those before are answered or not. How long each took from when it was due.
fn steady(edge: &Edge, requests: u32, gap: Duration) -> Vec<Duration> {
    const CONNECTIONS: u32 = 48;
    let start = Instant::now();
    let client = |number: u32| {
        let mut client = edge.client();
        let took = (number..requests).step_by(CONNECTIONS as usize).map(move |request| {
            let due = start + gap * request;
            while let Some(early) = due.checked_duration_since(Instant::now()).filter(|early| !early.is_zero()) {
                thread::park_timeout(early);
            }
            assert_eq!(client.ask(&get("/open/1")).status, 200);
            due.elapsed()
        });
        took.collect::<Vec<_>>()
    };
    let mut took: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    took.sort();
    took
}

/// Two that take 5 ms and one that takes 50, at two thirds of what the three can do.
#[test]
fn a_slow_endpoint_gets_few_requests_of_those_that_look() {
    const REQUESTS: u32 = 300;
    let outcome = |balance: &str| {
        let workers = [5, 5, 50].map(|takes| Worker::start(Duration::from_millis(takes)));
        let endpoints: Vec<_> = workers.iter().map(|worker| format!("\"{}\"", worker.address)).collect();
        let endpoints = endpoints.join(", ");
        let edge = edge(&[("upstreams", &format!("{{ items: {{ endpoints: [{endpoints}], balance: {balance} }} }}"))]);
        let took = steady(&edge, REQUESTS, Duration::from_millis(4));
        let share = workers[2].served.load(Ordering::Relaxed) as f64 / f64::from(REQUESTS);
        (share, took[took.len() * 99 / 100])
    };
    let (blind_share, blind) = outcome("round_robin");
    let (share, seeing) = outcome("least_requests");
    let shown = format!("round_robin {blind_share} {blind:?}, least_requests {share} {seeing:?}");
    assert!(blind_share > 0.32 && share < 0.15, "{shown}");
    assert!(blind >= seeing * 3, "{shown}");
}

#[test]
fn random_keeps_shares_more_or_less() {
    let heavy = Upstream::start();
    let address = heavy.address();
    let endpoints = format!(r#"["$UPSTREAM", {{ address: "{address}", weight: 3 }}]"#);
    let edge = edge(&[("upstreams", &format!("{{ items: {{ endpoints: {endpoints}, balance: random }} }}"))]);
    let mut client = edge.client();
    (0..400).for_each(|_| assert_eq!(client.ask(&get("/open/1")).status, 200));
    let light = edge.upstream.take_requests().len();
    // Five times the deviation that is to be expected.
    assert!((57..=143).contains(&light), "{light}");
    assert_eq!(heavy.take_requests().len(), 400 - light);
}

/// Three endpoints and two proxies that choose by a key.
struct Keyed {
    edge: Edge,
    twin: Proxy,
    others: [Upstream; 2],
}

impl Keyed {
    fn start(hash_on: &str) -> Self {
        let others = [Upstream::start(), Upstream::start()];
        let endpoints = format!(r#"["$UPSTREAM", "{}", "{}"]"#, others[0].address(), others[1].address());
        let balance = format!("balance: consistent_hash, hash_on: {hash_on}");
        let upstreams = format!("{{ items: {{ endpoints: {endpoints}, {balance}, retries: 1 }} }}");
        let edge = edge(&[("upstreams", &upstreams), ("forwarded", "{ trusted: [127.0.0.1/32] }")]);
        let twin = edge.twin(BINARY);
        twin.wait_ready();
        Self { edge, twin, others }
    }

    /// Which endpoint got a request that was sent to a proxy.
    fn place(&self, proxy: &Proxy, request: &Request) -> usize {
        assert_eq!(Client::connect(proxy.address()).ask(request).status, 200);
        let all = [&self.edge.upstream, &self.others[0], &self.others[1]];
        let counts = all.map(|upstream| upstream.take_requests().len());
        counts.iter().position(|count| *count > 0).unwrap()
    }

    /// Which endpoint got each of these, the same every time and from both proxies; each endpoint got some.
    #[track_caller]
    fn places(&self, requests: &[Request]) -> Vec<usize> {
        let places = |proxy| requests.iter().map(|request| self.place(proxy, request)).collect::<Vec<_>>();
        let found = places(&self.edge.proxy);
        assert_eq!((&places(&self.edge.proxy), &places(&self.twin)), (&found, &found));
        let counts = found.iter().fold(BTreeMap::new(), |mut counts, place| {
            *counts.entry(*place).or_insert(0) += 1;
            counts
        });
        assert_eq!(counts.len(), 3, "{counts:?}");
        found
    }
}

#[test]
fn one_value_of_a_header_is_one_endpoint_in_every_proxy() {
    let keyed = Keyed::start("header:X-Tenant");
    let requests: Vec<_> =
        (0..24).map(|number| get("/open/1").header("X-Tenant", format!("tenant-{number}"))).collect();
    let before = keyed.places(&requests);
    // Those of the one that is gone go elsewhere, and nobody else's.
    keyed.others[1].refuse_connections();
    for (request, before) in requests.iter().zip(&before) {
        let after = keyed.place(&keyed.edge.proxy, request);
        assert!(if *before == 2 { after != 2 } else { after == *before }, "{before} to {after}");
    }
    // Without a key, one after the other.
    keyed.others[1].accept_connections();
    let turns: Vec<_> = (0..12).map(|_| keyed.place(&keyed.twin, &get("/open/1").header("X-Tenant", ""))).collect();
    assert!((0..3).all(|place| turns.iter().filter(|turn| **turn == place).count() == 4), "{turns:?}");
}

#[test]
fn one_caller_is_one_endpoint_in_every_proxy() {
    let keyed = Keyed::start("sub");
    let request = |number: usize| {
        let sub = format!("6f1a1d5e-0000-4000-8000-{number:012}");
        get("/items/1").token(&keyed.edge.pool.id_token(&json!({ "sub": sub })))
    };
    keyed.places(&(0..24).map(request).collect::<Vec<_>>());
}

#[test]
fn one_address_is_one_endpoint_in_every_proxy() {
    let keyed = Keyed::start("source_ip");
    let request = |number: usize| get("/open/1").header("X-Forwarded-For", format!("192.0.2.{number}"));
    keyed.places(&(0..24).map(request).collect::<Vec<_>>());
}
