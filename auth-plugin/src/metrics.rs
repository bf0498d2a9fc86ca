//! Hot path: no lock, no I/O, no info log.
//!
//! What this crate counts, in Prometheus' terms. Every series is made when the authorizer is: nothing that a request says
//! can add one.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};

/// Seconds; a cached token is decided in under a microsecond, a new one in tens of them.
const DURATION_BUCKETS: [f64; 11] = [2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 1e-3, 1e-2];

/// The metrics of the authorizer.
#[derive(Clone, Debug)]
pub struct AuthMetrics {
    pub(crate) duration_cached: Histogram,
    pub(crate) duration_verified: Histogram,
    pub(crate) cache: CacheMetrics,
    jwks_refreshes: IntCounterVec,
    jwks_last_success: IntGaugeVec,
    jwks_keys: IntGaugeVec,
}

/// The metrics of the cache of verified tokens.
#[derive(Clone, Debug)]
pub(crate) struct CacheMetrics {
    pub(crate) hits: IntCounter,
    pub(crate) misses: IntCounter,
    pub(crate) evictions: IntCounter,
    pub(crate) entries: IntGauge,
    pub(crate) bytes: IntGauge,
}

/// The metrics of one pool's keys.
#[derive(Clone, Debug)]
pub(crate) struct KeyMetrics {
    pub(crate) refreshed: IntCounter,
    pub(crate) failed: IntCounter,
    pub(crate) not_offered: IntCounter,
    pub(crate) last_success: IntGauge,
    pub(crate) keys: IntGauge,
}

impl AuthMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// The registry's, if it holds metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let duration = registered(
            registry,
            HistogramVec::new(
                HistogramOpts::new(
                    "cognigate_auth_duration_seconds",
                    "Time to decide on one token, by whether it was cached.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
                &["path"],
            )?,
        )?;
        Ok(Self {
            duration_cached: duration.with_label_values(&["cached"]),
            duration_verified: duration.with_label_values(&["verified"]),
            cache: CacheMetrics::register(registry)?,
            jwks_refreshes: registered(
                registry,
                IntCounterVec::new(
                    Opts::new("cognigate_jwks_refreshes_total", "Fetches of a pool's keys, by result."),
                    &["user_pool", "result"],
                )?,
            )?,
            jwks_last_success: registered(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "cognigate_jwks_last_success_timestamp_seconds",
                        "When the pool's keys were last fetched.",
                    ),
                    &["user_pool"],
                )?,
            )?,
            jwks_keys: registered(
                registry,
                IntGaugeVec::new(
                    Opts::new("cognigate_jwks_keys", "Keys that the pool's tokens may be signed with."),
                    &["user_pool"],
                )?,
            )?,
        })
    }

    pub(crate) fn keys_of(&self, user_pool: &str) -> KeyMetrics {
        KeyMetrics {
            refreshed: self.jwks_refreshes.with_label_values(&[user_pool, "success"]),
            failed: self.jwks_refreshes.with_label_values(&[user_pool, "failure"]),
            not_offered: self.jwks_refreshes.with_label_values(&[user_pool, "not_offered"]),
            last_success: self.jwks_last_success.with_label_values(&[user_pool]),
            keys: self.jwks_keys.with_label_values(&[user_pool]),
        }
    }
}

impl CacheMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help| registered(registry, IntCounter::new(name, help)?);
        let gauge = |name, help| registered(registry, IntGauge::new(name, help)?);
        Ok(Self {
            hits: counter("cognigate_token_cache_hits_total", "Tokens whose claims were in the cache.")?,
            misses: counter("cognigate_token_cache_misses_total", "Tokens that had to be verified.")?,
            evictions: counter("cognigate_token_cache_evictions_total", "Entries that made room for others.")?,
            entries: gauge("cognigate_token_cache_entries", "Tokens in the cache.")?,
            bytes: gauge("cognigate_token_cache_bytes", "Memory that the tokens in the cache take.")?,
        })
    }
}

fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> Result<M, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
