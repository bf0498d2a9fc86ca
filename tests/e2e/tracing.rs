//! Traces: W3C Trace Context in and out, and spans for a collector over OTLP/gRPC.

mod collector;
mod outage;

use std::{io::Write, net::TcpListener, thread, time::Duration};

use e2e::{
    client::{Request, get},
    edge::Edge,
    upstream::{Answer, REFUSING},
    wait::eventually,
};
use serde_json::json;

use self::collector::{Collector, Seen};
use crate::edge;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "b7ad6b7169203331";

const STATE: &str = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";

/// This machine is a proxy that is believed.
const TRUSTING: (&str, &str) = ("forwarded", "{ trusted: [127.0.0.0/8] }");

/// An edge whose spans go to a collector.
#[track_caller]
fn traced(collector: &Collector, settings: &str, sections: &[(&str, &str)]) -> Edge {
    let tracing = tracing(collector, settings);
    let mut all = vec![("tracing", tracing.as_str())];
    all.extend(sections);
    edge(&all)
}

fn tracing(collector: &Collector, settings: &str) -> String {
    format!("{{ otlp: \"http://127.0.0.1:{}\", {settings} }}", collector.port())
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CLIENT_SPAN}-{flags}")
}

/// The parts of a `traceparent`.
#[track_caller]
fn parts(traceparent: &str) -> [&str; 4] {
    let parts: Vec<_> = traceparent.split('-').collect();
    let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
    assert_eq!((lengths, parts[0]), (vec![2, 32, 16, 2], "00"), "{traceparent}");
    parts.try_into().unwrap()
}

#[track_caller]
fn named<'s>(spans: &'s [Seen], name: &str) -> &'s Seen {
    let found: Vec<_> = spans.iter().filter(|span| span.0.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:?}");
    found[0]
}

fn counted(edge: &Edge, result: &str) -> f64 {
    edge.proxy.metrics().sum("cognigate_tracing_spans_total", &[("result", result)])
}

/// A request that a trusted proxy asks to make spans of, with a token, and what came of it.
struct Asked {
    edge: Edge,
    collector: Collector,
    token: String,
    spans: Vec<Seen>,
}

impl Asked {
    #[track_caller]
    fn ask() -> Self {
        let collector = Collector::start();
        let edge = traced(&collector, "sample: 0, service_name: edge-1", &[TRUSTING]);
        let token = edge.pool.id_token(&json!({ "sub": "alice" }));
        let asked = get("/items/1?secret=squeamish")
            .token(&token)
            .header("traceparent", traceparent("01"))
            .header("tracestate", STATE)
            .header("User-Agent", "test/1")
            .header("X-Request-Id", "request-1");
        assert_eq!(edge.ask(&asked).status, 200);
        let spans = collector.await_spans(3);
        Self { edge, collector, token, spans }
    }

    /// The spans of the request, of the decision and of the endpoint.
    #[track_caller]
    fn named(&self) -> [&Seen; 3] {
        ["GET /items/{proxy+}", "auth", "upstream"].map(|name| named(&self.spans, name))
    }
}

#[test]
fn the_spans_of_a_request_are_below_that_of_its_client_and_above_that_of_the_upstream() {
    let asked = Asked::ask();
    let [server, auth, client] = asked.named();
    assert_eq!((server.parent(), server.0.kind), (CLIENT_SPAN.to_owned(), 2));
    assert_eq!((auth.parent(), auth.0.kind), (server.id(), 1));
    assert_eq!((client.parent(), client.0.kind), (server.id(), 3));
    for Seen(span) in &asked.spans {
        assert_eq!((Seen(span.clone()).trace(), &*span.trace_state), (TRACE.to_owned(), STATE));
        assert!(server.0.start_time_unix_nano <= span.start_time_unix_nano, "{span:?}");
        assert!(span.start_time_unix_nano < span.end_time_unix_nano, "{span:?}");
        assert!(span.end_time_unix_nano <= server.0.end_time_unix_nano, "{span:?}");
        assert_eq!(span.status, None);
    }
    let upstream = asked.edge.upstream.take_request();
    assert_eq!(upstream.header("traceparent"), Some(&*format!("00-{TRACE}-{}-01", client.id())));
    assert_eq!(upstream.header("tracestate"), Some(STATE));
    eventually("counted", || (counted(&asked.edge, "exported") == 3.0).then_some(()));
}

