//! Hot path: no lock, no I/O, no info log.
//!
//! The duration of something so short that reading the clock twice would be a third of it (45 of 150 ns).
//!
//! One in [`TIMED_ONE_IN`] is timed, drawn at random, and what it took stands for those that end until the next one: the
//! count is exact, and so are the quantiles of many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use prometheus::Histogram;

/// Of how many one is timed.
const TIMED_ONE_IN: u32 = 16;

/// A histogram of seconds, most of whose observations repeat the one before.
#[derive(Clone, Debug)]
pub(crate) struct SampledDuration {
    histogram: Histogram,
    /// What the last one took that was timed, as the bits of its seconds; not a number before the first.
    last: Arc<AtomicU64>,
}

impl SampledDuration {
    pub(crate) fn new(histogram: Histogram) -> Self {
        Self { histogram, last: Arc::new(AtomicU64::new(f64::NAN.to_bits())) }
    }

    /// Begins one: with the moment, if it is timed.
    pub(crate) fn begin(&self) -> Option<Instant> {
        (self.last().is_nan() || fastrand::u32(..).is_multiple_of(TIMED_ONE_IN)).then(Instant::now)
    }

    /// Observes the one that began so.
    pub(crate) fn end(&self, began: Option<Instant>) {
        if let Some(began) = began {
            self.last.store(began.elapsed().as_secs_f64().to_bits(), Ordering::Relaxed);
        }
        // Not a number only while the first ones overlap: then it took next to nothing.
        self.histogram.observe(self.last().max(0.0));
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.histogram.get_sample_count()
    }

    fn last(&self) -> f64 {
        f64::from_bits(self.last.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use prometheus::HistogramOpts;

    use super::*;

    #[test]
    fn every_one_is_counted_and_few_are_timed() {
        let sampled = SampledDuration::new(Histogram::with_opts(HistogramOpts::new("d", "d")).unwrap());
        let timed = (0..1_000)
            .filter(|_| {
                let began = sampled.begin();
                sampled.end(began);
                began.is_some()
            })
            .count();
        assert_eq!(sampled.count(), 1_000);
        // 63 on average; either bound is missed less than once in a billion runs.
        assert!((10..200).contains(&timed), "{timed}");
        assert!(sampled.histogram.get_sample_sum().is_finite());
    }

    #[test]
    fn the_first_is_always_timed() {
        let sampled = SampledDuration::new(Histogram::with_opts(HistogramOpts::new("d", "d")).unwrap());
        assert!(sampled.begin().is_some());
    }
}
