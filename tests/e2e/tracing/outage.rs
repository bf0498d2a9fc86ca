//! What becomes of spans, and of the proxy, where the collector is slow, away, or does not want them.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use e2e::{
    authority::Authority,
    client::{Client, get},
    edge::Edge,
    process::{Directory, Process, Proxy},
    upstream::Upstream,
    wait::eventually,
};
use tonic::Code;

use super::{Collector, counted, traced};
use crate::BINARY;

/// How often the log says this.
fn said(edge: &Edge, what: &str) -> usize {
    edge.proxy.log().lines().filter(|line| line.contains(what)).count()
}

fn behind_tls(collector: &Collector, upstream: &Upstream) -> String {
    format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ address: 127.0.0.1:0 }}\nupstreams: {{ items: {{ endpoints: [\"{}\"] }} }}\n\
         routes: [{{ match: {{ path: / }}, auth: none, upstream: items }}]\n\
         tracing: {{ otlp: \"https://localhost:{}\", sample: 1, timeout: 500ms }}\n",
        upstream.address(),
        collector.port()
    )
}

/// A proxy on a system with these authorities.
#[track_caller]
fn start_believing(roots: &Path, directory: Directory, config: &str) -> Proxy {
    Proxy::start_in(directory, config, |file| {
        let mut command = Command::new(BINARY);
        command.env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR").args(["run", "-c"]).arg(file);
        Process::spawn(&mut command)
    })
}

#[test]
fn a_collector_that_is_away_costs_its_spans_and_nothing_else() {
    let mut collector = Collector::away();
    let edge = traced(&collector, "sample: 1, timeout: 500ms", &[]);
    let warnings = || said(&edge, "spans cannot be exported");
    for batches in 1..=2 {
        assert_eq!(edge.ask(&get("/open/1")).status, 200);
        eventually("failed", || (counted(&edge, "failed") == f64::from(2 * batches)).then_some(()));
    }
    collector.listen(None);
    eventually("exported", || {
        assert_eq!(edge.ask(&get("/open/2")).status, 200);
        (counted(&edge, "exported") > 0.0).then_some(())
    });
    edge.proxy.await_log("its return", |line| line.contains("spans are exported again"));
    assert_eq!(warnings(), 1, "{}", edge.proxy.log());
    assert!(!collector.spans().is_empty());

    // The next outage is another.
    collector.leave();
    eventually("a second warning", || {
        assert_eq!(edge.ask(&get("/open/3")).status, 200);
        (warnings() == 2).then_some(())
    });
}

#[test]
fn what_finds_the_queue_full_is_dropped() {
    let collector = Collector::start();
    collector.get_stuck(true);
    let edge = traced(&collector, "sample: 1, timeout: 1m", &[]);
    let mut client = edge.client();
    // The queue, the batch that is on its way, and more.
    for _ in 0..3000 {
        assert_eq!(client.ask(&get("/nowhere")).status, 404);
    }
    eventually("dropped", || (counted(&edge, "dropped") >= 400.0).then_some(()));
    assert_eq!(counted(&edge, "exported") + counted(&edge, "failed"), 0.0);
}

#[test]
fn what_a_collector_refuses_has_failed_and_is_warned_of_once() {
    let collector = Collector::start();
    // An escape sequence, and more than anybody wants in a line.
    collector.refuse(1, &format!("\u{1b}[31m{}", "x".repeat(1000)));
    let edge = traced(&collector, "sample: 1", &[]);
    for batches in [1.0, 2.0] {
        edge.ask(&get("/open/1"));
        eventually("counted", || (counted(&edge, "failed") == batches).then_some(()));
        assert_eq!(counted(&edge, "exported"), batches);
    }
    let log = edge.proxy.log();
    assert_eq!(said(&edge, "the collector refuses spans"), 1, "{log}");
    assert_eq!(said(&edge, "spans are exported again"), 0, "{log}");
    assert!(log.contains(&"x".repeat(195)) && !log.contains(&"x".repeat(196)) && !log.contains('\u{1b}'), "{log}");

    collector.refuse(0, "");
    edge.ask(&get("/open/1"));
    edge.proxy.await_log("the end of it", |line| line.contains("spans are exported again"));
}

#[test]
fn what_a_collector_cannot_take_now_is_sent_again() {
    for code in [Code::Unavailable, Code::DeadlineExceeded] {
        let collector = Collector::start();
        collector.fail_with(code, 1);
        let edge = traced(&collector, "sample: 1", &[]);
        edge.ask(&get("/open/1"));
        eventually("exported", || (counted(&edge, "exported") == 2.0).then_some(()));
        assert_eq!((counted(&edge, "failed"), collector.asked()), (0.0, 2), "{code}");
        assert_eq!(said(&edge, "spans cannot be exported"), 0);
    }
}

#[test]
fn what_a_collector_will_never_take_is_not_sent_again() {
    for code in [Code::InvalidArgument, Code::Unauthenticated, Code::Unknown] {
        let collector = Collector::start();
        collector.fail_with(code, 1);
        let edge = traced(&collector, "sample: 1", &[]);
        edge.ask(&get("/open/1"));
        eventually("failed", || (counted(&edge, "failed") == 2.0).then_some(()));
        assert_eq!((counted(&edge, "exported"), collector.asked()), (0.0, 1), "{code}");
        assert_eq!(said(&edge, "spans cannot be exported"), 1);
    }
}

#[test]
fn a_batch_whose_connection_breaks_is_sent_again() {
    let collector = Collector::start();
    collector.hang_up(1);
    let edge = traced(&collector, "sample: 1", &[]);
    edge.ask(&get("/open/1"));
    eventually("exported", || (counted(&edge, "exported") == 2.0).then_some(()));
    assert_eq!((counted(&edge, "failed"), collector.asked()), (0.0, 2));
}

/// The connection of a batch that got no answer may lead nowhere.
#[test]
fn after_a_batch_without_an_answer_the_next_has_a_connection_of_its_own() {
    let collector = Collector::start();
    collector.get_stuck(true);
    let edge = traced(&collector, "sample: 1, timeout: 300ms", &[]);
    edge.ask(&get("/open/1"));
    eventually("failed", || (counted(&edge, "failed") == 2.0).then_some(()));
    collector.get_stuck(false);
    edge.ask(&get("/open/1"));
    eventually("exported", || (counted(&edge, "exported") == 2.0).then_some(()));
    assert_eq!(collector.connections(), 2);
}

#[test]
fn a_stop_does_not_wait_for_a_collector_that_is_stuck() {
    let collector = Collector::start();
    collector.get_stuck(true);
    let mut edge = traced(&collector, "sample: 1, timeout: 1m", &[]);
    edge.ask(&get("/open/1"));
    eventually("a batch on its way", || (collector.asked() == 1).then_some(()));
    let stopped = Instant::now();
    edge.proxy.signal("TERM");
    assert!(edge.proxy.wait_exit(Duration::from_secs(20)).unwrap().success());
    // Two seconds are theirs.
    assert!(stopped.elapsed() < Duration::from_secs(8), "{:?}", stopped.elapsed());
    assert_eq!(said(&edge, "the last spans were not exported in time"), 1, "{}", edge.proxy.log());
}

#[test]
fn a_stop_sends_the_last_spans() {
    let collector = Collector::start();
    let mut edge = traced(&collector, "sample: 1", &[]);
    edge.ask(&get("/open/1"));
    edge.proxy.signal("TERM");
    assert!(edge.proxy.wait_exit(Duration::from_secs(10)).unwrap().success());
    assert_eq!(collector.spans().len(), 2);
}

#[test]
fn a_collector_behind_tls_is_believed_if_the_system_does() {
    let (trusted, other) = (Authority::new("ours"), Authority::new("another"));
    let mut collector = Collector::away();
    collector.listen(Some(&trusted.server(&["localhost"])));
    let upstream = Upstream::start();
    let config = behind_tls(&collector, &upstream);
    for (authority, result) in [(&trusted, "exported"), (&other, "failed")] {
        let directory = Directory::new();
        let roots = directory.write("roots.pem", &authority.pem());
        let proxy = start_believing(&roots, directory, &config);
        assert_eq!(Client::connect(proxy.address()).ask(&get("/")).status, 200);
        let counted = || proxy.metrics().sum("cognigate_tracing_spans_total", &[("result", result)]);
        eventually(result, || (counted() == 2.0).then_some(()));
    }
    assert_eq!(collector.spans().len(), 2);
}

/// They are read for a connection, not for the process: a system that gets them later needs no restart.
#[test]
fn a_system_without_authorities_costs_spans_until_it_has_some() {
    let authority = Authority::new("ours");
    let mut collector = Collector::away();
    collector.listen(Some(&authority.server(&["localhost"])));
    let (upstream, directory) = (Upstream::start(), Directory::new());
    let roots = directory.write("roots.pem", &authority.pem());
    let proxy = start_believing(&roots, directory, &behind_tls(&collector, &upstream));
    let mut client = Client::connect(proxy.address());
    let counted = |result| proxy.metrics().sum("cognigate_tracing_spans_total", &[("result", result)]);
    fs::write(&roots, "").unwrap();
    assert_eq!(client.ask(&get("/")).status, 200);
    eventually("failed", || (counted("failed") == 2.0).then_some(()));
    proxy.await_log("why", |line| line.contains("spans cannot be exported") && line.contains("no native certs"));
    fs::write(&roots, authority.pem()).unwrap();
    assert_eq!(client.ask(&get("/")).status, 200);
    eventually("exported", || (counted("exported") == 2.0).then_some(()));
}