#[test]
fn spans_say_what_happened_and_nothing_secret() {
    let asked = Asked::ask();
    let [server, auth, client] = asked.named();
    let port = asked.edge.upstream.address().port().to_string();
    for (span, key, value) in [
        (server, "http.request.method", "GET"),
        (server, "http.route", "/items/{proxy+}"),
        (server, "cognigate.route", "* /items/{proxy+}"),
        (server, "url.path", "/items/1"),
        (server, "url.scheme", "http"),
        (server, "network.protocol.version", "1.1"),
        (server, "http.response.status_code", "200"),
        (server, "user_agent.original", "test/1"),
        (server, "client.address", "127.0.0.1"),
        (server, "network.peer.address", "127.0.0.1"),
        (server, "cognigate.reason", "ok"),
        (server, "cognigate.request_id", "request-1"),
        (auth, "cognigate.reason", "ok"),
        (client, "http.request.method", "GET"),
        (client, "server.address", "127.0.0.1"),
        (client, "server.port", &port),
        (client, "http.response.status_code", "200"),
        (client, "cognigate.upstream", "items"),
    ] {
        assert_eq!(span.attribute(key).as_deref(), Some(value), "{key}");
    }
    let everything = format!("{:?}", asked.spans);
    for secret in ["squeamish", "alice", asked.token.rsplit('.').next().unwrap()] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
    assert_eq!(asked.collector.resource("service.name").as_deref(), Some("edge-1"));
    assert_eq!(asked.collector.resource("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_refusal_has_a_span_that_says_why() {
    let collector = Collector::start();
    let edge = traced(&collector, "sample: 1", &[]);
    for (asked, name, status, reason, count) in [
        (get("/items/1"), "GET /items/{proxy+}", "401", "token_missing", 2),
        (get("/items/1").token("x.y.z"), "GET /items/{proxy+}", "401", "token_malformed", 2),
        (get("/nowhere"), "GET", "404", "no_route", 1),
        (get("/open/../x"), "GET", "400", "path_ambiguous", 1),
    ] {
        let before = collector.spans().len();
        assert_eq!(edge.ask(&asked).status.to_string(), status);
        let spans = collector.await_spans(before + count).split_off(before);
        let server = named(&spans, name);
        assert_eq!(server.attribute("cognigate.reason").as_deref(), Some(reason));
        assert_eq!(server.attribute("http.response.status_code").as_deref(), Some(status));
        assert!(!server.is_error() && server.parent().is_empty(), "{server:?}");
        if count == 2 {
            assert_eq!(named(&spans, "auth").attribute("cognigate.reason").as_deref(), Some(reason));
        }
    }
    assert!(edge.upstream.take_requests().is_empty());
}

#[test]
fn each_endpoint_that_is_tried_has_a_span() {
    let collector = Collector::start();
    let upstreams = format!("{{ items: {{ endpoints: [\"{REFUSING}\", \"$UPSTREAM\"] }} }}");
    let edge = traced(&collector, "sample: 1", &[("upstreams", &upstreams)]);
    // One of the two begins at the endpoint that refuses.
    for _ in 0..2 {
        assert_eq!(edge.ask(&get("/open/1")).status, 200);
    }
    let spans = eventually("a second try", || {
        let spans = collector.spans();
        spans.iter().any(|span| span.attribute("http.request.resend_count").is_some()).then_some(spans)
    });
    let retry = spans.iter().find(|span| span.attribute("http.request.resend_count").is_some()).unwrap();
    let first = spans
        .iter()
        .find(|span| span.0.name == "upstream" && span.parent() == retry.parent() && span.id() != retry.id());
    let first = first.unwrap();
    assert_eq!(first.attribute("error.type").as_deref(), Some("ConnectRefused"));
    assert!(first.is_error() && first.attribute("http.response.status_code").is_none(), "{first:?}");
    assert!(!retry.is_error(), "{retry:?}");
    assert_eq!(retry.attribute("http.request.resend_count").as_deref(), Some("1"));
    let server = spans.iter().find(|span| span.id() == retry.parent()).unwrap();
    assert!(!server.is_error(), "{server:?}");
    assert_eq!(server.attribute("cognigate.reason").as_deref(), Some("open"));
    let asked = edge.upstream.take_requests();
    let parents: Vec<_> =
        asked.iter().map(|request| parts(request.header("traceparent").unwrap())[2].to_owned()).collect();
    assert!(parents.contains(&retry.id()), "{parents:?}");
}

#[test]
fn what_a_server_fails_at_is_an_error() {
    let collector = Collector::start();
    let edge = traced(&collector, "sample: 1", &[]);
    edge.upstream.answer(Answer::json(503, "{}"));
    assert_eq!(edge.ask(&get("/open/1")).status, 503);
    edge.upstream.answer(Answer::Last(b"nonsense\r\n\r\n".to_vec()));
    let status = edge.ask(&get("/open/2")).status.to_string();
    assert_eq!(status, "502");

    let spans = eventually("both", || Some(collector.spans()).filter(|spans| spans.len() >= 4));
    let of = |path: &str| {
        let server = spans.iter().find(|span| span.attribute("url.path").as_deref() == Some(path)).unwrap();
        (server, spans.iter().rfind(|span| span.parent() == server.id()).unwrap())
    };
    let (server, client) = of("/open/1");
    assert!(server.is_error() && client.is_error());
    assert_eq!(server.attribute("error.type").as_deref(), Some("503"));
    assert_eq!(client.attribute("error.type").as_deref(), Some("503"));
    let (server, client) = of("/open/2");
    assert!(server.is_error() && client.is_error());
    assert_eq!(server.attribute("cognigate.reason").as_deref(), Some("bad_gateway"));
    assert!(client.attribute("error.type").is_some() && client.attribute("http.response.status_code").is_none());
}

/// No single wait is too long: the request is cut off in the middle of one, and nobody is told of an error.
#[test]
fn an_endpoint_that_is_cut_off_for_time_has_failed() {
    let collector = Collector::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstreams = format!("{{ items: {{ endpoints: [\"{}\"] }} }}", listener.local_addr().unwrap());
    let dripping = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        while stream.write_all(b"1\r\nx\r\n").is_ok() {
            thread::park_timeout(Duration::from_millis(100));
        }
    });
    let routes = "[{ match: { path: / }, auth: none, upstream: items, timeout: 600ms }]";
    let edge = traced(&collector, "sample: 1", &[("routes", routes), ("upstreams", &upstreams)]);
    let mut client = edge.client();
    client.send(get("/").to_bytes());
    client.rest();
    let spans = collector.await_spans(2);
    let (server, endpoint) = (named(&spans, "GET /"), named(&spans, "upstream"));
    assert_eq!(server.attribute("cognigate.reason").as_deref(), Some("request_timeout"));
    assert!(endpoint.is_error(), "{endpoint:?}");
    assert_eq!(endpoint.attribute("error.type").as_deref(), Some("timeout"));
    assert_eq!(endpoint.attribute("http.response.status_code").as_deref(), Some("200"));
    dripping.join().unwrap();
}

