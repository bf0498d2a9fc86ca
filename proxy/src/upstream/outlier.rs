//! Hot path: no lock, no I/O, no info log.
//!
//! Whether an endpoint is in rotation: what requests and health checks make of it.
//!
//! - So many failures in a row eject it; a success begins the count anew.
//! - It stays out for a time, the second time in a row for twice that, and so on up to ten times.
//! - It does not come back because that time is over, but when whoever watches the pool has asked it and found it well.
//! - Then it is on probation: one request, its trial, decides, and others keep away meanwhile. A failure ejects it at once, a
//!   success clears it of everything. A trial without an end keeps others away for as long as the endpoint was out: then there
//!   is another.
//! - Of a pool, only a share may be out for that reason, counted with those that health checks took out. One may always be, as
//!   long as another is in rotation.
//! - A request counts only in the time in rotation that it was sent in: what becomes of it after an ejection or a return says
//!   nothing about the endpoint as it is now.
//!
//! All that is known of an endpoint is one word, and each change one exchange of it, so that every change is made by exactly one
//! thread and the count of those that are out is exact.

mod state;
mod tally;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use self::state::State;
pub(super) use self::tally::Tally;
use crate::config::model::OutlierConfig;

/// How many times its time an endpoint is left out at most.
const MAX_EJECTIONS: u64 = 10;

/// What is known of one endpoint, and the pool that it counts for.
#[derive(Debug)]
pub(super) struct Standing {
    word: AtomicU64,
    /// What moments are counted from.
    origin: Instant,
    rule: Option<Rule>,
    has_share: bool,
    tally: Arc<Tally>,
}

/// A request's leave to go to an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// The time in rotation that it counts in.
    epoch: u64,
    /// Until when it keeps others away, if it is the trial of an endpoint on probation.
    trial: Option<u64>,
}

/// When an endpoint is ejected, and for how long.
#[derive(Clone, Copy, Debug)]
struct Rule {
    failures: u64,
    /// In milliseconds.
    eject_for: u64,
}

impl Rule {
    /// How long an endpoint is out that was ejected so many times in a row, in milliseconds.
    const fn time(self, ejections: u64) -> u64 {
        self.eject_for * ejections
    }
}

impl Standing {
    /// Of an endpoint that is in rotation. One without a share of the requests is never ejected, and counts nowhere.
    pub(super) fn new(outlier: Option<&OutlierConfig>, has_share: bool, tally: &Arc<Tally>) -> Self {
        let rule = outlier.filter(|_| has_share).map(|outlier| Rule {
            failures: outlier.consecutive_failures.get().into(),
            eject_for: milliseconds(outlier.eject_for),
        });
        Self { word: AtomicU64::new(0), origin: Instant::now(), rule, has_share, tally: Arc::clone(tally) }
    }

    /// Whether it is in rotation.
    pub(super) fn is_available(&self) -> bool {
        !self.state().is_out()
    }

    /// Whether it is in rotation and no trial keeps others away. The clock is read only if there is one.
    pub(super) fn is_open(&self, now: impl FnOnce() -> Instant) -> bool {
        let state = self.state();
        !state.is_out() && !self.is_on_trial(state, now)
    }

