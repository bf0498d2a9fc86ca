//! Endpoints that fail requests are left out, and come back when they are well.

use std::{
    io::{self, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use e2e::{
    client::{Client, get, post},
    edge::Edge,
    load::{Connections, Load},
    message::Head,
    upstream::{Answer, REFUSING, Upstream},
    wait::eventually,
};

use crate::edge;

const CLIENTS: [Connections; 3] = [Connections::Kept, Connections::Kept, Connections::New];

/// A listener whose queue is full: what asks for a connection gets no answer.
struct Full {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Full {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let queued: Vec<_> = std::iter::from_fn(queued).take(16).collect();
        assert!(queued.len() < 16, "the queue has no end");
        Self { address, _listener: listener, _queued: queued }
    }
}

/// What a [`Streamer`] says of itself from time to time.
const BEAT: &[u8] = b"5\r\nbeat\n\r\n";

/// How often.
const BEATS: Duration = Duration::from_millis(300);

/// A server whose answers to `/open/stream` never end. To everything else it answers 500.
struct Streamer(SocketAddr);

impl Streamer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // It ends when the other side does.
                thread::spawn(move || Self::serve(stream).ok());
            }
        });
        Self(address)
    }

    fn serve(stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        while let Some(head) = Head::read(&mut stream)? {
            let is_stream = head.start_line().contains("/open/stream");
            let stream = stream.get_mut();
            if is_stream {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                loop {
                    stream.write_all(BEAT)?;
                    thread::park_timeout(BEATS);
                }
            }
            stream.write_all(b"HTTP/1.1 500 Failed\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    }
}

/// An upstream `items` of these endpoints, and more keys of it.
fn upstreams(endpoints: &[String], rest: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
    format!("{{ items: {{ endpoints: [{}], {rest} }} }}", endpoints.join(", "))
}

fn address(upstream: &Upstream) -> String {
    upstream.address().to_string()
}

fn ejections(edge: &Edge) -> f64 {
    edge.proxy.metrics().sum("cognigate_upstream_ejections_total", &[("upstream", "items")])
}

#[track_caller]
fn await_ejections(edge: &Edge, count: f64) {
    eventually(&format!("{count} ejections"), || (ejections(edge) >= count).then_some(()));
}

fn is_in_rotation(edge: &Edge, endpoint: &str) -> bool {
    let labels = [("upstream", "items"), ("endpoint", endpoint)];
    edge.proxy.metrics().sum("cognigate_upstream_endpoint_healthy", &labels) == 1.0
}

#[track_caller]
fn await_rotation(edge: &Edge, endpoint: &str) {
    eventually(&format!("{endpoint} in rotation"), || is_in_rotation(edge, endpoint).then_some(()));
}

fn ask(edge: &Edge, times: usize) -> Vec<u16> {
    let ask = |number: usize| {
        edge.ask(&if number.is_multiple_of(2) { get("/open/1") } else { post("/open/1").body("hello") })
    };
    (0..times).map(|number| ask(number).status).collect()
}

/// GETs and POSTs at once, over old and new connections, until so many more of each were answered: none may fail.
#[track_caller]
fn assert_none_fails(edge: &Edge, answers: usize, meanwhile: impl FnOnce()) {
    let start = |request| Load::start(edge.proxy.address(), request, &CLIENTS);
    let loads = [start(&get("/open/1")), start(&post("/open/1").body("hello"))];
    meanwhile();
    loads.iter().for_each(|load| load.await_answers(answers));
    for load in loads {
        assert_eq!(load.stop().1, Vec::<String>::new());
    }
}

#[test]
fn one_dead_endpoint_of_three_costs_no_request() {
    let other = Upstream::start();
    let outlier = "outlier: { consecutive_failures: 3, eject_for: 200ms }, retries: 1";
    let edge = edge(&[("upstreams", &upstreams(&["$UPSTREAM".into(), REFUSING.into(), address(&other)], outlier))]);
    assert_none_fails(&edge, 300, || await_ejections(&edge, 1.0));
    // It was asked again and again meanwhile, and let in not once.
    assert!(!is_in_rotation(&edge, REFUSING) && ejections(&edge) == 1.0);
    assert!(is_in_rotation(&edge, &address(&other)) && is_in_rotation(&edge, &address(&edge.upstream)));
}

#[test]
fn without_retries_none_fails_after_the_first_ejection() {
    let other = Upstream::start();
    let outlier = "outlier: { consecutive_failures: 3, eject_for: 200ms }, retries: 0";
    let edge = edge(&[("upstreams", &upstreams(&["$UPSTREAM".into(), REFUSING.into(), address(&other)], outlier))]);
    assert_eq!(ask(&edge, 9).iter().filter(|status| **status == 502).count(), 3);
    assert_eq!(ejections(&edge), 1.0);
    let start = Instant::now();
    assert_none_fails(&edge, 300, || {});
    assert_none_fails(&edge, 10, || thread::park_timeout(Duration::from_secs(1).saturating_sub(start.elapsed())));
    assert_eq!(ejections(&edge), 1.0);
}

#[test]
fn an_endpoint_comes_back_when_it_is_well() {
    let other = Upstream::start();
    let outlier = "outlier: { consecutive_failures: 2, eject_for: 200ms }, retries: 0";
    let edge = edge(&[("upstreams", &upstreams(&["$UPSTREAM".into(), address(&other)], outlier))]);
    other.refuse_connections();
    assert_eq!(ask(&edge, 4).iter().filter(|status| **status == 502).count(), 2);
    assert!(!is_in_rotation(&edge, &address(&other)));
    assert_none_fails(&edge, 50, || {
        other.accept_connections();
        other.await_requests(20);
    });
    assert!(is_in_rotation(&edge, &address(&other)));
    assert_eq!(ejections(&edge), 1.0);
}

#[test]
fn where_all_are_dead_that_is_said_at_once() {
    let others = [Upstream::start(), Upstream::start()];
    let endpoints = ["$UPSTREAM".to_owned(), address(&others[0]), address(&others[1])];
    let outlier = "outlier: { consecutive_failures: 2, eject_for: 300ms, max_ejected: 100% }, retries: 0";
    let edge = edge(&[("upstreams", &upstreams(&endpoints, outlier))]);
    let all = [&edge.upstream, &others[0], &others[1]];
    all.iter().for_each(|upstream| upstream.refuse_connections());
    assert_eq!(ask(&edge, 6), [502; 6]);
    assert_eq!(ejections(&edge), 3.0);
    let start = Instant::now();
    let response = edge.ask(&get("/open/1"));
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")), "{response:?}");
    assert_eq!(response.text(), r#"{"message":"Service Unavailable"}"#);
    all.iter().for_each(|upstream| upstream.accept_connections());
    all.iter().for_each(|upstream| await_rotation(&edge, &address(upstream)));
    assert_eq!(ask(&edge, 12), [200; 12]);
    assert!(all.iter().all(|upstream| upstream.take_requests().len() == 4));
}

/// It accepts connections, which is all that it is asked, and answers nothing: who tries whether it is well is one request.
#[test]
fn an_endpoint_that_hangs_costs_one_request_each_time_it_returns() {
    let other = Upstream::start();
    let rest = "outlier: { consecutive_failures: 2, eject_for: 400ms }, retries: 0, timeouts: { read: 200ms }";
    let edge = edge(&[("upstreams", &upstreams(&["$UPSTREAM".into(), address(&other)], rest))]);
    other.answer(Answer::never());
    let load = Load::start(edge.proxy.address(), &get("/open/1"), &[Connections::Kept; 8]);
    await_ejections(&edge, 1.0);
    other.take_requests();
    await_ejections(&edge, 3.0);
    // Two returns, and not yet the third.
    assert_eq!(other.take_requests().len(), 2);
    other.answer(Answer::Echo);
    await_rotation(&edge, &address(&other));
    // As soon as it has answered one, it gets its share.
    other.await_requests(50);
    let (_, failures) = load.stop();
    let late = failures.iter().filter(|failure| failure.ends_with("504")).count();
    assert!(late <= 8 + 2, "{failures:?}");
    assert_eq!(ejections(&edge), 3.0);
}

/// Half of three is one: the others go on being asked, and refuse.
#[test]
fn no_more_than_the_share_are_left_out() {
    let others = [Upstream::start(), Upstream::start()];
    let endpoints = ["$UPSTREAM".to_owned(), address(&others[0]), address(&others[1])];
    let outlier = "outlier: { consecutive_failures: 1, eject_for: 1h, max_ejected: 50% }, retries: 0";
    let edge = edge(&[("upstreams", &upstreams(&endpoints, outlier))]);
    let all = [&edge.upstream, &others[0], &others[1]];
    all.iter().for_each(|upstream| upstream.refuse_connections());
    assert_eq!(ask(&edge, 12), [502; 12]);
    assert_eq!(ejections(&edge), 1.0);
    all.iter().for_each(|upstream| upstream.accept_connections());
    assert_eq!(ask(&edge, 12), [200; 12]);
}

#[test]
fn the_only_endpoint_is_never_left_out() {
    let outlier = "outlier: { consecutive_failures: 1, max_ejected: 100% }, retries: 0";
    let edge = edge(&[("upstreams", &upstreams(&["$UPSTREAM".into()], outlier))]);
    edge.upstream.refuse_connections();
    assert_eq!(ask(&edge, 4), [502; 4]);
    edge.upstream.accept_connections();
    assert_eq!(ask(&edge, 2), [200; 2]);
}

#[test]
fn answers_count_as_the_configuration_says() {
    let other = Upstream::start();
    let outlier = "outlier: { consecutive_failures: 3, eject_for: 1h, statuses: [429, 502-503] }, retries: 0";
    let edge = edge(&[("upstreams", &upstreams(&["$UPSTREAM".into(), address(&other)], outlier))]);
    // Half of them go to the other one.
    for (status, is_ejected) in [(500, false), (404, false), (504, false), (503, true)] {
        other.answer(Answer::json(status, "{}"));
        assert_eq!(ask(&edge, 6).iter().filter(|found| **found == status).count(), 3);
        assert_eq!(is_in_rotation(&edge, &address(&other)), !is_ejected, "{status}");
    }
    assert_eq!(ask(&edge, 6), [200; 6]);
}

#[test]
fn a_success_begins_the_count_anew() {
    let other = Upstream::start();
    let outlier = "outlier: { consecutive_failures: 3, eject_for: 1h }, retries: 0";
    let edge = edge(&[("upstreams", &upstreams(&["$UPSTREAM".into(), address(&other)], outlier))]);
    for _ in 0..3 {
        other.answer(Answer::json(500, "{}"));
        ask(&edge, 4);
        other.answer(Answer::Echo);
        ask(&edge, 2);
    }
    assert_eq!(ejections(&edge), 0.0);
    // A response that breaks off is no success, whatever its status said.
    other.answer(Answer::Last("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".into()));
    for _ in 0..6 {
        let mut client = edge.client();
        client.send(get("/open/1").to_bytes());
        client.head();
    }
    await_ejections(&edge, 1.0);
}

/// It goes on: what failed before it and what fails after it is not in a row.
#[test]
fn a_response_that_has_gone_on_for_a_second_is_a_success() {
    let streamer = Streamer::start();
    let outlier = "outlier: { consecutive_failures: 2, eject_for: 1h }, retries: 0";
    let edge = edge(&[("upstreams", &upstreams(&["$UPSTREAM".into(), streamer.0.to_string()], outlier))]);
    assert_eq!(ask(&edge, 2).iter().filter(|status| **status == 500).count(), 1);
    let mut clients = [edge.client(), edge.client()];
    clients.iter_mut().for_each(|client| client.send(get("/open/stream").to_bytes()));
    let is_stream = |client: &mut Client| client.head().value("transfer-encoding").is_some();
    let streaming = clients.iter_mut().find_map(|client| is_stream(client).then_some(client)).unwrap();
    // Five of them are 1.2 seconds.
    (0..5).for_each(|_| assert_eq!(streaming.take(BEAT.len()), BEAT));
    assert_eq!(ask(&edge, 2).iter().filter(|status| **status == 500).count(), 1);
    assert_eq!(ejections(&edge), 0.0);
    assert_eq!(ask(&edge, 2).iter().filter(|status| **status == 500).count(), 1);
    assert_eq!(ejections(&edge), 1.0);
}

/// The client goes, or pauses: neither says anything about the endpoint.
#[test]
fn what_clients_do_is_not_held_against_an_endpoint() {
    let outlier = "outlier: { consecutive_failures: 1, eject_for: 1h }, retries: 0, timeouts: { read: 300ms }";
    let other = Upstream::start();
    let edge = edge(&[("upstreams", &upstreams(&["$UPSTREAM".into(), address(&other)], outlier))]);
    for upstream in [&edge.upstream, &other] {
        upstream.answer(Answer::never());
    }
    let failed = |code| edge.proxy.metrics().sum("cognigate_http_requests_total", &[("code", code)]);
    for _ in 0..4 {
        let mut client = TcpStream::connect(edge.proxy.address()).unwrap();
        client.write_all(&get("/open/1").to_bytes()).unwrap();
        // Gone as soon as the request is with an endpoint.
        let with_endpoint = |upstream: &Upstream| !upstream.take_requests().is_empty();
        eventually("a request", || (with_endpoint(&edge.upstream) || with_endpoint(&other)).then_some(()));
    }
    eventually("requests whose client left", || (failed("499") == 4.0).then_some(()));
    for _ in 0..4 {
        let mut client = edge.client();
        client.send("POST /open/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello");
        assert_eq!(client.response().status, 504);
    }
    assert_eq!(ejections(&edge), 0.0);
    // With all of the request, and silent: that is the endpoint's doing.
    assert_eq!(edge.ask(&post("/open/1").body("hello")).status, 504);
    assert_eq!(ejections(&edge), 1.0);
}

/// The kernel drops what asks for a connection.
#[test]
fn connections_that_take_too_long_count() {
    let full = Full::start();
    let rest = "outlier: { consecutive_failures: 2, eject_for: 1h }, retries: 0, timeouts: { connect: 200ms }";
    let edge = edge(&[("upstreams", &upstreams(&["$UPSTREAM".into(), full.address.to_string()], rest))]);
    assert_eq!(ask(&edge, 4).iter().filter(|status| **status == 504).count(), 2);
    assert_eq!(ask(&edge, 4), [200; 4]);
    assert!(!is_in_rotation(&edge, &full.address.to_string()));
}

/// The route's time is over before the upstream's: that is held against an endpoint that had half of it, and not against one
/// that had what another had left over.
#[test]
fn who_lets_the_time_of_a_route_pass_is_late() {
    let full = Full::start();
    let rest = "outlier: { consecutive_failures: 1, eject_for: 1h, max_ejected: 100% }, timeouts: { connect: 450ms }";
    let routes = r#"[{ match: { path: "/open/{proxy+}" }, auth: none, upstream: items, timeout: 600ms }]"#;
    let upstreams = upstreams(&[full.address.to_string(), "$UPSTREAM".into()], rest);
    let edge = edge(&[("upstreams", &upstreams), ("routes", routes)]);
    edge.upstream.answer(Answer::never());
    let silent = address(&edge.upstream);
    assert_eq!(edge.ask(&get("/open/1")).status, 504);
    assert_eq!(edge.upstream.take_requests().len(), 1);
    assert_eq!((is_in_rotation(&edge, &full.address.to_string()), is_in_rotation(&edge, &silent)), (false, true));
    assert_eq!(edge.ask(&get("/open/1")).status, 504);
    assert!(!is_in_rotation(&edge, &silent));
}

#[test]
fn what_is_known_of_endpoints_outlives_a_reload() {
    let other = Upstream::start();
    let outlier = "outlier: { consecutive_failures: 1, eject_for: 1h }, retries: 0";
    let endpoints = ["$UPSTREAM".to_owned(), address(&other)];
    let same = upstreams(&endpoints, outlier);
    let edge = edge(&[("upstreams", &same)]);
    other.refuse_connections();
    ask(&edge, 2);
    other.accept_connections();
    let routes = r#"[{ match: { path: "/{proxy+}" }, auth: none, upstream: items }]"#;
    edge.reload(&[("upstreams", &same), ("routes", routes)]);
    assert!(!is_in_rotation(&edge, &address(&other)));
    assert_eq!(ask(&edge, 6), [200; 6]);
    assert_eq!((edge.upstream.take_requests().len() >= 6, other.take_requests().len()), (true, 0));
    // Another definition is another upstream.
    edge.reload(&[("upstreams", &upstreams(&endpoints, "retries: 2")), ("routes", routes)]);
    assert_eq!(ask(&edge, 6), [200; 6]);
    assert_eq!(other.take_requests().len(), 3);
    // What has left the configuration says nothing any more.
    edge.reload(&[("upstreams", &upstreams(&endpoints[..1], "retries: 2")), ("routes", routes)]);
    let metrics = edge.proxy.metrics();
    for name in ["cognigate_upstream_endpoint_healthy", "cognigate_upstream_endpoint_requests_in_flight"] {
        let endpoints: Vec<_> = metrics.series(name).map(|(labels, _)| labels["endpoint"].clone()).collect();
        assert_eq!(endpoints, [address(&edge.upstream)], "{name}");
    }
}

#[test]
fn the_log_names_who_is_ejected_and_counts_what_fails() {
    let outlier = "outlier: { consecutive_failures: 3, eject_for: 1h }, retries: 0";
    let edge = edge(&[("upstreams", &upstreams(&["$UPSTREAM".into(), REFUSING.into()], outlier))]);
    let lines = |what: &str| {
        let log = edge.proxy.log();
        log.lines().filter(|line| line.contains(what)).map(str::to_owned).collect::<Vec<_>>()
    };
    ask(&edge, 6);
    edge.proxy.await_log("the ejection", |line| line.contains("endpoint ejected") && line.contains(REFUSING));
    edge.upstream.refuse_connections();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        ask(&edge, 4);
    }
    assert_eq!(lines("endpoint ejected").len(), 1);
    let failed = lines("request failed");
    // One a second, and the first at once.
    assert!((2..=4).contains(&failed.len()), "{failed:?}");
    assert!(failed[0].contains("suppressed=0") && !failed[1].contains("suppressed=0"), "{failed:?}");
}
