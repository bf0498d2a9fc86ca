//! Where keys of a pool are fetched from, and what is known of them. It outlives a configuration.
//!
//! - A source is the same in the next configuration as long as the pool's name, the address and the times of `jwks` are:
//!   its keys stay, and so does the task that refreshes them.
//! - Where only the times changed the source is another one, with a task of its own, that begins with the same keys.
//! - A configuration holds its sources. When the last one that holds a source is gone, its task ends.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    clock::UnixSeconds,
    keys::{
        archive::{KeyArchive, PoolArchive},
        demand::Demand,
        key_set::KeySet,
        store::{KeyState, KeyStore},
    },
    metrics::{AuthMetrics, KeyMetrics},
    pool::{JwksPolicy, JwksUri, UserPool},
};

/// An address that keys of a pool are fetched from.
#[derive(Debug)]
pub(crate) struct KeySource {
    pub(crate) user_pool: Box<str>,
    pub(crate) jwks_uri: JwksUri,
    pub(crate) policy: JwksPolicy,
    /// Whether the pool has these keys in any case, and not only if it is set up for this issuer.
    pub(crate) is_required: bool,
    pub(crate) store: Arc<KeyStore>,
    pub(crate) demand: Demand,
    pub(crate) archive: Option<Arc<PoolArchive>>,
    pub(crate) metrics: Arc<KeyMetrics>,
}

impl KeySource {
    /// Whether it may well have no keys: another form of the pool's issuer, and there never were any.
    pub(crate) fn is_optional(&self) -> bool {
        !self.is_required && self.store.current().set().is_none()
    }

    /// Counts new keys. As the next two it does so for the pool's own keys only: a replica that answers must not hide that
    /// the pool itself does not.
    pub(crate) fn report(&self, fresh: &KeySet) {
        if self.is_required {
            self.metrics.last_success.set(i64::try_from(fresh.fetched_at()).unwrap_or(i64::MAX));
            self.metrics.keys.set(i64::try_from(fresh.kids().len()).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn report_next(&self, at: UnixSeconds) {
        if self.is_required {
            self.metrics.next_refresh.set(i64::try_from(at).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn report_state(&self, state: KeyState) {
        if self.is_required {
            self.metrics.enter(state);
        }
    }

    fn is_at(&self, user_pool: &str, jwks_uri: &JwksUri) -> bool {
        *self.user_pool == *user_pool && self.jwks_uri == *jwks_uri
    }
}

/// A source that a configuration uses.
#[derive(Debug)]
pub(crate) struct HeldSource {
    pub(crate) source: Arc<KeySource>,
    /// What the one task that refreshes it takes along.
    end: Mutex<Option<SourceEnd>>,
    /// Dropped with the last configuration that uses the source.
    _hold: oneshot::Sender<Infallible>,
}

/// Comes when no configuration uses the source any more.
pub(crate) type SourceEnd = oneshot::Receiver<Infallible>;

impl HeldSource {
    fn new(source: KeySource) -> Arc<Self> {
        let (hold, end) = oneshot::channel();
        Arc::new(Self { source: Arc::new(source), end: Mutex::new(Some(end)), _hold: hold })
    }

    /// Once: the task that asks for it is the one that refreshes the source.
    pub(crate) fn take_end(&self) -> Option<SourceEnd> {
        self.end.lock().take()
    }
}

/// What sources are made with.
#[derive(Debug)]
pub(crate) struct Keyring<'k> {
    archives: &'k KeyArchives,
    metrics: &'k AuthMetrics,
}

/// Where the last keys of pools are kept, by the name of the pool.
pub(crate) type KeyArchives = HashMap<Box<str>, Arc<dyn KeyArchive>>;

impl<'k> Keyring<'k> {
    pub(crate) const fn new(archives: &'k KeyArchives, metrics: &'k AuthMetrics) -> Self {
        Self { archives, metrics }
    }

    /// The addresses of a pool, each once, its own first: those that are `held` already where they are the same, else new
    /// ones.
    pub(crate) fn sources_of(&self, pool: &UserPool, held: &[Arc<HeldSource>]) -> Vec<Arc<HeldSource>> {
        let archive = self.archive(pool, held);
        let mut sources: Vec<Arc<HeldSource>> = Vec::new();
        for endpoint in pool.endpoints() {
            if sources.iter().all(|held| held.source.jwks_uri != endpoint.jwks_uri) {
                sources.push(self.source(pool, endpoint.jwks_uri, archive.as_ref(), held));
            }
        }
        sources
    }

    fn source(
        &self,
        pool: &UserPool,
        jwks_uri: JwksUri,
        archive: Option<&Arc<PoolArchive>>,
        held: &[Arc<HeldSource>],
    ) -> Arc<HeldSource> {
        let is_required = jwks_uri == pool.jwks_uri;
        let known = held.iter().find(|held| held.source.is_at(&pool.name, &jwks_uri));
        let is_same = |source: &KeySource| {
            let is_same_archive = source.archive.as_ref().map(Arc::as_ptr) == archive.map(Arc::as_ptr);
            source.policy == pool.jwks && source.is_required == is_required && is_same_archive
        };
        if let Some(same) = known.filter(|held| is_same(&held.source)) {
            return Arc::clone(same);
        }
        let max_stale = pool.jwks.max_stale.as_secs();
        let store = known.map_or_else(|| KeyStore::new(max_stale), |held| held.source.store.copied(max_stale));
        let metrics = self.metrics.keys_of(&pool.name);
        HeldSource::new(KeySource {
            user_pool: pool.name.clone(),
            jwks_uri,
            policy: pool.jwks,
            is_required,
            store: Arc::new(store),
            demand: Demand::new(metrics.waiting.clone()),
            archive: archive.map(Arc::clone),
            metrics,
        })
    }

    fn archive(&self, pool: &UserPool, held: &[Arc<HeldSource>]) -> Option<Arc<PoolArchive>> {
        let archive = self.archives.get(&pool.name)?;
        let known = held.iter().filter(|held| held.source.user_pool == pool.name);
        let mut known = known.filter_map(|held| held.source.archive.as_ref());
        Some(known.find(|known| known.is_named(archive.name())).map_or_else(
            || Arc::new(PoolArchive::new(pool, Arc::clone(archive), self.metrics.keys_of(&pool.name))),
            Arc::clone,
        ))
    }
}
