//! Hot path: no lock, no I/O, no info log.
//!
//! One issuer: the pool that it vouches for, and its keys.

use std::sync::Arc;

use crate::{keys::store::KeyStore, pool::UserPool, signature::VerifyingKey};

/// A pool and its keys.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    pub(crate) pool: Arc<UserPool>,
    pub(crate) store: Arc<KeyStore>,
}

impl IssuerKeys {
    /// An issuer without keys.
    pub(crate) fn new(pool: UserPool) -> Self {
        Self { store: Arc::new(KeyStore::new(pool.jwks.max_stale.as_secs())), pool: Arc::new(pool) }
    }

    /// Whether the issuer still publishes this very key.
    pub(crate) fn has_key(&self, key: &Arc<VerifyingKey>) -> bool {
        self.store.current().set().is_some_and(|set| set.contains(key))
    }
}
