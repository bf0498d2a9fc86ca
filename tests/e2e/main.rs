//! Behaviour of the whole proxy over real sockets: one file a behaviour that a user sees, one test a rule.
//!
//! Each test has a proxy process of its own, so that all of them run at once and none sees what another did.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that panics fails the test that asked for it"
)]

use e2e::{client::Response, edge::Edge};

mod access_log;
mod admin;
mod balancing;
mod cache;
mod check;
mod connection;
mod cors;
mod credentials;
mod demo;
mod discovery;
mod forwarding;
mod frames;
mod grpc;
mod grpc_calls;
mod handover;
mod health;
mod http2;
mod identity;
mod ingress;
mod key_file;
mod lifecycle;
mod limits;
mod logs;
mod metrics;
mod outlier;
mod policies;
mod profiles;
mod rate_limits;
mod refusals;
mod reload;
mod request_id;
mod retries;
mod revocation;
mod rotation;
mod routing;
mod service_manager;
mod shared_revocations;
mod shutdown;
mod startup;
mod timeouts;
mod tracing;
mod two_ways;
mod unknown_key;
mod websocket;

/// The proxy.
const BINARY: &str = env!("CARGO_BIN_EXE_cognigate-e2e");

/// A proxy that is ready, and everything around it. See [`Edge::start`] for the sections.
#[track_caller]
fn edge(sections: &[(&str, &str)]) -> Edge {
    Edge::start(BINARY, sections)
}

/// The reason that the challenge of a refusal gives.
fn reason(response: &Response) -> Option<&str> {
    let (_, description) = response.header("www-authenticate")?.split_once("error_description=\"")?;
    description.split('"').next()
}
