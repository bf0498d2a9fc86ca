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
    explanation::{self, Finding, Protocol, Silent, Witness},
    identity::{ForwardedClaims, Identity},
    keys::{
        fetch::Fetcher,
        issuer::{IssuerKeys, KeySource},
        key_set::KeySet,
        refresh::Refresher,
    },
    metrics::AuthMetrics,
    policy::Policy,
    pool::{IssuerEndpoint, UserPool},
    rejection::Rejection,
    token::RawToken,
    verifier::{DecodedToken, Demands},
};

/// What an authorizer is made from.
#[derive(Clone, Debug, Default)]
pub struct AuthorizerConfig {
    /// The pools whose tokens are accepted. No two have a name or an issuer in common.
    pub user_pools: Vec<UserPool>,
    /// The claims whose values the [`Identity`] carries.
    pub forwarded_claims: ForwardedClaims,
    /// What verified tokens may take in memory; 0 remembers none, else at least
    /// [`MIN_CACHE_BYTES`](crate::cache::MIN_CACHE_BYTES).
    pub cache_max_bytes: usize,
}

/// Decides on tokens.
#[derive(Debug)]
pub struct Authorizer {
    issuers: HashMap<Box<str>, Arc<IssuerKeys>>,
    sources: Box<[KeySource]>,
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
        let (mut issuers, mut sources) = (HashMap::new(), Vec::new());
        for pool in user_pools {
            let pool = Arc::new(pool);
            let pool_sources = KeySource::of(&pool);
            for IssuerEndpoint { issuer, jwks_uri } in pool.endpoints() {
                let source = pool_sources.iter().find(|source| source.jwks_uri == jwks_uri);
                issuers.extend(source.map(|source| (issuer.as_str().into(), source.issuer_keys())));
            }
            sources.extend(pool_sources);
        }
        let cache = (cache_max_bytes > 0).then(|| TokenCache::new(cache_max_bytes, metrics.cache.clone()));
        Self { issuers, sources: sources.into(), forwarded_claims, cache, clock, metrics }
    }

    /// One task for each address of keys that keeps them fresh. Each runs until it is dropped.
    pub fn refreshers(&self, fetcher: &Fetcher) -> impl Iterator<Item = Refresher> {
        self.sources.iter().map(|source| {
            let metrics = self.metrics.keys_of(&source.pool.name);
            Refresher::new(source.clone(), fetcher.clone(), Arc::clone(&self.clock), metrics)
        })
    }

    /// The pools that cannot decide at this moment, in the order of their names: no keys yet, or keys that are too old.
    /// A pool with several issuers can decide as soon as one of them can.
    pub fn pools_without_keys(&self) -> impl Iterator<Item = &str> {
        let now = self.clock.now();
        let mut is_ready: BTreeMap<&str, bool> = BTreeMap::new();
        for source in &self.sources {
            *is_ready.entry(&source.pool.name).or_default() |= source.store.is_ready(now);
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
        for source in self.sources.iter().filter(|source| *source.pool.name == *user_pool) {
            let fresh = KeySet::parse(document, self.clock.now(), source.store.current().set())?;
            source.store.publish(fresh);
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
        let verdict = self.verify(token, policy, now, &mut Silent).and_then(|entry| {
            if let Some(cache) = &self.cache {
                cache.insert(Arc::clone(&entry), now);
            }
            policy.check_grants(entry.identity(), &mut Silent)?;
            Ok(entry)
        });
        self.metrics.duration_verified.observe(started.elapsed().as_secs_f64());
        verdict
    }

    /// Says which rules [`authorize`](Self::authorize) applies to a token, up to the first that is not met, and its
    /// verdict. Neither asks the cache nor adds to it, and counts nothing.
    pub fn explain(&self, token: Option<RawToken<'_>>, policy: &Policy) -> (Vec<Finding>, Result<Identity, Rejection>) {
        let mut protocol = Protocol::default();
        let now = self.clock.now();
        let verdict = token.ok_or(Rejection::TokenMissing).and_then(|token| {
            let entry = self.verify(token, policy, now, &mut protocol)?;
            policy.check_grants(entry.identity(), &mut protocol)?;
            Ok(entry.identity().clone())
        });
        (protocol.0, verdict)
    }

    fn verify(&self, token: RawToken<'_>, policy: &Policy, now: UnixSeconds, witness: &mut impl Witness) -> Verdict {
        let decoded = DecodedToken::decode(token);
        let decoded = witness.see("shape", decoded, || explanation::shape(token))?;
        let unverified = decoded.read(witness)?;
        let iss = unverified.issuer();
        // An issuer that does not exist has issued nothing: what claims its name is not undecidable, it is forged.
        let issuer = self.issuers.get(iss).filter(|issuer| !issuer.store.is_denied()).ok_or(Rejection::IssuerUnknown);
        let issuer = issuer.and_then(|issuer| policy.check_pool(&issuer.pool).map(|()| issuer));
        let issuer = witness.see("iss", issuer, || explanation::issuer(iss, self.accepted_issuers(policy)))?;
        let demands = Demands { policy, forwarded: &self.forwarded_claims };
        let usable = issuer.store.with_keys(now, |_| Ok(()));
        witness.see("keys", usable, || explanation::keys(&issuer.store, now))?;
        let (identity, key) =
            issuer.store.with_keys(now, |keys| unverified.verify(&issuer.pool, keys, demands, now, witness))?;
        let kept = self.cache.as_ref().map_or(RawToken::new(b""), |_| token);
        Ok(Arc::new(VerifiedToken::new(kept, key, Arc::clone(issuer), identity)))
    }

    /// The issuers whose tokens a route takes.
    fn accepted_issuers<'a>(&'a self, policy: &Policy) -> impl Iterator<Item = &'a str> {
        let accepted = self.issuers.iter().filter(|(_, issuer)| policy.check_pool(&issuer.pool).is_ok());
        accepted.map(|(issuer, _)| &**issuer)
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
    policy.check_caller(pool, identity.caller(), &mut Silent)?;
    policy.check_grants(identity, &mut Silent)?;
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
