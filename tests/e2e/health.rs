//! `health_check`: an endpoint that is not well gets no requests until it is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::h2::{RecvStream, server::SendResponse};
use bytes::Bytes;
use e2e::{
    authority::Authority,
    client::{get, post},
    edge::Edge,
    h2,
    process::Directory,
    upstream::{Answer, Upstream},
    wait::{Watched, eventually},
};
use http::{Request, Response};

use crate::{BINARY, edge, http2::server};

/// Often enough for a test, and not so often that a busy machine fails a check.
const OFTEN: &str = "interval: 250ms, timeout: 250ms, healthy_after: 2, unhealthy_after: 3";

/// An upstream `items` of these endpoints. Requests themselves never eject one.
fn upstreams(endpoints: &[String], check: &str) -> String {
    let endpoints = endpoints.join(", ");
    format!(
        "{{ items: {{ endpoints: [{endpoints}], health_check: {{ {check}, {OFTEN} }}, outlier: {{ consecutive_failures: 0 }}, \
         retries: 0 }} }}"
    )
}

fn quoted(upstream: &Upstream) -> String {
    format!("\"{}\"", upstream.address())
}

/// Waits until an endpoint is in rotation, or out of it.
#[track_caller]
fn await_healthy(edge: &Edge, endpoint: &str, is_healthy: bool) {
    let wanted = f64::from(u8::from(is_healthy));
    eventually(&format!("{endpoint} in rotation: {is_healthy}"), || {
        let metrics = edge.proxy.metrics();
        let mut found = metrics.series("cognigate_upstream_endpoint_healthy");
        found.any(|(labels, value)| labels["endpoint"] == endpoint && value == wanted).then_some(())
    });
}

/// How many lines of the log say this.
fn lines(edge: &Edge, what: &str) -> usize {
    edge.proxy.log().lines().filter(|line| line.contains(what)).count()
}

/// How many of the requests since the last call were no checks.
fn requests(upstream: &Upstream) -> usize {
    upstream.take_requests().iter().filter(|request| request.target().starts_with("/open/")).count()
}