#[test]
fn a_client_that_leaves_is_nobody_elses_failure() {
    let collector = Collector::start();
    let edge = traced(&collector, "sample: 1", &[]);
    edge.upstream.answer(Answer::never());
    let mut client = edge.client();
    client.send(get("/open/1").to_bytes());
    edge.upstream.await_requests(1);
    drop(client);
    let spans = collector.await_spans(2);
    for name in ["GET /open/{proxy+}", "upstream"] {
        let span = named(&spans, name);
        assert!(!span.is_error(), "{span:?}");
        // There was no response.
        assert_eq!((span.attribute("http.response.status_code"), span.attribute("error.type")), (None, None));
    }
}

#[test]
fn notes_that_are_too_long_lose_whole_members() {
    let collector = Collector::start();
    let edge = traced(&collector, "sample: 1", &[]);
    let long = format!("long={}", "x".repeat(500));
    let asked = get("/open/1").header("traceparent", traceparent("01"));
    edge.ask(&asked.header("tracestate", format!("a=1, {long}")).header("tracestate", "b=2"));
    assert_eq!(edge.upstream.take_request().head.values("tracestate"), ["a=1,b=2"]);
    assert!(collector.await_spans(2).iter().all(|span| span.0.trace_state == "a=1,b=2"));
}

