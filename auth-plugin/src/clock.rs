//! The time of day, passed in wherever a verdict depends on it.
//!
//! Tokens carry `NumericDate` values (RFC 7519 section 2), so a whole second since the Unix epoch is all the precision
//! there is. This is the one place that reads the wall clock; tests hand in a [`FixedClock`].

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
pub type UnixSeconds = u64;

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted: for the order of what people do, not for tokens.
pub type UnixMillis = u64;

/// Nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted: for what is compared with the clocks of other machines.
pub type UnixNanos = u64;

/// Tells the time of day.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// The current time.
    fn now(&self) -> UnixSeconds;

    /// The current time, more precisely if the clock knows it.
    fn now_millis(&self) -> UnixMillis {
        self.now().saturating_mul(1_000)
    }

    /// The current time, still more precisely.
    fn now_nanos(&self) -> UnixNanos {
        self.now_millis().saturating_mul(1_000_000)
    }
}

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixSeconds {
        since_1970().as_secs()
    }

    fn now_millis(&self) -> UnixMillis {
        UnixMillis::try_from(since_1970().as_millis()).unwrap_or(UnixMillis::MAX)
    }

    fn now_nanos(&self) -> UnixNanos {
        UnixNanos::try_from(since_1970().as_nanos()).unwrap_or(UnixNanos::MAX)
    }
}

/// A clock set before 1970 reads as 0, at which no token with keys to check it can be alive.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn since_1970() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// A clock that stands still until it is moved by hand.
#[derive(Debug, Default)]
pub struct FixedClock(AtomicU64);

impl FixedClock {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn at(now: UnixSeconds) -> Self {
        Self(AtomicU64::new(now))
    }

    /// Moves the hands to `now`, forwards or backwards.
    pub fn set(&self, now: UnixSeconds) {
        self.0.store(now, Ordering::Relaxed);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> UnixSeconds {
        self.0.load(Ordering::Relaxed)
    }
}
