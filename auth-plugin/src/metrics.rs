//! Hot path: no lock, no I/O, no info log.
//!
//! What this crate counts, in Prometheus' terms. Every series is made when the authorizer is: nothing that a request says
//! can add one.

mod keys;
mod sampled;

use std::sync::Arc;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntGauge, Registry, core::Collector};

pub(crate) use self::keys::KeyMetrics;
use self::{keys::KeyMetricFamily, sampled::SampledDuration};

/// Seconds; a cached token is decided in under a microsecond, a new one in tens of them.
const DURATION_BUCKETS: [f64; 11] = [2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 1e-3, 1e-2];

/// The metrics of the authorizer.
#[derive(Clone, Debug)]
pub struct AuthMetrics {
    pub(crate) duration_cached: SampledDuration,
    pub(crate) duration_verified: Histogram,
    pub(crate) cache: CacheMetrics,
    keys: Arc<KeyMetricFamily>,
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
                    "Time to decide on one token, by whether it was cached. Of cached ones one in 16 is timed, and stands for those after it.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
                &["path"],
            )?,
        )?;
        Ok(Self {
            duration_cached: SampledDuration::new(duration.with_label_values(&["cached"])),
            duration_verified: duration.with_label_values(&["verified"]),
            cache: CacheMetrics::register(registry)?,
            keys: KeyMetricFamily::register(registry)?,
        })
    }

    /// What is counted about a pool's keys, by whoever counts it: the series are there until the last one is dropped.
    pub(crate) fn keys_of(&self, user_pool: &str) -> Arc<KeyMetrics> {
        self.keys.of(user_pool)
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
