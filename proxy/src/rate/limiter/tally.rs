//! Hot path: no lock, no I/O, no info log.
//!
//! What all the sets of a table count together.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::telemetry::metrics::RateMetrics;

/// Counts places as they are taken and given back.
#[derive(Debug)]
pub(super) struct Tally {
    metrics: RateMetrics,
    /// The places of this table that are taken; the gauge has those of every table.
    taken: AtomicI64,
    numbers: AtomicU64,
}

impl Tally {
    pub(super) fn new(metrics: RateMetrics) -> Self {
        Self { metrics, taken: AtomicI64::new(0), numbers: AtomicU64::new(0) }
    }

    /// A number that was not there before, less than 2⁶².
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) & (u64::MAX >> 2)
    }

    /// A place was taken that nobody had.
    pub(super) fn count_taken(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.metrics.keys.inc();
    }

    /// A place was given back.
    pub(super) fn count_left(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        self.metrics.keys.dec();
    }

    /// An account was forgotten that owed something.
    pub(super) fn count_evicted(&self) {
        self.metrics.evictions.inc();
    }

    #[cfg(test)]
    pub(super) const fn metrics(&self) -> &RateMetrics {
        &self.metrics
    }
}

impl Drop for Tally {
    /// Takes its places out of the gauge, which other tables go on using.
    fn drop(&mut self) {
        self.metrics.keys.sub(*self.taken.get_mut());
    }
}
