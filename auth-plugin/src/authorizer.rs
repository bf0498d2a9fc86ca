//! Hot path: no lock, no I/O, no info log.
//!
//! The public face: composes pools, keys, verifier and cache into one decision a request.
//!
//! A token that was seen before costs a look-up and the checks that time can change: its key is still published, it is
//! still alive, its keys are not too old. The rules of the route run on every request, in one order, so that a token gets
//! the same answer whether it was cached or not.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use crate::{
    cache::{TokenCache, VerifiedToken},
    clock::{Clock, UnixSeconds},
    identity::ForwardedClaims,
    keys::{fetch::Fetcher, issuer::IssuerKeys, key_set::KeySet, refresh::Refresher},
    metrics::AuthMetrics,
    policy::Policy,
    pool::UserPool,
    rejection::Rejection,
    token::RawToken,
    verifier::DecodedToken,
};

/// What an authorizer is made from.
#[derive(Clone, Debug, Default)]
pub struct AuthorizerConfig {
    /// The pools whose tokens are accepted. No two have the same issuer. Those of one name are one pool with several
    /// issuers, such as the replicas of a multi-region pool.
    pub user_pools: Vec<UserPool>,
    /// The claims whose values the [`Identity`](crate::identity::Identity) carries.
    pub forwarded_claims: ForwardedClaims,
    /// What verified tokens may take in memory; 0 remembers none, else at least
    /// [`MIN_CACHE_BYTES`](crate::cache::MIN_CACHE_BYTES).
    pub cache_max_bytes: usize,
}

/// Decides on tokens.
#[derive(Debug)]
pub struct Authorizer {
    issuers: HashMap<Box<str>, Arc<IssuerKeys>>,
    forwarded_claims: ForwardedClaims,
    cache: Option<TokenCache>,
    clock: Arc<dyn Clock>,
    metrics: AuthMetrics,
}

impl Authorizer {
    /// An authorizer that has no keys yet: spawn its [`refreshers`](Self::refreshers).
    #[must_use]
    pub fn new(config: AuthorizerConfig, clock: Arc<dyn Clock>, metrics: AuthMetrics) -> Self {
        let AuthorizerConfig { user_pools, forwarded_claims, cache_max_bytes } = config;
        let issuers =
            user_pools.into_iter().map(|pool| (pool.issuer.as_str().into(), Arc::new(IssuerKeys::new(pool)))).collect();
        let cache = (cache_max_bytes > 0).then(|| TokenCache::new(cache_max_bytes, metrics.cache.clone()));
        Self { issuers, forwarded_claims, cache, clock, metrics }
    }

    /// One task for each issuer that keeps its keys fresh. Each runs until it is dropped.
    pub fn refreshers(&self, fetcher: &Fetcher) -> impl Iterator<Item = Refresher> {
        self.issuers.values().map(|issuer| {
            let metrics = self.metrics.keys_of(&issuer.pool.name);
            let (pool, store) = (Arc::clone(&issuer.pool), Arc::clone(&issuer.store));
            Refresher::new(pool, store, fetcher.clone(), Arc::clone(&self.clock), metrics)
        })
    }

    /// The pools that cannot decide at this moment, in the order of their names: no keys yet, or keys that are too old.
    /// A pool with several issuers can decide as soon as one of them can.
    pub fn pools_without_keys(&self) -> impl Iterator<Item = &str> {
        let now = self.clock.now();
        let mut is_ready: BTreeMap<&str, bool> = BTreeMap::new();
        for issuer in self.issuers.values() {
            *is_ready.entry(&issuer.pool.name).or_default() |= issuer.store.is_ready(now);
        }
        is_ready.into_iter().filter_map(|(name, is_ready)| (!is_ready).then_some(name))
    }

    /// Replaces the keys of a pool by those of a document, as if it had been fetched now: keys from a file, or a test's.
    /// Each issuer of the pool gets them.
    ///
    /// # Errors
    ///
    /// [`ImportError`].
    pub fn import_keys(&self, user_pool: &str, document: &[u8]) -> Result<(), ImportError> {
        let mut is_known = false;
        for issuer in self.issuers.values().filter(|issuer| *issuer.pool.name == *user_pool) {
            let fresh = KeySet::parse(document, self.clock.now(), issuer.store.current().set())?;
            issuer.store.publish(fresh);
            is_known = true;
        }
        is_known.then_some(()).ok_or(ImportError::UnknownPool)
    }

    /// Decides whether the bearer of `token` may use a route with this policy.
    ///
    /// # Errors
    ///
    /// The first rule that is not met.
    pub fn authorize(&self, token: Option<RawToken<'_>>, policy: &Policy) -> Result<Arc<VerifiedToken>, Rejection> {
        let token = token.ok_or(Rejection::TokenMissing)?;
        let started = Instant::now();
        let now = self.clock.now();
        if let Some(cache) = &self.cache {
            let remembered = cache.find(token).and_then(|entry| remembered(entry, policy, now));
            if let Some(verdict) = remembered {
                self.metrics.cache.hits.inc();
                self.metrics.duration_cached.observe(started.elapsed().as_secs_f64());
                return verdict;
            }
            self.metrics.cache.misses.inc();
        }
        let verdict = self.verify(token, policy, now);
        self.metrics.duration_verified.observe(started.elapsed().as_secs_f64());
        verdict
    }

    fn verify(&self, token: RawToken<'_>, policy: &Policy, now: UnixSeconds) -> Verdict {
        let decoded = DecodedToken::decode(token)?;
        let unverified = decoded.read()?;
        let issuer = self.issuers.get(unverified.issuer()).ok_or(Rejection::IssuerUnknown)?;
        policy.check_pool(&issuer.pool)?;
        let (identity, key) = issuer
            .store
            .with_keys(now, |keys| unverified.verify(&issuer.pool, keys, policy, &self.forwarded_claims, now))?;
        let entry = Arc::new(VerifiedToken::new(token, key, Arc::clone(issuer), identity));
        if let Some(cache) = &self.cache {
            cache.insert(Arc::clone(&entry), now);
        }
        policy.check_grants(entry.identity())?;
        Ok(entry)
    }
}

type Verdict = Result<Arc<VerifiedToken>, Rejection>;

/// The verdict on a token that was verified before; none if its key is gone, so that it must be verified anew.
fn remembered(entry: Arc<VerifiedToken>, policy: &Policy, now: UnixSeconds) -> Option<Verdict> {
    match recheck(&entry, policy, now) {
        Ok(true) => Some(Ok(entry)),
        Ok(false) => None,
        Err(rejection) => Some(Err(rejection)),
    }
}

/// Applies the rules that a verified token must meet again on every request, in the order of the first time, up to the
/// one that its key is still published: the answer is whether it is.
fn recheck(entry: &VerifiedToken, policy: &Policy, now: UnixSeconds) -> Result<bool, Rejection> {
    let identity = entry.identity();
    let pool = identity.pool();
    policy.check_pool(pool)?;
    if !entry.issuer().store.with_keys(now, |keys| Ok(keys.contains(entry.key())))? {
        return Ok(false);
    }
    identity.lifetime().check(now, pool.clock_skew.as_secs())?;
    policy.check_caller(pool, identity.caller())?;
    policy.check_grants(identity)?;
    Ok(true)
}

/// Why keys were not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The document yields no keys.
    #[error("the document cannot be used")]
    Document(#[from] crate::keys::key_set::UnusableDocument),
    /// No pool has this name.
    #[error("no user pool has this name")]
    UnknownPool,
}

#[cfg(test)]
mod tests;
