//! Logs: one line an event, to standard error.
//!
//! Pingora logs through the `log` facade; its lines arrive here too. How much is said is set by the environment variable
//! `COGNIGATE_LOG`, a [`tracing_subscriber::EnvFilter`]: `debug`, or `info,cognigate=debug`.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Sends events to standard error. Does nothing if the process has a subscriber already.
pub fn init() {
    let filter = EnvFilter::builder()
        .with_env_var("COGNIGATE_LOG")
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if let Err(error) = subscriber {
        tracing::debug!(%error, "logs go where they went before");
    }
}
