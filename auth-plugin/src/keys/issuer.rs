//! Hot path: no lock, no I/O, no info log.
//!
//! The issuers that are accepted, and their keys.
//!
//! - Issuers whose keys have one address share one set of keys.
//! - An issuer whose pool is the same in the next configuration stays the very same issuer, so that what was verified with
//!   its keys stays remembered. One that changed in any way is another one.
//! - Each has a position, which it keeps as long as it is accepted: whether the issuer of a remembered token is still
//!   accepted is one look at that position, whoever may have it by then.

use std::{collections::HashMap, sync::Arc};

use crate::{
    keys::{
        source::{HeldSource, KeySource, Keyring},
        store::KeyStore,
    },
    pool::{IssuerEndpoint, UserPool},
    signature::VerifyingKey,
};

/// A pool and the keys of one of its issuers.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    pub(crate) pool: Arc<UserPool>,
    pub(crate) store: Arc<KeyStore>,
    pub(crate) source: Arc<KeySource>,
    position: usize,
}

impl IssuerKeys {
    /// Whether the issuer still publishes this very key.
    pub(crate) fn has_key(&self, key: &Arc<VerifyingKey>) -> bool {
        self.store.current().set().is_some_and(|set| set.contains(key))
    }

    /// Whether it would be the same in a configuration that has this pool and takes its keys from there.
    fn is_of(&self, pool: &UserPool, source: &KeySource) -> bool {
        std::ptr::eq(&raw const *self.source, source) && *self.pool == *pool
    }
}

/// Everyone whose tokens are accepted.
#[derive(Debug)]
pub(crate) struct Issuers {
    by_name: HashMap<Box<str>, Arc<IssuerKeys>>,
    positions: Box<[Option<Arc<IssuerKeys>>]>,
    sources: Box<[Arc<HeldSource>]>,
}

impl Issuers {
    /// The issuers of these pools. Those that `previous` has, and the keys that it has, stay as they are there.
    pub(crate) fn new(user_pools: Vec<UserPool>, keyring: &Keyring<'_>, previous: Option<&Self>) -> Self {
        let (mut sources, mut survivors, mut newcomers) = (Vec::new(), Vec::new(), Vec::new());
        let held = previous.map_or(&[][..], |previous| &previous.sources);
        for pool in user_pools {
            let pool = Arc::new(pool);
            let pool_sources = keyring.sources_of(&pool, held);
            for IssuerEndpoint { issuer, jwks_uri } in pool.endpoints() {
                let Some(source) =
                    pool_sources.iter().map(|held| &held.source).find(|source| source.jwks_uri == jwks_uri)
                else {
                    continue;
                };
                let name = issuer.as_str();
                let known = previous.and_then(|previous| previous.find(name));
                match known.filter(|known| known.is_of(&pool, source)) {
                    Some(known) => survivors.push((name.into(), Arc::clone(known))),
                    None => newcomers.push((name.into(), Arc::clone(&pool), Arc::clone(source))),
                }
            }
            sources.extend(pool_sources);
        }
        let mut places = Places::default();
        let survivors = survivors.into_iter().map(|(name, issuer)| (name, places.keep(issuer))).collect::<Vec<_>>();
        let newcomers = newcomers.into_iter().map(|(name, pool, source)| (name, places.take(pool, source)));
        let by_name = newcomers.chain(survivors).collect();
        Self { by_name, positions: places.0.into(), sources: sources.into() }
    }

    /// The issuer of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<IssuerKeys>> {
        self.by_name.get(name)
    }

    /// Whether this very issuer is accepted.
    pub(crate) fn accepts(&self, issuer: &Arc<IssuerKeys>) -> bool {
        let current = self.positions.get(issuer.position).and_then(Option::as_ref);
        current.is_some_and(|current| Arc::ptr_eq(current, issuer))
    }

    /// Each issuer and its name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Arc<IssuerKeys>)> {
        self.by_name.iter().map(|(name, issuer)| (&**name, issuer))
    }

    /// Where their keys come from, each address of a pool once.
    pub(crate) fn sources(&self) -> &[Arc<HeldSource>] {
        &self.sources
    }
}

/// Who has which position.
#[derive(Default)]
struct Places(Vec<Option<Arc<IssuerKeys>>>);

impl Places {
    /// Leaves an issuer where it is.
    fn keep(&mut self, issuer: Arc<IssuerKeys>) -> Arc<IssuerKeys> {
        if self.0.len() <= issuer.position {
            self.0.resize(issuer.position + 1, None);
        }
        if let Some(place) = self.0.get_mut(issuer.position) {
            *place = Some(Arc::clone(&issuer));
        }
        issuer
    }

    /// Makes an issuer and gives it the first position that is free.
    fn take(&mut self, pool: Arc<UserPool>, source: Arc<KeySource>) -> Arc<IssuerKeys> {
        let position = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        self.keep(Arc::new(IssuerKeys { pool, store: Arc::clone(&source.store), source, position }))
    }
}

#[cfg(test)]
impl IssuerKeys {
    /// The own issuer of a pool that nobody refreshes.
    pub(crate) fn alone(pool: UserPool) -> Arc<Self> {
        use crate::keys::source::KeyArchives;
        let metrics = crate::metrics::AuthMetrics::register(&prometheus::Registry::new()).unwrap();
        let name = pool.issuer.as_str().to_owned();
        let issuers = Issuers::new(vec![pool], &Keyring::new(&KeyArchives::new(), &metrics), None);
        Arc::clone(issuers.find(&name).unwrap())
    }
}