    /// Lets a request in: on probation as the trial, and not if there is one.
    pub(super) fn admit(&self, now: impl Fn() -> Instant) -> Option<Pass> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let state = State::of(word);
            let rule = self.rule.filter(|_| state.is_on_probation && !state.is_out());
            let Some(rule) = rule else { return Some(Pass { epoch: state.epoch, trial: None }) };
            if self.is_on_trial(state, &now) {
                return None;
            }
            let next = State { until: self.elapsed(now()) + rule.time(state.ejections), ..state };
            match self.exchange(word, next) {
                // As the word holds it.
                Ok(()) => return Some(Pass { epoch: state.epoch, trial: Some(State::of(next.word()).until) }),
                Err(current) => word = current,
            }
        }
    }

    /// Lets a request in, whoever is there.
    pub(super) fn admit_anyway(&self) -> Pass {
        Pass { epoch: self.state().epoch, trial: None }
    }

    /// Takes down that a request has left. If it was the trial and nothing came of it, another may be.
    pub(super) fn leave(&self, pass: Pass) {
        let Some(trial) = pass.trial else { return };
        self.change(|state| match state.is_on_probation && state.until == trial {
            true => State { until: 0, ..state },
            false => state,
        });
    }

    /// Takes down that a request failed. If that ejects the endpoint: for how long.
    pub(super) fn fail(&self, pass: Pass, now: Instant) -> Option<Duration> {
        let rule = self.rule?;
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let state = State::of(word);
            if state.is_out() || state.is_gone || state.epoch != pass.epoch {
                return None;
            }
            let failed = State { failures: rule.failures.min(state.failures + 1), ..state };
            let is_due = failed.failures >= rule.failures || state.is_on_probation;
            let is_ejected = is_due && self.tally.take();
            let next = if is_ejected { failed.ejected(rule, self.elapsed(now)) } else { failed };
            match self.exchange(word, next) {
                Ok(()) => return is_ejected.then(|| Duration::from_millis(rule.time(next.ejections))),
                Err(current) => word = current,
            }
            if is_ejected {
                self.tally.give_back();
            }
        }
    }

    /// Takes down that a request succeeded. Nothing is written where that is no news.
    pub(super) fn succeed(&self, pass: Pass) {
        self.change(|state| match state.is_out() || state.epoch != pass.epoch {
            true => state,
            false => State { is_on_probation: false, ejections: 0, failures: 0, until: 0, ..state },
        });
    }

    /// Takes down what health checks say.
    pub(super) fn check(&self, is_healthy: bool) {
        self.change(|state| match state.is_unwell == is_healthy {
            true => State { is_unwell: !is_healthy, failures: 0, ..state }.in_next_epoch(),
            false => state,
        });
    }

    /// When an endpoint that is ejected may be asked whether it is well.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        let state = self.state();
        let until = self.origin.checked_add(Duration::from_millis(state.until))?;
        (state.is_ejected && !state.is_gone).then_some(until)
    }

    /// Takes an endpoint back that was ejected, on probation.
    pub(super) fn readmit(&self) {
        self.change(|state| match state.is_ejected {
            true => State { is_ejected: false, is_on_probation: true, failures: 0, until: 0, ..state }.in_next_epoch(),
            false => state,
        });
    }

    /// Leaves an endpoint out once more that is ejected: it was asked, and is not well.
    pub(super) fn extend(&self, now: Instant) {
        let Some(rule) = self.rule else { return };
        let now = self.elapsed(now);
        self.change(|state| if state.is_ejected { state.ejected(rule, now) } else { state });
    }

    /// Lets an endpoint go: from now on it counts nowhere.
    pub(super) fn retire(&self) {
        self.change(|state| State { is_gone: true, ..state });
    }

    fn state(&self) -> State {
        State::of(self.word.load(Ordering::Relaxed))
    }

    fn is_on_trial(&self, state: State, now: impl FnOnce() -> Instant) -> bool {
        state.is_on_probation && state.until > 0 && state.until > self.elapsed(now())
    }

    /// Changes the state, and keeps the tally right. What is gone stays as it is.
    fn change(&self, change: impl Fn(State) -> State) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let state = State::of(word);
            let next = if state.is_gone { state } else { change(state) };
            if next == state {
                return;
            }
            match self.exchange(word, next) {
                Ok(()) if self.has_share => return self.tally.follow(state, next),
                Ok(()) => return,
                Err(current) => word = current,
            }
        }
    }

    fn exchange(&self, word: u64, next: State) -> Result<(), u64> {
        let exchanged = self.word.compare_exchange_weak(word, next.word(), Ordering::Relaxed, Ordering::Relaxed);
        exchanged.map(|_| ())
    }

    fn elapsed(&self, now: Instant) -> u64 {
        milliseconds(now.saturating_duration_since(self.origin))
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
