//! Hot path: no lock, no I/O, no info log.
//!
//! The current keys of one issuer: many readers, one writer. A reader sees the old set or the new one, never a mix.
//!
//! Keys that could not be refreshed go on deciding until they are older than `max_stale`; after that, and before the first
//! fetch, nothing can be decided.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::{ArcSwapOption, Guard};

use crate::{clock::UnixSeconds, keys::key_set::KeySet, rejection::Rejection};

/// How far ahead of the clock keys may have been fetched: less is a clock that was corrected a little, more is one that was
/// wrong.
pub(crate) const MAX_CLOCK_STEP_SECONDS: u64 = 5 * 60;

/// What the keys of a source are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// Too old to decide.
    Expired,
    /// Fetched the last time that it was tried.
    Fresh,
    /// There never were any.
    Missing,
    /// They decide, and could not be refreshed.
    Stale,
}

/// The keys of one issuer.
#[derive(Debug)]
pub struct KeyStore {
    current: ArcSwapOption<KeySet>,
    /// The service says that there are no keys: nobody is issuing tokens by this name.
    is_denied: AtomicBool,
    max_stale_seconds: u64,
}

/// A look at the current keys. Short-lived: it holds back memory, not the writer.
#[derive(Debug)]
pub struct CurrentKeys(Guard<Option<Arc<KeySet>>>);

impl CurrentKeys {
    /// The set, if any was ever fetched.
    #[must_use]
    pub fn set(&self) -> Option<&KeySet> {
        self.0.as_deref()
    }
}

impl KeyStore {
    /// A store without keys, whose keys decide for `max_stale_seconds` after they were fetched.
    #[must_use]
    pub fn new(max_stale_seconds: u64) -> Self {
        Self { current: ArcSwapOption::empty(), is_denied: AtomicBool::new(false), max_stale_seconds }
    }

    /// A store that begins with the keys of this one.
    pub(crate) fn copied(&self, max_stale_seconds: u64) -> Self {
        Self {
            current: ArcSwapOption::new(self.current.load_full()),
            is_denied: AtomicBool::new(self.is_denied.load(Ordering::Relaxed)),
            max_stale_seconds,
        }
    }

    /// The keys that decide at `now`, by way of `decide`.
    ///
    /// # Errors
    ///
    /// [`Rejection::KeysUnavailable`] if there are none or they are too old, else what `decide` says.
    pub fn with_keys<T>(
        &self,
        now: UnixSeconds,
        decide: impl FnOnce(&KeySet) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        match &*self.current.load() {
            Some(set) if self.is_usable(set, now) => decide(set),
            _ => Err(Rejection::KeysUnavailable),
        }
    }

    /// What the keys are worth at `now`, short of a fetch that has just succeeded.
    pub(crate) fn state(&self, now: UnixSeconds) -> KeyState {
        match &*self.current.load() {
            Some(set) if self.is_usable(set, now) => KeyState::Stale,
            Some(_) => KeyState::Expired,
            None => KeyState::Missing,
        }
    }

    /// For how many more seconds the keys decide, if they do.
    pub(crate) fn remaining(&self, now: UnixSeconds) -> Option<u64> {
        let age = self.age(now)?;
        Some(self.max_stale_seconds.checked_sub(age)?.saturating_add(1))
    }

    /// How old the keys are, in seconds.
    pub(crate) fn age(&self, now: UnixSeconds) -> Option<u64> {
        self.current.load().as_ref().map(|set| now.saturating_sub(set.fetched_at()))
    }

    /// Dates keys that were fetched in the future back to `now`, and says whether there were such.
    pub(crate) fn redate(&self, now: UnixSeconds) -> bool {
        let current = self.current.load();
        let future = current.as_ref().filter(|set| set.fetched_at() > now.saturating_add(MAX_CLOCK_STEP_SECONDS));
        future.map(|set| self.publish(set.redated(now))).is_some()
    }

    /// How old keys may grow, in seconds.
    pub(crate) const fn max_stale_seconds(&self) -> u64 {
        self.max_stale_seconds
    }

    /// Whether the store can decide at `now`.
    #[must_use]
    pub fn is_ready(&self, now: UnixSeconds) -> bool {
        self.with_keys(now, |_| Ok(())).is_ok()
    }

    /// The current keys whatever their age.
    #[must_use]
    pub fn current(&self) -> CurrentKeys {
        CurrentKeys(self.current.load())
    }

    /// Notes that the service denies that there are keys, as it does for a form of issuer that a pool is not set up for.
    pub(crate) fn deny(&self) {
        self.is_denied.store(true, Ordering::Relaxed);
    }

    /// Whether it did, and there were never any.
    pub(crate) fn is_denied(&self) -> bool {
        self.is_denied.load(Ordering::Relaxed) && self.current.load().is_none()
    }

    /// Replaces the set.
    pub fn publish(&self, fresh: KeySet) {
        self.current.store(Some(Arc::new(fresh)));
    }

    fn is_usable(&self, set: &KeySet, now: UnixSeconds) -> bool {
        now.saturating_sub(set.fetched_at()) <= self.max_stale_seconds
    }
}