#[track_caller]
fn ask_often(edge: &Edge) {
    let mut client = edge.client();
    for _ in 0..20 {
        assert_eq!(client.ask(&get("/open/1")).status, 200);
    }
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_no_requests_until_it_passes_them() {
    let good = || Answer::json(200, "all is ok");
    for (check, bad) in [
        ("path: /healthz", Answer::json(500, "all is ok")),
        ("path: /healthz", Answer::json(302, "all is ok")),
        ("path: /healthz, statuses: [200, 204]", Answer::json(201, "all is ok")),
        ("path: /healthz, body_contains: is ok", Answer::json(200, "nothing is well")),
        ("path: /healthz", Answer::Close),
        ("path: /healthz", Answer::never()),
    ] {
        let (well, unwell) = (Upstream::start(), Upstream::start());
        well.answer(good());
        unwell.answer(good());
        let edge = edge(&[("upstreams", &upstreams(&[quoted(&well), quoted(&unwell)], check))]);
        let address = unwell.address().to_string();
        ask_often(&edge);
        assert!(requests(&well) > 0 && requests(&unwell) > 0, "{check}: both begin in rotation");

        unwell.answer(bad);
        await_healthy(&edge, &address, false);
        requests(&unwell);
        ask_often(&edge);
        assert_eq!((requests(&well), requests(&unwell)), (20, 0), "{check}");

        unwell.answer(good());
        await_healthy(&edge, &address, true);
        ask_often(&edge);
        assert_eq!(requests(&unwell), 10, "{check}");
        // It is in rotation a moment before the line is read.
        eventually("told", || (lines(&edge, "passes its health checks again") > 0).then_some(()));
        let told = ["fails its health checks", "passes its health checks again"].map(|what| lines(&edge, what));
        assert_eq!(told, [1, 1], "one line for each change, none for a check:\n{}", edge.proxy.log());
    }
}

#[test]
fn an_endpoint_that_accepts_no_connection_fails_a_check_of_that() {
    let (well, unwell) = (Upstream::start(), Upstream::start());
    let edge = edge(&[("upstreams", &upstreams(&[quoted(&well), quoted(&unwell)], "tcp: true"))]);
    let address = unwell.address().to_string();
    unwell.refuse_connections();
    await_healthy(&edge, &address, false);
    edge.proxy
        .await_log("the cause", |line| line.contains("fails its health checks") && line.contains("ConnectRefused"));
    ask_often(&edge);
    unwell.accept_connections();
    await_healthy(&edge, &address, true);
    ask_often(&edge);
    assert_eq!(requests(&unwell), 10);
    let metrics = edge.proxy.metrics();
    for result in ["success", "failure"] {
        let labels = [("upstream", "items"), ("result", result)];
        assert!(metrics.sum("cognigate_upstream_health_checks_total", &labels) >= 3.0, "{result}");
    }
}

#[test]
fn without_an_endpoint_that_is_well_requests_are_refused_at_once() {
    let edge = edge(&[("upstreams", &upstreams(&["\"$UPSTREAM\"".to_owned()], "path: /healthz"))]);
    edge.upstream.answer(Answer::json(503, ""));
    await_healthy(&edge, &edge.upstream.address().to_string(), false);
    requests(&edge.upstream);
    let asked = Instant::now();
    for request in [get("/open/1"), post("/open/1").body("x")] {
        let response = edge.ask(&request);
        assert_eq!((response.status, response.header("retry-after")), (503, Some("1")), "{response:?}");
    }
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(requests(&edge.upstream), 0);
    edge.upstream.answer(Answer::Echo);
    eventually("recovered", || (edge.ask(&get("/open/1")).status == 200).then_some(()));
}

#[test]
fn a_check_is_a_request_that_says_who_asks() {
    let edge = edge(&[("upstreams", &upstreams(&["\"$UPSTREAM\"".to_owned()], "path: '/healthz?full=1'"))]);
    let check = edge.upstream.await_requests(1).remove(0);
    assert_eq!((check.method(), check.target()), ("GET", "/healthz?full=1"));
    assert_eq!(check.header("host"), Some(edge.upstream.address().to_string().as_str()));
    let agent = check.header("user-agent").unwrap();
    assert!(agent.starts_with("cognigate/") && agent.ends_with(" (health check)"), "{agent}");
    assert_eq!((check.header("authorization"), check.header("x-request-id")), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_speak_as_requests_do() {
    let (ours, theirs, directory) = (Authority::new("ours"), Authority::new("theirs"), Directory::new());
    let ca = directory.write("ours.crt", &ours.pem());
    let tls = format!("tls: {{ server_name: items.internal, ca: {} }}", ca.display());
    for (authority, protocol, check, is_healthy) in [
        (None, "http2", "path: /healthz", true),
        (None, "http2", "path: /missing", false),
        (Some(&ours), "http2", "path: /healthz", true),
        (Some(&ours), "auto", "path: /healthz, body_contains: fine", true),
        (Some(&ours), "auto", "path: /healthz, body_contains: perfect", false),
        (Some(&ours), "http2", "tcp: true", true),
        (Some(&theirs), "http2", "path: /healthz", false),
        (Some(&theirs), "http2", "tcp: true", false),
    ] {
        let asked: Arc<Watched<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let serve = move |request: Request<RecvStream>, mut reply: SendResponse<Bytes>| {
            seen.with(|seen| seen.push(request.uri().to_string()));
            async move {
                let status = if request.uri().path() == "/missing" { 404 } else { 200 };
                let mut body =
                    reply.send_response(Response::builder().status(status).body(()).unwrap(), false).unwrap();
                body.send_data(Bytes::from_static(b"all is fine"), true).unwrap();
            }
        };
        let config = authority.map(|authority| server(authority, "items.internal", &["h2"]));
        let address = h2::start(config, serve).await;
        let tls = if authority.is_some() { format!(", {tls}") } else { String::new() };
        let upstreams = format!(
            "{{ items: {{ endpoints: ['{address}'], protocol: {protocol}{tls}, health_check: {{ {check}, {OFTEN} }} }} }}"
        );
        let edge = edge(&[("upstreams", &upstreams)]);
        let result = if is_healthy { "success" } else { "failure" };
        let labels = [("upstream", "items"), ("result", result)];
        eventually("four checks", || {
            let metrics = edge.proxy.metrics();
            (metrics.sum("cognigate_upstream_health_checks_total", &labels) >= 4.0).then_some(())
        });
        await_healthy(&edge, &address.to_string(), is_healthy);
        assert_eq!(lines(&edge, "fails its health checks"), usize::from(!is_healthy), "{protocol} {check}");
        let asked = asked.with(|asked| asked.clone());
        let host = if authority.is_some() { format!("items.internal:{}", address.port()) } else { address.to_string() };
        let of_ours = asked.iter().all(|uri| uri.contains(&format!("://{host}/")));
        assert!(of_ours, "{asked:?}");
    }
}

#[test]
fn checks_end_with_the_upstream_and_go_on_where_it_stays() {
    let (staying, leaving) = (Upstream::start(), Upstream::start());
    let upstream = |name: &str, upstream: &Upstream| {
        let address = upstream.address();
        format!("{name}: {{ endpoints: ['{address}'], health_check: {{ path: /healthz, {OFTEN} }} }}")
    };
    let both = format!("{{ {}, {} }}", upstream("items", &staying), upstream("orders", &leaving));
    let edge = edge(&[("upstreams", &both)]);
    staying.answer(Answer::json(500, ""));
    await_healthy(&edge, &staying.address().to_string(), false);
    leaving.await_requests(2);

    edge.reload(&[("upstreams", &format!("{{ {} }}", upstream("items", &staying)))]);
    assert_eq!(edge.ask(&get("/open/1")).status, 503, "what was known is known");
    let of_orders = |edge: &Edge| {
        let metrics = edge.proxy.metrics();
        let names = ["cognigate_upstream_health_checks_total", "cognigate_upstream_endpoint_healthy"];
        names.iter().flat_map(|name| metrics.series(name)).filter(|(labels, _)| labels["upstream"] == "orders").count()
    };
    assert_eq!(of_orders(&edge), 0);
    // One that was on its way may still arrive.
    eventually("the last check", || {
        leaving.take_requests();
        staying.take_requests();
        let checks = staying.await_requests(4);
        let (first, last) = (checks.first().unwrap().at, checks.last().unwrap().at);
        assert!(last - first > Duration::from_millis(400), "one keeper, not two: {:?}", last - first);
        leaving.take_requests().is_empty().then_some(())
    });
    assert_eq!(lines(&edge, "fails its health checks"), 1, "{}", edge.proxy.log());
}

#[test]
fn an_endpoint_that_was_ejected_returns_when_it_answers_again() {
    let (well, unwell) = (Upstream::start(), Upstream::start());
    for check in ["", "health_check: { path: /healthz, interval: 1h }, "] {
        let outlier = "outlier: { consecutive_failures: 1, eject_for: 100ms }";
        let endpoints = [quoted(&well), quoted(&unwell)].join(", ");
        let upstreams = format!("{{ items: {{ endpoints: [{endpoints}], {check}{outlier} }} }}");
        let edge = Edge::start_logging(BINARY, "info,cognigate=debug", &[("upstreams", &upstreams)]);
        let address = unwell.address().to_string();
        ask_often(&edge);
        unwell.refuse_connections();
        ask_often(&edge);
        await_healthy(&edge, &address, false);
        // After 100, 200, 300 ms.
        eventually("asked again and again", || (lines(&edge, "stays ejected") >= 3).then_some(()));
        await_healthy(&edge, &address, false);
        assert_eq!(lines(&edge, "answers again"), 0);
        unwell.accept_connections();
        await_healthy(&edge, &address, true);
        unwell.take_requests();
        ask_often(&edge);
        assert_eq!(requests(&unwell), 10, "with{}", if check.is_empty() { "out" } else { "" });
        assert_eq!(lines(&edge, "answers again"), 1, "{}", edge.proxy.log());
    }
}

/// Without retries a `POST` meets the endpoint that hangs until its checks have taken it out, and no other gets it then.
#[test]
fn an_endpoint_that_hangs_is_taken_out_by_its_checks() {
    let (well, hanging) = (Upstream::start(), Upstream::start());
    let endpoints = [quoted(&well), quoted(&hanging)];
    let timeouts = "retries: 0, timeouts: { read: 200ms }";
    let upstreams = upstreams(&endpoints, "path: /healthz").replace("retries: 0", timeouts);
    let edge = edge(&[("upstreams", &upstreams)]);
    ask_often(&edge);
    hanging.answer(Answer::never());
    requests(&well);
    requests(&hanging);
    let (mut answered, mut late) = (0, 0);
    let ask = || edge.ask(&post("/open/1").body("hello")).status;
    let address = hanging.address().to_string();
    let labels = [("endpoint", address.as_str())];
    let is_in = || edge.proxy.metrics().sum("cognigate_upstream_endpoint_healthy", &labels) == 1.0;
    eventually("out", || {
        match ask() {
            200 => answered += 1,
            504 => late += 1,
            status => panic!("{status}"),
        }
        (!is_in()).then_some(())
    });
    assert!(late > 0, "it hung before it was out");
    for _ in 0..20 {
        assert_eq!(ask(), 200);
    }
    assert_eq!((requests(&well), requests(&hanging)), (answered + 20, late), "each was sent once");
}

/// Of an upstream whose authorities are others nothing is kept: no connection, and nothing that is known of its endpoints.
#[tokio::test(flavor = "multi_thread")]
async fn other_authorities_in_the_same_file_make_another_upstream() {
    let (ours, theirs, directory) = (Authority::new("ours"), Authority::new("theirs"), Directory::new());
    let ca = directory.write("ca.crt", &ours.pem());
    let serve = |_request: Request<RecvStream>, mut reply: SendResponse<Bytes>| async move {
        reply.send_response(Response::new(()), true).unwrap();
    };
    let address = h2::start(Some(server(&ours, "items.internal", &["h2"])), serve).await;
    let tls = format!("tls: {{ server_name: items.internal, ca: {} }}", ca.display());
    let upstreams = format!("{{ items: {{ endpoints: ['{address}'], protocol: http2, retries: 0, {tls} }} }}");
    let sections = [("upstreams", upstreams.as_str())];
    let edge = edge(&sections);
    let connections = || {
        let labels = [("upstream", "items"), ("reused", "false")];
        edge.proxy.metrics().sum("cognigate_upstream_connections_total", &labels)
    };
    let mut client = edge.client();
    for (written, status, connected) in [(&ours, 200, 1.0), (&ours, 200, 1.0), (&theirs, 502, 1.0), (&ours, 200, 1.0)] {
        directory.write("ca.crt", &written.pem());
        edge.reload(&sections);
        assert_eq!(client.ask(&get("/open/1")).status, status);
        client = edge.client();
        eventually("connections", || (connections() == connected).then_some(()));
    }
}
