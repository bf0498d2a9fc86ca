//! What becomes of a connection before a request is served on it: limits, TLS, the PROXY protocol.
//!
//! Some of the clients are programs that people use: `curl` and `openssl`. A test that misses one fails and says so.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper that panics fails the test that asked for it")]

mod certificates;
mod curl;
mod http2;
mod limits;
mod mutual_tls;
mod proxy_protocol;
mod tls;

use std::process::{Command, Output, Stdio};

use e2e::{authority::Issued, edge::Edge, process::Directory};

/// The proxy.
const BINARY: &str = env!("CARGO_BIN_EXE_cognigate-e2e");

/// A proxy that is ready, and everything around it. See [`Edge::start`] for the sections.
#[track_caller]
fn edge(sections: &[(&str, &str)]) -> Edge {
    Edge::start(BINARY, sections)
}

/// One listener with these certificates, and what else `tls` has.
fn secure_listener(directory: &Directory, certificates: &[(&str, &Issued)], more: &str) -> String {
    let pair = |(name, issued): &(&str, &Issued)| {
        let (certificate, key) = issued.write(directory, name);
        format!("{{ cert: {:?}, key: {:?} }}", certificate, key)
    };
    let pairs: Vec<_> = certificates.iter().map(pair).collect();
    format!("[{{ address: 127.0.0.1:0, tls: {{ certificates: [{}]{more} }} }}]", pairs.join(", "))
}

/// What a program writes and how it ends.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{program} is needed for this test: apt-get install {program} ({error})"))
}

/// What `openssl s_client` says of a connection on which it sends nothing.
#[track_caller]
fn s_client(edge: &Edge, arguments: &[&str]) -> (bool, String) {
    let address = edge.proxy.address().to_string();
    let output = run("openssl", &[&["s_client", "-connect", &address][..], arguments].concat());
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), said.concat())
}

/// The sum of a metric's series with these labels.
fn metric(edge: &Edge, name: &str, labels: &[(&str, &str)]) -> f64 {
    edge.proxy.metrics().sum(name, labels)
}

/// Waits until a metric has this value.
#[track_caller]
fn await_metric(edge: &Edge, name: &str, labels: &[(&str, &str)], value: f64) {
    e2e::wait::eventually(&format!("{name} {labels:?} {value}"), || {
        (metric(edge, name, labels) == value).then_some(())
    });
}

/// Waits until so many connections were turned away for this reason.
#[track_caller]
fn await_rejected(edge: &Edge, reason: &str, count: f64) {
    await_metric(edge, "cognigate_rejected_requests_total", &[("reason", reason)], count);
}
