//! Hot path: no lock, no I/O, no info log.
//!
//! How many endpoints of a pool are out of rotation, and whether one more may be ejected.

use std::sync::atomic::{AtomicU64, Ordering};

use super::state::State;
use crate::config::model::{OutlierConfig, Percent};

/// One endpoint that is out of rotation, for whatever reason.
const OUT: u64 = 1;

/// One endpoint that is ejected. The counts of both are one number, so that they change together.
const EJECTED: u64 = 1 << 32;

/// How many endpoints of a pool are out of rotation, and how many may be.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Tally {
    counts: AtomicU64,
    /// The endpoints with a share of the requests.
    endpoints: AtomicU64,
    /// How many of them `max_ejected` is.
    share: AtomicU64,
}

impl Tally {
    /// Says how many endpoints with a share there are, and with it how many of them may be out.
    pub(in crate::upstream) fn limit(&self, endpoints: usize, outlier: Option<&OutlierConfig>) {
        let Percent(percent) = outlier.map_or(Percent(0), |outlier| outlier.max_ejected);
        let endpoints = u64::try_from(endpoints).unwrap_or(u64::MAX);
        let share = if endpoints > 1 { endpoints.saturating_mul(percent.into()) / 100 } else { 0 };
        self.endpoints.store(endpoints, Ordering::Relaxed);
        self.share.store(share, Ordering::Relaxed);
    }

    /// Whether more are ejected than may be, since there are fewer endpoints than there were.
    pub(in crate::upstream) fn is_exceeded(&self) -> bool {
        !self.may_be(self.counts.load(Ordering::Relaxed))
    }

    /// Counts one more that is ejected, if that is allowed.
    pub(super) fn take(&self) -> bool {
        let one_more = |counts: u64| Some(counts.wrapping_add(OUT + EJECTED)).filter(|counts| self.may_be(*counts));
        self.counts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Takes that back.
    pub(super) fn give_back(&self) {
        self.counts.fetch_sub(OUT + EJECTED, Ordering::Relaxed);
    }

    /// Counts an endpoint as what it is now, and no longer as what it was.
    pub(super) fn follow(&self, before: State, after: State) {
        if counts(before) != counts(after) {
            // Both counts are sums: what is taken from one is not borrowed from the other in the end.
            self.counts.fetch_add(counts(after).wrapping_sub(counts(before)), Ordering::Relaxed);
        }
    }

    /// How many are out of rotation.
    #[cfg(test)]
    pub(super) fn out(&self) -> u64 {
        self.counts.load(Ordering::Relaxed) % EJECTED
    }

    /// How many are ejected.
    #[cfg(test)]
    pub(super) fn ejected(&self) -> u64 {
        self.counts.load(Ordering::Relaxed) / EJECTED
    }

    /// Whether so many may be out: within the share; or only one is ejected, and another is in rotation.
    fn may_be(&self, counts: u64) -> bool {
        let (out, ejected) = (counts % EJECTED, counts / EJECTED);
        out <= self.share.load(Ordering::Relaxed) || ejected <= 1 && out < self.endpoints.load(Ordering::Relaxed)
    }
}

const fn counts(state: State) -> u64 {
    if state.is_gone {
        return 0;
    }
    let out = if state.is_out() { OUT } else { 0 };
    if state.is_ejected { out + EJECTED } else { out }
}
