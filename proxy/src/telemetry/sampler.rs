//! Hot path: no lock, no I/O, no info log.
//!
//! A line of the log for what may happen thousands of times a second: the first at once, then one an interval that says how
//! many there were in between.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// Lets one line an interval through.
#[derive(Debug)]
pub struct Sampler {
    origin: Instant,
    /// When the next one may, in milliseconds since the origin.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl Sampler {
    /// Lets the first line through.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { origin: now, next: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// Whether a line is written now; then how many were not since the last one.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let now = milliseconds(now.saturating_duration_since(self.origin));
        let next = self.next.load(Ordering::Relaxed);
        let is_due = now >= next;
        let after = now + milliseconds(INTERVAL);
        // Of several threads that are due, one writes.
        if is_due && self.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_line_an_interval_and_it_says_how_many_there_were() {
        let origin = Instant::now();
        let sampler = Sampler::new(origin);
        let admitted = |milliseconds| sampler.admit(origin + Duration::from_millis(milliseconds));
        for (at, expected) in [
            (0, Some(0)),
            (0, None),
            (999, None),
            (1000, Some(2)),
            (1001, None),
            (1999, None),
            (7000, Some(2)),
            (8000, Some(0)),
        ] {
            assert_eq!(admitted(at), expected, "{at}");
        }
    }
}
