//! Hot path: no lock, no I/O, no info log.
//!
//! What is allowed in which time, and what is left of it: arithmetic alone.
//!
//! Times are in nanoseconds since some beginning.

use std::num::NonZeroU32;

use crate::config::model::Rate;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// By how much the clocks of two threads may differ, with room to spare, in nanoseconds.
const SLACK: u64 = NANOS_PER_SECOND;

/// So many in the long run, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// From one to the next, in nanoseconds, to the nearest: at a million a second that is exact to 0.05 %.
    interval: u64,
    burst: u32,
}

/// What is left after one was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How many can be had at once.
    pub left: u32,
    /// In how many seconds it is one more. At least 1.
    pub more_in: u32,
}

/// Nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// In how many seconds one can be had. At least 1.
    pub retry_after: u32,
}

impl From<Exhausted> for Allowance {
    fn from(Exhausted { retry_after }: Exhausted) -> Self {
        Self { left: 0, more_in: retry_after }
    }
}

impl Quota {
    /// `rate` in the long run, `burst` at once.
    #[must_use]
    pub fn new(rate: Rate, burst: NonZeroU32) -> Self {
        let Rate { count, period } = rate;
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let count = u64::from(count.get());
        Self { interval: (period.saturating_add(count / 2) / count).max(1), burst: burst.get() }
    }

    /// `rate` in the long run, and as many at once as it counts.
    #[must_use]
    pub fn of_rate(rate: Rate) -> Self {
        Self::new(rate, rate.count)
    }

    /// How many can be had at once after a pause.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// In how many seconds all of them come back. At least 1.
    #[must_use]
    pub fn window(self) -> u32 {
        seconds(self.whole())
    }

    /// Takes one at `now` for who has everything back at `full_at`: when that is afterwards, and what is left. Nobody can owe
    /// more than the whole: a moment that is later than that is somebody else's, and nothing is owed.
    pub(super) fn take(self, full_at: u64, now: u64) -> Result<(u64, Allowance), Exhausted> {
        let latest = now.saturating_add(self.whole());
        let full_at = if full_at > latest.saturating_add(SLACK) { now } else { full_at.max(now) };
        let next = full_at.saturating_add(self.interval);
        match latest.checked_sub(next) {
            Some(spare) => {
                let left = u32::try_from(spare / self.interval).unwrap_or(u32::MAX);
                let more_in = seconds(self.interval - spare % self.interval);
                Ok((next, Allowance { left, more_in }))
            }
            None => Err(Exhausted { retry_after: seconds(next - latest) }),
        }
    }

    /// The time in which all of them come back.
    fn whole(self) -> u64 {
        self.interval.saturating_mul(u64::from(self.burst))
    }
}

