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
