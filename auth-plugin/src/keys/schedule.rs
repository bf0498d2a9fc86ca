//! When the keys are fetched next. Pure.
//!
//! - After a success in `refresh`.
//! - After a failure, while there are keys that decide: in 15 s, 30 s and then 60 s. Nothing is urgent, and a key server
//!   with a bad day is left alone: never sooner than 10 s after the last time.
//! - After a failure, while there are none: in 1 s, 2 s, 4 s and so on up to 60 s.
//! - Never later than after a success, so that a short `refresh` holds for failures too; and never under 1 s before the
//!   spread.
//! - Every wait is spread by a fifth either way, so that a fleet of proxies does not ask in step.

use std::time::Duration;

/// The first wait after a failure without keys, and the shortest of all.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The first wait after a failure with keys.
const FIRST_PATIENT_RETRY: Duration = Duration::from_secs(15);

/// The longest wait after a failure.
pub(super) const LAST_RETRY: Duration = Duration::from_secs(60);

/// The shortest wait after a failure with keys, spread or not.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far a wait may be off, either way.
const SPREAD: f64 = 0.2;

/// The wait after so many failures in a row, with keys that decide or without; `random` is from 0 to 1.
pub(super) fn wait(refresh: Duration, failures: u32, has_keys: bool, random: f64) -> Duration {
    let refresh = refresh.max(FIRST_RETRY);
    let Some(doublings) = failures.checked_sub(1) else {
        return spread(refresh, random);
    };
    let first = if has_keys { FIRST_PATIENT_RETRY } else { FIRST_RETRY };
    let wait = first.saturating_mul(1 << doublings.min(16)).min(LAST_RETRY).min(refresh);
    let least = if has_keys { PATIENCE.min(refresh) } else { Duration::ZERO };
    spread(wait, random).max(least)
}

/// A wait that is off by [`SPREAD`] at most; `random` is from 0 to 1. One too long to be spread is left as it is.
pub(super) fn spread(wait: Duration, random: f64) -> Duration {
    let factor = 1.0 - SPREAD + 2.0 * SPREAD * random;
    Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: f64 = 0.5;

    #[test]
    fn failures_back_off_and_never_wait_longer_than_a_success() {
        for (refresh, failures, without_keys, with_keys) in [
            (300, 0, 300, 300),
            (300, 1, 1, 15),
            (300, 2, 2, 30),
            (300, 3, 4, 60),
            (300, 4, 8, 60),
            (300, 7, 60, 60),
            (300, u32::MAX, 60, 60),
            (20, 2, 2, 20),
            (12, 1, 1, 12),
            (5, 9, 5, 5),
            (1, 1, 1, 1),
            (0, 0, 1, 1),
            (0, 1, 1, 1),
        ] {
            let refresh = Duration::from_secs(refresh);
            let waits = [false, true].map(|has_keys| wait(refresh, failures, has_keys, MIDDLE).as_secs());
            assert_eq!(waits, [without_keys, with_keys], "{refresh:?} {failures}");
        }
    }

    #[test]
    fn a_key_server_that_fails_is_left_alone_for_ten_seconds_while_there_are_keys() {
        for (refresh, least) in [(300, 12_000), (12, 10_000), (11, 10_000), (10, 10_000), (5, 5_000), (1, 1_000)] {
            for failures in [1, 2, 3, u32::MAX] {
                let wait = wait(Duration::from_secs(refresh), failures, true, 0.0);
                assert!(wait >= Duration::from_millis(least), "{refresh} {failures}: {wait:?}");
            }
        }
    }

    #[test]
    fn waits_are_spread_by_a_fifth_and_never_overflow() {
        let minutes = Duration::from_secs(300);
        for (wait, random, expected) in [
            (minutes, 0.0, Duration::from_secs(240)),
            (minutes, 0.5, minutes),
            (minutes, 1.0, Duration::from_secs(360)),
            (Duration::MAX, 1.0, Duration::MAX),
        ] {
            assert_eq!(spread(wait, random), expected, "{wait:?} {random}");
        }
    }
}