/// Whole seconds after which so many nanoseconds are over, at least 1.
fn seconds(nanos: u64) -> u32 {
    u32::try_from(nanos.div_ceil(NANOS_PER_SECOND)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: u64 = 1_000_000;

    fn rate(count: u32, seconds: u64) -> Rate {
        Rate { count: NonZeroU32::new(count).unwrap(), period: Duration::from_secs(seconds) }
    }

    fn quota(count: u32, seconds: u64, burst: u32) -> Quota {
        Quota::new(rate(count, seconds), NonZeroU32::new(burst).unwrap())
    }

    /// What is left or, negative, after how many seconds to ask again, of requests at these milliseconds.
    fn verdicts(quota: Quota, times: &[u64]) -> Vec<i64> {
        let mut full_at = 0;
        let take = |time: &u64| match quota.take(full_at, time * MS) {
            Ok((next, Allowance { left, .. })) => {
                full_at = next;
                i64::from(left)
            }
            Err(Exhausted { retry_after }) => -i64::from(retry_after),
        };
        times.iter().map(take).collect()
    }

    #[test]
    fn a_burst_is_had_at_once_and_comes_back_at_the_rate() {
        for (case, quota, times, expected) in [
            ("a burst", quota(1, 1, 3), &[0, 0, 0, 0][..], &[2, 1, 0, -1][..]),
            ("one at a time", quota(2, 1, 1), &[0, 499, 500, 999, 1000], &[0, -1, 0, -1, 0]),
            ("a pause", quota(1, 1, 2), &[0, 0, 1000, 3500, 3500, 3500], &[1, 0, 0, 1, 0, -1]),
            ("what was refused costs nothing", quota(1, 1, 1), &[0, 900, 950, 999, 1000], &[0, -1, -1, -1, 0]),
            ("a minute", quota(30, 60, 2), &[0, 0, 0, 1999, 2000], &[1, 0, -2, -1, 0]),
            ("an hour", quota(1, 3600, 1), &[0, 0, 3_599_000, 3_600_000], &[0, -3600, -1, 0]),
            ("no gain from waiting longer", quota(10, 1, 2), &[0, 60_000, 60_000, 60_000], &[1, 1, 0, -1]),
            ("time that goes back", quota(1, 1, 2), &[5000, 4000, 5000, 6000], &[1, -1, 0, 0]),
        ] {
            assert_eq!(verdicts(quota, times), expected, "{case}");
        }
    }

    #[test]
    fn waiting_as_long_as_was_said_is_enough() {
        for (count, seconds, burst) in [(1, 1, 1), (3, 1, 2), (7, 60, 5), (1_000_000, 1, 1_000_000), (1, 3600, 1_000)] {
            let quota = quota(count, seconds, burst);
            let mut full_at = 0;
            for _ in 0..burst {
                full_at = quota.take(full_at, 0).unwrap().0;
            }
            let Exhausted { retry_after } = quota.take(full_at, 0).unwrap_err();
            assert!(quota.take(full_at, u64::from(retry_after) * 1_000 * MS).is_ok(), "{quota:?}");
            let (_, Allowance { left, more_in }) = quota.take(0, 0).unwrap();
            let after = quota.take(quota.take(0, 0).unwrap().0, u64::from(more_in) * 1_000 * MS);
            assert!(after.unwrap().1.left >= left, "{quota:?}");
        }
    }

    #[test]
    fn a_window_is_the_time_of_a_burst() {
        for (quota, expected) in [
            (quota(100, 1, 200), 2),
            (quota(100, 1, 1), 1),
            (quota(3, 1, 10), 4),
            (quota(30, 60, 30), 60),
            (quota(1, 3600, 1_000_000), 3_600_000_000),
        ] {
            assert_eq!(quota.window(), expected, "{quota:?}");
        }
    }

    #[test]
    fn no_number_is_too_large() {
        let most = quota(1, 3600, 1_000_000);
        assert_eq!(most.take(u64::MAX, 0).unwrap().0, 3_600 * NANOS_PER_SECOND);
        assert_eq!(most.take(u64::MAX, u64::MAX).unwrap().0, u64::MAX);
        assert_eq!(most.take(0, u64::MAX).unwrap().0, u64::MAX);
        assert_eq!(quota(1_000_000, 1, 1).take(0, 0).unwrap().0, 1_000);
    }

    #[test]
    fn nobody_pays_what_it_cannot_owe() {
        let quota = quota(100, 1, 100);
        let window = NANOS_PER_SECOND;
        for (case, full_at, is_refused) in [
            ("all of it", window, true),
            ("by a clock that is ahead", window + SLACK, true),
            ("somebody else's", window + SLACK + 1, false),
            ("an hour", 3_600 * NANOS_PER_SECOND, false),
        ] {
            assert_eq!(quota.take(full_at, 0).is_err(), is_refused, "{case}");
        }
        assert_eq!(quota.take(3_600 * NANOS_PER_SECOND, 5).unwrap(), quota.take(0, 5).unwrap());
    }

    /// The same as a bucket that is filled drop by drop, on random times.
    #[test]
    fn verdicts_are_those_of_a_token_bucket() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let (count, burst) = (random.u32(1..=1_000), random.u32(1..=50));
            let quota = Quota::new(rate(count, 1), NonZeroU32::new(burst).unwrap());
            // In nanoseconds of filling, so that nothing is rounded.
            let (interval, most) = (u128::from(quota.interval), u128::from(quota.interval) * u128::from(burst));
            let (mut bucket, mut filled_at, mut now, mut full_at) = (most, 0, 0, 0);
            for _ in 0..200 {
                now += random.u64(0..quota.interval * 3);
                bucket = most.min(bucket + u128::from(now - filled_at));
                filled_at = now;
                let left = bucket.checked_sub(interval);
                let taken = quota.take(full_at, now);
                let expected = left.map(|left| u32::try_from(left / interval).unwrap());
                assert_eq!(taken.ok().map(|(_, allowance)| allowance.left), expected, "{quota:?} at {now}");
                full_at = taken.map_or(full_at, |(next, _)| next);
                bucket = left.unwrap_or(bucket);
            }
        }
    }
}
