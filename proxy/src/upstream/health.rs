//! Whether an endpoint is well, by the checks that it answered: a streak decides, not a single check.
//!
//! - An endpoint begins well: a proxy that has just started, or that has just learned of an endpoint, serves before it asks.
//! - `unhealthy_after` failures in a row take it out, `healthy_after` successes in a row bring it back.
//! - The first check comes at once and the second anywhere within an interval; from then on an interval lies between two, give
//!   or take a tenth. So the checks of many endpoints, and of many proxies that were started together, do not come in step.
//!
//! Asks nobody: see [`probe`](super::probe).

use std::{num::NonZeroU32, time::Duration};

use crate::config::model::HealthCheckConfig;

/// How far a wait may be off the interval, as a part of it.
const SPREAD: f64 = 0.1;

/// What a check changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The endpoint is well again.
    Back,
    /// The endpoint is not well any more.
    Out,
}

/// What the checks of an endpoint have come to.
#[derive(Debug)]
pub(super) struct Streak {
    healthy_after: NonZeroU32,
    unhealthy_after: NonZeroU32,
    is_healthy: bool,
    /// How many checks in a row said the opposite.
    against: u32,
}

impl Streak {
    /// Of an endpoint that is taken to be well, or not, until checks say otherwise.
    pub(super) const fn new(config: &HealthCheckConfig, is_healthy: bool) -> Self {
        let HealthCheckConfig { probe: _, interval: _, timeout: _, healthy_after, unhealthy_after } = config;
        Self { healthy_after: *healthy_after, unhealthy_after: *unhealthy_after, is_healthy, against: 0 }
    }

    /// Takes a check into account, and says what it changed.
    pub(super) fn note(&mut self, is_success: bool) -> Option<Turn> {
        if is_success == self.is_healthy {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let (enough, turn) =
            if self.is_healthy { (self.unhealthy_after, Turn::Out) } else { (self.healthy_after, Turn::Back) };
        if self.against < enough.get() {
            return None;
        }
        (self.is_healthy, self.against) = (is_success, 0);
        Some(turn)
    }
}

/// From the begin of a check to the begin of the next. `random` is from 0 to 1.
pub(super) fn wait(interval: Duration, is_first: bool, random: f64) -> Duration {
    let factor = if is_first { random } else { 1.0 + SPREAD * (2.0 * random - 1.0) };
    interval.mul_f64(factor.clamp(0.0, 1.0 + SPREAD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Probe;

    fn streak(healthy_after: u32, unhealthy_after: u32, is_healthy: bool) -> Streak {
        let config = HealthCheckConfig {
            probe: Probe::Tcp,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy_after: NonZeroU32::new(healthy_after).unwrap(),
            unhealthy_after: NonZeroU32::new(unhealthy_after).unwrap(),
        };
        Streak::new(&config, is_healthy)
    }

    /// What each check changed: `+` and `-` are checks, `^` a return, `v` an end, `.` nothing.
    fn turns(mut streak: Streak, checks: &str) -> String {
        let turn = |check| match streak.note(check == '+') {
            Some(Turn::Back) => '^',
            Some(Turn::Out) => 'v',
            None => '.',
        };
        checks.chars().map(turn).collect()
    }

    #[test]
    fn a_streak_decides_and_anything_in_between_begins_it_anew() {
        for (healthy_after, unhealthy_after, checks, expected) in [
            (2, 3, "+++++++", "......."),
            (2, 3, "---", "..v"),
            (2, 3, "--+--+---", "........v"),
            (2, 3, "------", "..v..."),
            (2, 3, "---+-++", "..v...^"),
            (2, 3, "---++---", "..v.^..v"),
            (1, 1, "-+-+", "v^v^"),
            (3, 1, "-++-+++", "v.....^"),
        ] {
            assert_eq!(turns(streak(healthy_after, unhealthy_after, true), checks), expected, "{checks}");
        }
    }

    /// Checks that begin anew go on with what was known.
    #[test]
    fn an_endpoint_that_was_out_comes_back_by_the_same_rule() {
        assert_eq!(turns(streak(2, 3, false), "-+-++---"), "....^..v");
        assert_eq!(turns(streak(1, 1, false), "+"), "^");
    }

    #[test]
    fn waits_are_an_interval_give_or_take_a_tenth() {
        let interval = Duration::from_secs(10);
        for (is_first, random, expected) in [
            (true, 0.0, 0.0),
            (true, 0.5, 5.0),
            (true, 1.0, 10.0),
            (false, 0.0, 9.0),
            (false, 0.5, 10.0),
            (false, 1.0, 11.0),
        ] {
            let waited = wait(interval, is_first, random).as_secs_f64();
            assert!((waited - expected).abs() < 1e-6, "{is_first} {random}: {waited}");
        }
        assert_eq!(wait(interval, false, f64::INFINITY), Duration::from_secs(11), "whatever the source says");
    }

    #[test]
    fn checks_that_begin_together_do_not_stay_in_step() {
        let interval = Duration::from_secs(5);
        let mut random = fastrand::Rng::with_seed(7);
        let mut times: Vec<Duration> = (0..100).map(|_| wait(interval, true, random.f64())).collect();
        for round in 0..20 {
            times.sort_unstable();
            let busiest = times
                .iter()
                .map(|begin| times.iter().filter(|time| *time >= begin && **time - *begin < interval / 10).count());
            let busiest = busiest.max().unwrap();
            assert!(busiest < 30, "{busiest} of 100 in a tenth of an interval, round {round}");
            times.iter_mut().for_each(|time| *time += wait(interval, false, random.f64()));
        }
    }
}
