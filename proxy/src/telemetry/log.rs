//! Logs: one line an event, to standard error.
//!
//! How much is said is set by the environment variable `COGNIGATE_LOG`, a [`tracing_subscriber::EnvFilter`]: `debug`, or
//! `info,cognigate=debug`. It cannot make Pingora say more than warnings, nor its HTTP engine anything at all: their lines
//! have the heads of requests in them, tokens included.

use std::io::IsTerminal;

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

/// Whether lines of this kind can be free of what clients and upstreams send.
fn is_discreet(line: &Metadata<'_>) -> bool {
    const OUTSPOKEN: [&str; 3] = ["pingora_core::apps", "pingora_core::protocols", "pingora_proxy"];
    let is_outspoken = OUTSPOKEN.iter().any(|module| line.target().starts_with(module));
    !is_outspoken && (!line.target().starts_with("pingora") || *line.level() <= Level::WARN)
}
