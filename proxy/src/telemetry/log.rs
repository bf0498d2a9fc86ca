//! Logs: one line an event, to standard error.
//!
//! How much is said is set by the environment variable `COGNIGATE_LOG`, a [`tracing_subscriber::EnvFilter`]: `debug`, or
//! `info,cognigate=debug`. It cannot make Pingora say more than warnings, nor its HTTP engine anything at all: their lines
//! have the heads of requests in them, tokens included. Nor rustls, which has a line for every client that is not to its taste.

use std::{error::Error, io::IsTerminal};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Sends events to standard error. Does nothing if the process has a subscriber already.
pub fn init() {
    let filter = EnvFilter::builder()
        .with_env_var("COGNIGATE_LOG")
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = lines.with_filter(filter_fn(is_discreet));
    if let Err(error) = tracing_subscriber::registry().with(filter).with(lines).try_init() {
        tracing::debug!(%error, "logs go where they went before");
    }
}

/// An error and its causes, on one line.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// Whether lines of this kind can be free of what clients and upstreams send.
fn is_discreet(line: &Metadata<'_>) -> bool {
    const OUTSPOKEN: [&str; 4] = ["pingora_core::apps", "pingora_core::protocols", "pingora_proxy", "rustls"];
    let is_outspoken = OUTSPOKEN.iter().any(|module| line.target().starts_with(module));
    !is_outspoken && (!line.target().starts_with("pingora") || *line.level() <= Level::WARN)
}
