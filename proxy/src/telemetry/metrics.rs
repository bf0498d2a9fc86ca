//! Hot path: no lock, no I/O, no info log.
//!
//! What the proxy counts, in Prometheus' terms.
//!
//! Labels come from the configuration or from closed sets, never from a request. A series that a request touches is looked
//! up once: when its route is built or, for a pair of method and status, when the first such request ends.

mod access_log;
mod listener;
mod rate;
mod reload;
mod spans;
mod upkeep;
mod upstream;

use std::{sync::OnceLock, time::Duration};

use cognigate_auth::rejection::Rejection;
use http::{Method, StatusCode};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector,
};

pub use self::{
    access_log::AccessLogMetrics,
    listener::{CertificateMetrics, ListenerMetrics, OpenConnection},
    rate::RateMetrics,
    reload::ReloadMetrics,
    spans::SpanMetrics,
    upkeep::UpkeepMetrics,
    upstream::UpstreamMetrics,
};

/// The route label of requests that match none.
pub const NO_ROUTE: &str = "none";

/// The methods that have a label of their own; every other is `OTHER`.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "OTHER"];

/// The statuses that have a label of their own; every other is [`OTHER_CODE`].
const CODES: std::ops::Range<usize> = 100..600;

/// The label of statuses that HTTP does not have.
const OTHER_CODE: &str = "other";

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
    requests: IntCounterVec,
    request_duration: HistogramVec,
    decisions: IntCounterVec,
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

/// What is counted about every request of a route, or of none.
#[derive(Debug)]
pub struct RequestMetrics {
    counters: IntCounterVec,
    route: Box<str>,
    /// By method and status; a cell is filled when its first request ends.
    cells: [OnceLock<Box<[OnceLock<IntCounter>]>>; METHODS.len()],
    duration: Histogram,
}

/// The decisions on a route that asks who calls.
#[derive(Debug)]
pub struct DecisionMetrics {
    /// Requests with a token that was accepted.
    pub ok: IntCounter,
    rejected: [IntCounter; Rejection::ALL.len()],
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
        let histograms = |name, help, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec());
            registered(registry, HistogramVec::new(options, labels)?)
        };
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
            requests: counters(
                "cognigate_http_requests_total",
                "Requests, by route, method and status.",
                &["route", "method", "code"],
            )?,
            request_duration: histograms(
                "cognigate_http_request_duration_seconds",
                "From the end of the request's head to the end of the response.",
                &["route"],
            )?,
            decisions: counters(
                "cognigate_auth_decisions_total",
                "Decisions on who may use a route, by reason.",
                &["route", "reason"],
            )?,
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

    /// The requests of a route, or of [`NO_ROUTE`].
    #[must_use]
    pub fn requests(&self, route: &str) -> RequestMetrics {
        RequestMetrics {
            counters: self.requests.clone(),
            route: route.into(),
            cells: Default::default(),
            duration: self.request_duration.with_label_values(&[route]),
        }
    }

    /// The decisions on a route that asks who calls, every one at 0.
    #[must_use]
    pub fn decisions(&self, route: &str) -> DecisionMetrics {
        let decision = |reason| self.decisions.with_label_values(&[route, reason]);
        DecisionMetrics { ok: decision("ok"), rejected: Rejection::ALL.map(|rejection| decision(rejection.reason())) }
    }

    /// The requests of a route that asks nothing.
    #[must_use]
    pub fn open_decisions(&self, route: &str) -> IntCounter {
        self.decisions.with_label_values(&[route, "open"])
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
    /// were may begin one once more, until the next time.
    pub fn retain(
        &self,
        is_route: impl Fn(&str) -> bool,
        is_upstream: impl Fn(&str) -> bool,
        is_listener: impl Fn(&str) -> bool,
    ) {
        let is_route = |route: &str| route == NO_ROUTE || is_route(route);
        reload::retain(&self.requests, "route", is_route);
        reload::retain(&self.request_duration, "route", is_route);
        reload::retain(&self.decisions, "route", is_route);
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

impl DecisionMetrics {
    /// Counts a request that was refused for this reason.
    pub fn count_rejection(&self, rejection: Rejection) {
        if let Some(counter) = self.rejected.get(rejection as usize) {
            counter.inc();
        }
    }
}

impl RequestMetrics {
    /// The label of the route.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Counts a request that ended.
    pub fn observe(&self, method: &Method, status: StatusCode, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
        if let Some(counter) = self.counter(method, status) {
            counter.inc();
        }
    }

    fn counter(&self, method: &Method, status: StatusCode) -> Option<&IntCounter> {
        let others = METHODS.len() - 1;
        let method = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(others);
        let place = usize::from(status.as_u16()).checked_sub(CODES.start).filter(|place| *place < CODES.len());
        let cells = self.cells.get(method)?.get_or_init(|| (0..=CODES.len()).map(|_| OnceLock::new()).collect());
        let cell = cells.get(place.unwrap_or(CODES.len()))?;
        Some(cell.get_or_init(|| {
            let method = METHODS.get(method).copied().unwrap_or_default();
            let code = place.map_or(OTHER_CODE, |_| status.as_str());
            self.counters.with_label_values(&[&*self.route, method, code])
        }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_a_closed_set() {
        let registry = Registry::new();
        let metrics = ProxyMetrics::register(&registry, "1", "c").unwrap();
        let route = metrics.requests("GET /a");
        for method in ["GET", "BREW", "M-SEARCH", "get"] {
            for status in [200, 599, 999] {
                let status = StatusCode::from_u16(status).unwrap();
                route.observe(&method.parse().unwrap(), status, Duration::ZERO);
            }
        }
        let families = registry.gather();
        let requests = families.iter().find(|family| family.name() == "cognigate_http_requests_total").unwrap();
        let mut found: Vec<_> = requests
            .get_metric()
            .iter()
            .map(|metric| {
                let labels: Vec<_> = metric.get_label().iter().map(|label| label.value()).collect();
                (labels.join(" "), metric.get_counter().get_value())
            })
            .collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let expected = [
            ("200 GET GET /a", 1.0),
            ("200 OTHER GET /a", 3.0),
            ("599 GET GET /a", 1.0),
            ("599 OTHER GET /a", 3.0),
            ("other GET GET /a", 1.0),
            ("other OTHER GET /a", 3.0),
        ];
        assert_eq!(found, expected.map(|(labels, count)| (labels.to_owned(), count)));
    }

    #[test]
    fn every_rejection_is_counted_under_its_own_reason() {
        let registry = Registry::new();
        let metrics = ProxyMetrics::register(&registry, "1", "c").unwrap();
        let decisions = metrics.decisions("r");
        for rejection in Rejection::ALL {
            decisions.count_rejection(rejection);
            assert_eq!(metrics.decisions.with_label_values(&["r", rejection.reason()]).get(), 1, "{rejection}");
        }
    }
}
