//! Hot path: no lock, no I/O, no info log.
//!
//! The issuers of a pool and their keys. Issuers whose keys have one address share one set of keys.

use std::sync::Arc;

use crate::{
    keys::store::KeyStore,
    pool::{JwksUri, UserPool},
    signature::VerifyingKey,
};

/// A pool and the keys of one of its issuers.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    pub(crate) pool: Arc<UserPool>,
    pub(crate) store: Arc<KeyStore>,
}

impl IssuerKeys {
    /// Whether the issuer still publishes this very key.
    pub(crate) fn has_key(&self, key: &Arc<VerifyingKey>) -> bool {
        self.store.current().set().is_some_and(|set| set.contains(key))
    }
}

/// An address that keys of a pool are fetched from.
#[derive(Clone, Debug)]
pub(crate) struct KeySource {
    pub(crate) pool: Arc<UserPool>,
    pub(crate) jwks_uri: JwksUri,
    pub(crate) store: Arc<KeyStore>,
}

impl KeySource {
    /// The addresses of a pool, each once, without keys. The first is the pool's own.
    pub(crate) fn of(pool: &Arc<UserPool>) -> Vec<Self> {
        let mut sources: Vec<Self> = Vec::new();
        for endpoint in pool.endpoints() {
            if sources.iter().all(|source| source.jwks_uri != endpoint.jwks_uri) {
                let store = Arc::new(KeyStore::new(pool.jwks.max_stale.as_secs()));
                sources.push(Self { pool: Arc::clone(pool), jwks_uri: endpoint.jwks_uri, store });
            }
        }
        sources
    }

    /// An issuer whose keys are here.
    pub(crate) fn issuer_keys(&self) -> Arc<IssuerKeys> {
        Arc::new(IssuerKeys { pool: Arc::clone(&self.pool), store: Arc::clone(&self.store) })
    }

    /// Whether the pool has these keys in any case, and not only if it is set up for this issuer.
    pub(crate) fn is_required(&self) -> bool {
        self.jwks_uri == self.pool.jwks_uri
    }
}
