//! Hot path: no lock, no I/O, no info log.
//!
//! What the proxy counts, in Prometheus' terms.
//!
//! Labels come from the configuration or from closed sets, never from a request. What a request touches is looked up once: when
//! its route, its upstream or its listener is built.

mod access_log;
mod listener;
mod rate;
mod reload;
mod route;
mod spans;
mod upkeep;
mod upstream;

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector};

pub use self::{
    access_log::AccessLogMetrics,
    listener::{CertificateMetrics, ListenerMetrics, OpenConnection},
    rate::RateMetrics,
    reload::ReloadMetrics,
    route::RouteMetrics,
    spans::SpanMetrics,
    upkeep::UpkeepMetrics,
    upstream::UpstreamMetrics,
};

/// The route label of requests that match none.
pub const NO_ROUTE: &str = "none";

/// Seconds; from an answer that is made here to the longest that a client waits.
const DURATION_BUCKETS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The reasons that a request, or a connection before its first, is turned away for, but for those that a decision on who calls
/// has.
pub const REJECTIONS: [&str; 16] = [
    "body_too_large",
    "connection_limit",
    "connection_limit_per_ip",
    "failed_auth_limit",
    "framing_ambiguous",
    "header_timeout",
    "header_too_large",
    "headers_too_many",
    "host_ambiguous",
    "origin_not_allowed",
    "path_ambiguous",
    "proxy_protocol_invalid",
    "rate_limited",
    "request_timeout",
    "token_ambiguous",
    "uri_too_long",
];

/// The metrics of the proxy.
#[derive(Clone, Debug)]
pub struct ProxyMetrics {
    routes: route::RouteFamilies,
    rejected: [IntCounter; REJECTIONS.len()],
    upstreams: upstream::UpstreamFamilies,
    upkeep: upkeep::UpkeepFamilies,
    listeners: listener::ListenerFamilies,
    /// What the rate limits keep in mind.
    pub rate_limits: RateMetrics,
    /// What is counted about the configuration.
    pub reloads: ReloadMetrics,
    /// What becomes of the lines of the access log.
    pub access_log: AccessLogMetrics,
    /// What is counted about the spans of requests.
    pub spans: SpanMetrics,
}

impl ProxyMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// The registry's, if it holds metrics of these names already.
    pub fn register(registry: &Registry, version: &str, commit: &str) -> Result<Self, prometheus::Error> {
        let counters =
            |name, help, labels: &[&str]| registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?);
        let gauges =
            |name, help, labels: &[&str]| registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?);
        let build =
            gauges("cognigate_build_info", "Always 1; the labels say what is running.", &["version", "commit"])?;
        build.with_label_values(&[version, commit]).set(1);
        let rejected = counters(
            "cognigate_rejected_requests_total",
            "Requests that were refused for another reason than who calls.",
            &["reason"],
        )?;
        let rejected = REJECTIONS.map(|reason| rejected.with_label_values(&[reason]));
        Ok(Self {
            routes: registered(registry, route::RouteFamilies::new()?)?,
            rejected,
            upstreams: upstream::UpstreamFamilies::register(registry)?,
            upkeep: upkeep::UpkeepFamilies::register(registry)?,
            listeners: listener::ListenerFamilies::register(registry)?,
            rate_limits: RateMetrics::register(registry)?,
            reloads: ReloadMetrics::register(registry)?,
            access_log: AccessLogMetrics::register(registry)?,
            spans: SpanMetrics::register(registry)?,
        })
    }

    /// What is counted about a route, or about the requests of [`NO_ROUTE`]: of one label by the same counters.
    #[must_use]
    pub fn route(&self, label: &str) -> RouteMetrics {
        self.routes.route(label)
    }

    /// The metrics of an upstream.
    #[must_use]
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        self.upstreams.upstream(name)
    }

    /// What is counted about keeping an upstream in order.
    #[must_use]
    pub fn upkeep(&self, upstream: &str) -> UpkeepMetrics {
        self.upkeep.of(upstream)
    }

    /// Ends the series of routes, upstreams and listeners that there are not any more. A request that arrived when there
    /// were may begin one of an upstream or a listener once more, until the next time.
    pub fn retain(
        &self,
        is_route: impl Fn(&str) -> bool,
        is_upstream: impl Fn(&str) -> bool,
        is_listener: impl Fn(&str) -> bool,
    ) {
        self.routes.retain(|route| route == NO_ROUTE || is_route(route));
        self.upkeep.retain(&is_upstream);
        self.upstreams.retain(is_upstream);
        self.listeners.retain(is_listener);
    }

    /// What is counted about the connections of a listener.
    #[must_use]
    pub fn listener(&self, address: &str) -> ListenerMetrics {
        self.listeners.listener(address)
    }

    /// Counts what was turned away for one of the [`REJECTIONS`]; nothing, for any other word.
    pub fn count_rejected(&self, reason: &str) {
        let mut counters = REJECTIONS.iter().zip(&self.rejected);
        if let Some((_, counter)) = counters.find(|(known, _)| **known == reason) {
            counter.inc();
        }
    }
}

/// Registers a metric, and hands it back.
pub(crate) fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: M,
) -> Result<M, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
