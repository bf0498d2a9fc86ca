//! What is counted about upstreams.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::{DURATION_BUCKETS, registered, reload};

/// The metrics of every upstream.
#[derive(Clone, Debug)]
pub(super) struct UpstreamFamilies {
    duration: HistogramVec,
    connections: IntCounterVec,
    ejections: IntCounterVec,
    retries: IntCounterVec,
    retries_denied: IntCounterVec,
}

/// The metrics of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    /// From the choice of an endpoint to the end of its response.
    pub duration: Histogram,
    /// Requests that went over a connection that was open already.
    pub reused: IntCounter,
    /// Requests that had a connection made.
    pub connected: IntCounter,
    /// Endpoints that were left out for what they did to requests.
    pub ejections: IntCounter,
    /// Endpoints that were tried after another had failed.
    pub retries: IntCounter,
    /// Requests that could have been tried again, had there not been too many like them.
    pub retries_denied: IntCounter,
}

impl UpstreamFamilies {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters =
            |name, help, labels: &[&str]| registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?);
        let duration = HistogramOpts::new(
            "cognigate_upstream_duration_seconds",
            "From the choice of an endpoint to the end of its response.",
        );
        let duration = HistogramVec::new(duration.buckets(DURATION_BUCKETS.to_vec()), &["upstream"])?;
        Ok(Self {
            duration: registered(registry, duration)?,
            connections: counters(
                "cognigate_upstream_connections_total",
                "Requests sent to an endpoint, by whether the connection was open already.",
                &["upstream", "reused"],
            )?,
            ejections: counters(
                "cognigate_upstream_ejections_total",
                "Endpoints that were left out for what they did to requests.",
                &["upstream"],
            )?,
            retries: counters(
                "cognigate_upstream_retries_total",
                "Endpoints that were tried after another had failed.",
                &["upstream"],
            )?,
            retries_denied: counters(
                "cognigate_upstream_retries_denied_total",
                "Requests that were not tried again because too many were.",
                &["upstream"],
            )?,
        })
    }

    pub(super) fn upstream(&self, name: &str) -> UpstreamMetrics {
        UpstreamMetrics {
            duration: self.duration.with_label_values(&[name]),
            reused: self.connections.with_label_values(&[name, "true"]),
            connected: self.connections.with_label_values(&[name, "false"]),
            ejections: self.ejections.with_label_values(&[name]),
            retries: self.retries.with_label_values(&[name]),
            retries_denied: self.retries_denied.with_label_values(&[name]),
        }
    }

    pub(super) fn retain(&self, is_upstream: impl Fn(&str) -> bool) {
        let Self { duration, connections, ejections, retries, retries_denied } = self;
        reload::retain(duration, "upstream", &is_upstream);
        for counters in [connections, ejections, retries, retries_denied] {
            reload::retain(counters, "upstream", &is_upstream);
        }
    }
}
