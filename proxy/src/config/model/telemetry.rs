//! `access_log` and `tracing`, usable: what is told about each request.

use std::{fmt, path::PathBuf, time::Duration};

use url::Url;

/// `access_log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogConfig {
    /// `path`: where lines go. No default.
    pub target: LogTarget,
    /// `format`: how a line looks. Default `json`.
    pub format: LogFormat,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// A file, which is appended to, and opened anew on SIGHUP. Relative to the directory of the configuration file.
    File(PathBuf),
    /// `stdout`: the standard output.
    Stdout,
}

impl fmt::Display for LogTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(out),
            Self::Stdout => out.write_str("stdout"),
        }
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `combined`: as Apache's combined log format has it.
    Combined,
    /// `json`: a JSON object.
    #[default]
    Json,
}

/// `tracing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracingConfig {
    /// `otlp`: the collector, which speaks OTLP over gRPC: `http://` or `https://`, a host and a port, no path. No default.
    pub endpoint: Url,
    /// `sample`: the share of the requests of which spans are made, unless a peer in `forwarded.trusted` sent a `traceparent`: then
    /// its flag decides, also with 0. Default 0.01.
    pub sample: SampleRatio,
    /// `service_name`: what the proxy is called in its spans. 1 to 128 printable characters, default `cognigate`.
    pub service_name: Box<str>,
    /// `timeout`: for one batch of spans to be taken. 100 milliseconds to 1 minute, default 5 seconds.
    pub timeout: Duration,
}

/// A share from 0 to 1, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRatio(pub u32);

impl SampleRatio {
    /// What it is a part of.
    pub const WHOLE: u32 = 1_000_000;
}
