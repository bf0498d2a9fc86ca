//! What is counted about the keys of each pool.
//!
//! The series of a pool are there as long as something is that counts in them: they go with the pool, and stay when one
//! configuration with it follows another.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::registered;
use crate::keys::store::KeyState;

/// The metrics of one pool's keys.
#[derive(Debug)]
pub(crate) struct KeyMetrics {
    pub(crate) refreshed: IntCounter,
    pub(crate) failed: IntCounter,
    pub(crate) not_offered: IntCounter,
    pub(crate) last_success: IntGauge,
    pub(crate) keys: IntGauge,
    pub(crate) rotations: IntCounter,
    pub(crate) next_refresh: IntGauge,
    pub(crate) waiting: IntGauge,
    pub(crate) archived: IntCounter,
    pub(crate) not_archived: IntCounter,
    states: [(KeyState, IntGauge); 4],
    user_pool: Box<str>,
    family: Arc<KeyMetricFamily>,
}

/// The metrics of all pools' keys.
pub(super) struct KeyMetricFamily {
    refreshes: IntCounterVec,
    last_success: IntGaugeVec,
    keys: IntGaugeVec,
    rotations: IntCounterVec,
    next_refresh: IntGaugeVec,
    waiting: IntGaugeVec,
    archive_writes: IntCounterVec,
    states: IntGaugeVec,
    /// Which pools have series. Whoever makes or removes some holds it.
    pools: Mutex<HashMap<Box<str>, Weak<KeyMetrics>>>,
}

/// Each state and its label.
const STATES: [(KeyState, &str); 4] = [
    (KeyState::Expired, "expired"),
    (KeyState::Fresh, "fresh"),
    (KeyState::Missing, "missing"),
    (KeyState::Stale, "stale"),
];

/// What a fetch may lead to.
const REFRESH_RESULTS: [&str; 3] = ["success", "failure", "not_offered"];

/// What a write may lead to.
const WRITE_RESULTS: [&str; 2] = ["success", "failure"];

impl KeyMetrics {
    /// The keys are this now, and nothing else.
    pub(crate) fn enter(&self, entered: KeyState) {
        for (state, gauge) in &self.states {
            gauge.set(i64::from(*state == entered));
        }
    }
}

impl KeyMetricFamily {
    pub(super) fn register(registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let gauge =
            |name, help, labels: &[&str]| registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?);
        let counter =
            |name, help, labels: &[&str]| registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?);
        let (pool, pool_and_result) = (&["user_pool"], &["user_pool", "result"]);
        Ok(Arc::new(Self {
            refreshes: counter(
                "cognigate_jwks_refreshes_total",
                "Fetches of a pool's keys, by result.",
                pool_and_result,
            )?,
            last_success: gauge(
                "cognigate_jwks_last_success_timestamp_seconds",
                "When the pool's keys were last fetched.",
                pool,
            )?,
            keys: gauge("cognigate_jwks_keys", "Keys that the pool's tokens may be signed with.", pool)?,
            rotations: counter("cognigate_jwks_rotations_total", "Fetches that brought or took keys.", pool)?,
            next_refresh: gauge(
                "cognigate_jwks_next_refresh_timestamp_seconds",
                "When the pool's keys are fetched next.",
                pool,
            )?,
            waiting: gauge(
                "cognigate_jwks_waiting_requests",
                "Requests that wait for a fetch because their key is not known.",
                pool,
            )?,
            archive_writes: counter(
                "cognigate_jwks_state_file_writes_total",
                "Writes of a pool's last keys, by result.",
                pool_and_result,
            )?,
            states: gauge(
                "cognigate_jwks_state",
                "1 for what the pool's keys are: fresh, stale (not refreshed, and they decide), expired (older than \
                 max_stale) or missing (never fetched).",
                &["user_pool", "state"],
            )?,
            pools: Mutex::default(),
        }))
    }

    /// The series of a pool: those that there are, or new ones.
    pub(super) fn of(self: &Arc<Self>, user_pool: &str) -> Arc<KeyMetrics> {
        let mut pools = self.pools.lock();
        if let Some(known) = pools.get(user_pool).and_then(Weak::upgrade) {
            return known;
        }
        let made = Arc::new(self.make(user_pool));
        made.enter(KeyState::Missing);
        pools.insert(user_pool.into(), Arc::downgrade(&made));
        made
    }

    fn make(self: &Arc<Self>, user_pool: &str) -> KeyMetrics {
        let pool = &[user_pool];
        KeyMetrics {
            refreshed: self.refreshes.with_label_values(&[user_pool, "success"]),
            failed: self.refreshes.with_label_values(&[user_pool, "failure"]),
            not_offered: self.refreshes.with_label_values(&[user_pool, "not_offered"]),
            last_success: self.last_success.with_label_values(pool),
            keys: self.keys.with_label_values(pool),
            rotations: self.rotations.with_label_values(pool),
            next_refresh: self.next_refresh.with_label_values(pool),
            waiting: self.waiting.with_label_values(pool),
            archived: self.archive_writes.with_label_values(&[user_pool, "success"]),
            not_archived: self.archive_writes.with_label_values(&[user_pool, "failure"]),
            states: STATES.map(|(state, label)| (state, self.states.with_label_values(&[user_pool, label]))),
            user_pool: user_pool.into(),
            family: Arc::clone(self),
        }
    }

    fn remove(&self, user_pool: &str) {
        // Each fails only where there is no such series.
        for result in REFRESH_RESULTS {
            let _ = self.refreshes.remove_label_values(&[user_pool, result]);
        }
        for result in WRITE_RESULTS {
            let _ = self.archive_writes.remove_label_values(&[user_pool, result]);
        }
        for (_, label) in STATES {
            let _ = self.states.remove_label_values(&[user_pool, label]);
        }
        let _ = self.rotations.remove_label_values(&[user_pool]);
        for gauge in [&self.last_success, &self.keys, &self.next_refresh, &self.waiting] {
            let _ = gauge.remove_label_values(&[user_pool]);
        }
    }
}

impl Drop for KeyMetrics {
    fn drop(&mut self) {
        let mut pools = self.family.pools.lock();
        // The pool may be back already, and count in the same series.
        let is_last = pools.get(&self.user_pool).is_some_and(|known| std::ptr::eq(known.as_ptr(), &raw const *self));
        if is_last {
            pools.remove(&self.user_pool);
            self.family.remove(&self.user_pool);
        }
    }
}

impl fmt::Debug for KeyMetricFamily {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "KeyMetricFamily({} pools)", self.pools.lock().len())
    }
}
