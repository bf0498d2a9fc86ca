//! Hot path: no lock, no I/O, no info log.
//!
//! The accounts of all who are limited, in one table of a fixed size.
//!
//! - Eight-way set-associative: a hash picks a set and is the name of the account in it. It is keyed anew in each process, so
//!   that nobody can aim at somebody else's; that two of one limit share one by chance is as likely as guessing 36 bits.
//! - An account is two words: whose it is, and when it has everything back. One that has everything back equals none, so
//!   nothing is ever cleared out: its place is taken when it is wanted.
//! - In a full set the limit that has the most places there gives one up, the account that has everything back first: a flood
//!   on one route takes the places of its own, and the limits of other routes go on to bind. Who lost a place starts anew when
//!   it returns, which is counted.
//! - Nobody waits, and nobody takes more than there is: `set` says how.
//! - Memory comes in segments, when the first account in one is opened: a limiter that nobody needs takes none.

mod set;
mod sync;
mod tally;

use std::{sync::OnceLock, thread, time::Instant};

use ahash::RandomState;

use self::{
    set::{NOBODY, Set},
    tally::Tally,
};
use super::quota::{Allowance, Exhausted, Quota};
use crate::{subscriber::Subscriber, telemetry::metrics::RateMetrics};

/// Accounts in a set.
const WAYS: usize = 8;

/// Sets in a segment, which is 16 KiB.
const SEGMENT_SETS: usize = 128;

/// Keeps the accounts.
#[derive(Debug)]
pub struct RateLimiter {
    capacity: usize,
    segments: Box<[OnceLock<Box<[Set]>>]>,
    hasher: RandomState,
    began: Instant,
    tally: Tally,
}

/// Who takes, and what for: each has an account of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Account<'a> {
    /// The route that the limit belongs to; nothing, where it is the whole proxy's.
    pub route: Option<&'a str>,
    /// Who takes.
    pub whose: Whose<'a>,
}

/// Who takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose<'a> {
    /// An app client.
    Client {
        /// The issuer that vouches for it.
        issuer: &'a str,
        /// Its id.
        client_id: &'a str,
    },
    /// Whoever has an address.
    Source(Subscriber),
    /// A user.
    User {
        /// The issuer that vouches for the user.
        issuer: &'a str,
        /// The user's id there.
        sub: &'a str,
    },
}

impl RateLimiter {
    /// Keeps at most `capacity` accounts, a multiple of 1024; what is no multiple is rounded up. `hasher` decides where they
    /// are: it has to be random. Time begins at `began`.
    #[must_use]
    pub fn new(capacity: usize, hasher: RandomState, began: Instant, metrics: RateMetrics) -> Self {
        let segments = capacity.div_ceil(WAYS * SEGMENT_SETS).max(1);
        let segments = (0..segments).map(|_| OnceLock::new()).collect();
        Self { capacity, segments, hasher, began, tally: Tally::new(metrics) }
    }

    /// How many accounts were asked for.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes one from an account.
    ///
    /// # Errors
    ///
    /// [`Exhausted`]. Nothing is taken then.
    pub fn take(&self, account: &Account<'_>, quota: Quota, now: Instant) -> Result<Allowance, Exhausted> {
        let name = self.name(account, quota);
        let now = self.nanos(now);
        match self.set(name) {
            Some(set) => set.take(name, quota, now, &self.tally),
            None => quota.take(0, now).map(|(_, allowance)| allowance),
        }
    }

    /// Whether something is left in an account. Takes nothing.
    ///
    /// # Errors
    ///
    /// [`Exhausted`].
    pub fn peek(&self, account: &Account<'_>, quota: Quota, now: Instant) -> Result<(), Exhausted> {
        let name = self.name(account, quota);
        let (segment, set) = self.position(name);
        let set = self.segments.get(segment).and_then(|segment| segment.get()?.get(set));
        set.map_or(Ok(()), |set| set.peek(name, quota, self.nanos(now)))
    }

    /// The lowest byte is that of the limit. A changed quota has an account of its own: what is owed under one would be
    /// forever under another.
    fn name(&self, account: &Account<'_>, quota: Quota) -> u64 {
        let Account { route, whose } = account;
        let limit = self.hasher.hash_one((route, quota));
        match (self.hasher.hash_one((limit, whose)) & !0xff) | (limit & 0xff) {
            NOBODY => !0xff,
            name => name,
        }
    }

    fn set(&self, name: u64) -> Option<&Set> {
        let (segment, set) = self.position(name);
        let sets = || (0..SEGMENT_SETS).map(|_| Set::default()).collect();
        self.segments.get(segment)?.get_or_init(sets).get(set)
    }

    /// The segment of a name, and its set in there. A multiplication in place of a division.
    fn position(&self, name: u64) -> (usize, usize) {
        let sets = self.segments.len() * SEGMENT_SETS;
        let set = usize::try_from((name >> 32).wrapping_mul(sets as u64) >> 32).unwrap_or_default();
        (set / SEGMENT_SETS, set % SEGMENT_SETS)
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Drop for RateLimiter {
    /// It may be the last request of a configuration that drops it: thousands of segments are none of its business.
    fn drop(&mut self) {
        let segments = std::mem::take(&mut self.segments);
        if segments.iter().any(|segment| segment.get().is_some()) {
            // Where there is no thread they are dropped here.
            let _ = thread::Builder::new().name("rate-limits".to_owned()).spawn(move || drop(segments));
        }
    }
}

#[cfg(test)]
mod tests;
