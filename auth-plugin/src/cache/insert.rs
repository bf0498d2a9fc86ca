//! How entries come into the cache and make room for each other. Writers of one set take turns; readers notice nothing.
//!
//! A new entry takes the place of its own older self (two requests may have verified one token at the same time, or its key
//! may have changed). Else room is made first, by as many of these as it takes, and then it moves in, so that a set is
//! never over its budget:
//!
//! 1. an entry that is dead: expired, or its key gone
//! 2. the first that was not found since the clock hand last passed it

use std::sync::Arc;

use super::{SET_BYTES, VerifiedToken, WAYS, set::Set, sync::Ordering};
use crate::{clock::UnixSeconds, metrics::CacheMetrics};

impl Set {
    /// Takes in an entry whose tag this is. One too large for a set is left out.
    pub(super) fn insert(&self, entry: Arc<VerifiedToken>, tag: u32, now: UnixSeconds, metrics: &CacheMetrics) {
        if entry.bytes() > SET_BYTES {
            return;
        }
        let mut hand = self.writer.lock();
        let older_self = self.position(|other| other.is_some_and(|other| other.is_of(entry.token())));
        if let Some(way) = older_self {
            return self.replace(way, tag, Some(entry), metrics);
        }
        loop {
            let free = self.position(|other| other.is_none());
            let is_affordable = self.bytes() + entry.bytes() <= SET_BYTES;
            if let Some(way) = free.filter(|_| is_affordable) {
                return self.replace(way, tag, Some(entry), metrics);
            }
            let Some(victim) = self.victim(now, &mut hand) else {
                return;
            };
            self.replace(victim, 0, None, metrics);
            metrics.evictions.inc();
        }
    }

    /// The occupied way to give up. There is one unless the set is empty.
    fn victim(&self, now: UnixSeconds, hand: &mut usize) -> Option<usize> {
        let dead = self.position(|entry| entry.is_some_and(|entry| entry.is_dead(now)));
        dead.or_else(|| self.unused(hand)).or_else(|| self.position(|entry| entry.is_some()))
    }

    /// The first way that was not used since the hand last passed. None is found if all are in use again as soon as they
    /// are passed.
    fn unused(&self, hand: &mut usize) -> Option<usize> {
        // Twice around: the first time may only take away what protects the entries.
        let around = (0..2 * WAYS).map(|step| (*hand + step) % WAYS);
        let victim = around.into_iter().find(|way| {
            let is_taken = self.entries.get(*way).is_some_and(|entry| entry.load().is_some());
            let is_recent = self.recent.get(*way).is_some_and(|recent| recent.swap(false, Ordering::Relaxed));
            is_taken && !is_recent
        })?;
        *hand = (victim + 1) % WAYS;
        Some(victim)
    }

    fn position(&self, is_wanted: impl Fn(Option<&VerifiedToken>) -> bool) -> Option<usize> {
        self.entries.iter().position(|entry| is_wanted(entry.load().as_deref()))
    }

    pub(super) fn bytes(&self) -> usize {
        let bytes = |entry: Option<&VerifiedToken>| entry.map_or(0, VerifiedToken::bytes);
        self.entries.iter().map(|entry| bytes(entry.load().as_deref())).sum()
    }

    /// Gives up every entry.
    pub(super) fn clear(&self, metrics: &CacheMetrics) {
        let _hand = self.writer.lock();
        for way in 0..WAYS {
            self.replace(way, 0, None, metrics);
        }
    }

    fn replace(&self, way: usize, tag: u32, entry: Option<Arc<VerifiedToken>>, metrics: &CacheMetrics) {
        let places = (self.entries.get(way), self.tags.get(way), self.recent.get(way));
        let (Some(place), Some(place_tag), Some(recent)) = places else {
            return;
        };
        let cost = |entry: &Option<Arc<VerifiedToken>>| {
            let entry = entry.as_deref();
            (i64::from(entry.is_some()), entry.map_or(0, |entry| i64::try_from(entry.bytes()).unwrap_or(0)))
        };
        let (gained, gained_bytes) = cost(&entry);
        // The entry before its tag: whoever sees the tag sees the entry.
        let old = place.swap(entry);
        place_tag.store(tag, Ordering::Release);
        recent.store(false, Ordering::Relaxed);
        let (lost, lost_bytes) = cost(&old);
        metrics.entries.add(gained - lost);
        metrics.bytes.add(gained_bytes - lost_bytes);
    }
}