#[test]
fn of_a_trace_that_is_not_chosen_only_the_ids_pass_on() {
    let collector = Collector::start();
    let mut edge = traced(&collector, "sample: 0", &[]);
    // A stranger's flag is not ours to clear, and no reason to make spans.
    for flags in ["00", "01", "03"] {
        edge.ask(&get("/open/1").header("traceparent", traceparent(flags)).header("tracestate", "a=1"));
        let request = edge.upstream.take_request();
        assert_eq!(request.header("traceparent"), Some(&*traceparent(flags)));
        assert_eq!(request.header("tracestate"), Some("a=1"));
    }
    // What names no trace begins one.
    let mut seen = vec![TRACE.to_owned()];
    let none = get("/open/1");
    let twice = get("/open/1").header("traceparent", traceparent("01")).header("traceparent", traceparent("01"));
    let loud = get("/open/1").header("traceparent", traceparent("01").to_uppercase());
    for asked in [none, twice, loud] {
        edge.ask(&asked.header("tracestate", "a=1"));
        let request = edge.upstream.take_request();
        let [_, trace, span, flags] = parts(request.header("traceparent").unwrap());
        assert_eq!((flags, request.header("tracestate")), ("00", None));
        assert!(!seen.contains(&trace.to_owned()) && span != CLIENT_SPAN, "{trace}");
        seen.push(trace.to_owned());
    }
    for result in ["dropped", "exported", "failed"] {
        assert_eq!(counted(&edge, result), 0.0, "{result}");
    }
    // What there was would have been sent by the end.
    edge.proxy.signal("TERM");
    assert!(edge.proxy.wait_exit(Duration::from_secs(10)).unwrap().success());
    assert_eq!(collector.spans(), []);
}

#[test]
fn a_trusted_proxy_has_decided() {
    let collector = Collector::start();
    let edge = traced(&collector, "sample: 1", &[TRUSTING]);
    edge.ask(&get("/open/1").header("traceparent", traceparent("00")));
    assert_eq!(edge.upstream.take_request().header("traceparent"), Some(&*traceparent("00")));
    edge.ask(&get("/open/2").header("traceparent", traceparent("01")));
    let spans = collector.await_spans(2);
    assert!(spans.iter().all(|span| span.trace() == TRACE), "{spans:?}");
    assert_eq!(named(&spans, "GET /open/{proxy+}").attribute("url.path").as_deref(), Some("/open/2"));
}

#[test]
fn with_tracing_off_the_fields_pass_as_they_came() {
    let edge = edge(&[TRUSTING]);
    let long = "a=".to_owned() + &"x".repeat(1000);
    for fields in [
        vec![],
        vec![("traceparent", traceparent("01")), ("tracestate", "a=1".to_owned())],
        vec![("traceparent", traceparent("01").to_uppercase()), ("tracestate", long)],
        vec![("traceparent", traceparent("01")), ("traceparent", traceparent("00"))],
        vec![("tracestate", "a=1".to_owned()), ("tracestate", "b=2".to_owned())],
    ] {
        let asked = fields.iter().fold(get("/open/1"), |asked: Request, (name, value)| asked.header(*name, value));
        edge.ask(&asked);
        let request = edge.upstream.take_request();
        let passed = |name: &str| request.head.values(name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        for name in ["traceparent", "tracestate"] {
            let came: Vec<_> = fields.iter().filter(|(of, _)| *of == name).map(|(_, value)| value.clone()).collect();
            assert_eq!(passed(name), came, "{fields:?}");
        }
    }
}

#[test]
fn the_span_of_a_websocket_ends_with_it() {
    let collector = Collector::start();
    let edge = traced(&collector, "sample: 1", &[]);
    let opened = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    edge.upstream.answer(Answer::Raw(opened.into()));
    let mut client = edge.client();
    let asked = get("/open/ws")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    client.send(asked.to_bytes());
    assert!(client.head().start_line().contains("101"));
    // What ends meanwhile is there before.
    edge.ask(&get("/nowhere"));
    assert_eq!(collector.await_spans(1)[0].0.name, "GET");
    drop(client);
    let spans = collector.await_spans(3);
    let server = named(&spans, "GET /open/{proxy+}");
    assert_eq!(server.attribute("http.response.status_code").as_deref(), Some("101"));
    assert!(server.0.end_time_unix_nano > spans[0].0.end_time_unix_nano);
}

#[test]
fn a_reload_starts_stops_and_keeps_tracing() {
    let collector = Collector::start();
    let edge = edge(&[]);
    let on = tracing(&collector, "sample: 1");
    edge.reload(&[("tracing", &on)]);
    edge.ask(&get("/open/1"));
    // The spans of before are not lost where the same tracing goes on, nor where it ends.
    edge.reload(&[("tracing", &on), ("limits", "{ request_body_bytes: 1MiB }")]);
    edge.ask(&get("/open/2"));
    edge.reload(&[]);
    collector.await_spans(4);
    edge.upstream.take_requests();
    edge.ask(&get("/open/3"));
    assert_eq!(edge.upstream.take_request().header("traceparent"), None);
}
