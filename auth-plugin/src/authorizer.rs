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
        archive::KeyArchive,
        fetch::Fetcher,
        issuer::Issuers,
        key_set::KeySet,
        refresh::Refresher,
        source::{KeySource, Keyring},
    },
    metrics::AuthMetrics,
    policy::Policy,
    pool::UserPool,
    rejection::Rejection,
    revocation::RevocationList,
    token::RawToken,
    verifier::DecodedToken,
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
    /// What is revoked, which may change at any time.
    pub revocations: Arc<RevocationList>,
    /// Where the last keys of pools are kept for a restart, by the name of the pool. None is shared by two.
    pub key_archives: HashMap<Box<str>, Arc<dyn KeyArchive>>,
}

/// Decides on tokens.
#[derive(Debug)]
pub struct Authorizer {
    issuers: Issuers,
    forwarded_claims: ForwardedClaims,
    cache: Option<Arc<TokenCache>>,
    cache_max_bytes: usize,
    revocations: Arc<RevocationList>,
    clock: Arc<dyn Clock>,
    metrics: AuthMetrics,
}

impl Authorizer {
    /// An authorizer that has no keys yet: spawn its [`refreshers`](Self::refreshers).
    #[must_use]
    pub fn new(config: AuthorizerConfig, clock: Arc<dyn Clock>, metrics: AuthMetrics) -> Self {
        Self::build(config, clock, metrics, None)
    }

    /// The authorizer of the next configuration, which takes the place of this one. What is the same in both stays: the
    /// keys of a pool, the task that refreshes them, the verified tokens of a pool that did not change.
    #[must_use]
    pub fn succeed(&self, config: AuthorizerConfig) -> Self {
        Self::build(config, Arc::clone(&self.clock), self.metrics.clone(), Some(self))
    }

    fn build(config: AuthorizerConfig, clock: Arc<dyn Clock>, metrics: AuthMetrics, previous: Option<&Self>) -> Self {
        let AuthorizerConfig { user_pools, forwarded_claims, cache_max_bytes, revocations, key_archives } = config;
        let keyring = Keyring::new(&key_archives, &metrics);
        let issuers = Issuers::new(user_pools, &keyring, previous.map(|previous| &previous.issuers));
        let is_same_cache = |previous: &&Self| {
            previous.cache_max_bytes == cache_max_bytes && previous.forwarded_claims == forwarded_claims
        };
        let cache = match previous.filter(is_same_cache) {
            Some(previous) => previous.cache.clone(),
            None => (cache_max_bytes > 0).then(|| Arc::new(TokenCache::new(cache_max_bytes, metrics.cache.clone()))),
        };
        Self { issuers, forwarded_claims, cache, cache_max_bytes, revocations, clock, metrics }
    }

    /// One task for each address of keys that nobody keeps fresh yet. Each runs until no authorizer uses its keys any more.
    /// An address gives its task away once: who drops one stops the refreshing.
    pub fn refreshers(&self, fetcher: &Fetcher) -> impl Iterator<Item = Refresher> {
        self.issuers.sources().iter().filter_map(|held| {
            let end = held.take_end()?;
            Some(Refresher::new(Arc::clone(&held.source), end, fetcher.clone(), Arc::clone(&self.clock)))
        })
    }

    /// Gives every pool that has no keys those that were kept for it, if they can be used. Blocks: before anything is served.
    pub fn restore_keys(&self) {
        let now = self.clock.now();
        for source in self.issuers.sources().iter().map(|held| &held.source) {
            if let (Some(archive), None) = (&source.archive, source.store.current().set()) {
                archive.restore(source, now);
            }
        }
    }

    /// The pools that cannot decide at this moment, in the order of their names: no keys yet, or keys that are too old.
    /// A pool with several issuers can decide as soon as one of them can.
    pub fn pools_without_keys(&self) -> impl Iterator<Item = &str> {
        let now = self.clock.now();
        let mut is_ready: BTreeMap<&str, bool> = BTreeMap::new();
        for source in self.issuers.sources().iter().map(|held| &held.source) {
            *is_ready.entry(&source.user_pool).or_default() |= source.store.is_ready(now);
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
        let sources = self.issuers.sources().iter().map(|held| &held.source);
        for source in sources.filter(|source| *source.user_pool == *user_pool) {
            let fresh = KeySet::parse(document, self.clock.now(), source.store.current().set())?;
            source.store.publish(fresh);
            is_known = true;
        }
        is_known.then_some(()).ok_or(ImportError::UnknownPool)
    }

    /// Decides whether the bearer of `token` may use a route with this policy.
    ///
    /// A token that is remembered is decided on at once. For any other `may_verify` is asked first, whether it may cost the
    /// CPU time of a signature check: the token may be garbage.
    ///
    /// The one thing that is waited for is a key that is not known yet: a token that meets every other rule before its
    /// signature may have its keys fetched, within limits, and waits for that at most 1 second.
    ///
    /// # Errors
    ///
    /// The first rule that is not met, or what `may_verify` says.
    pub async fn authorize<E>(
        &self,
        token: Option<RawToken<'_>>,
        policy: &Policy,
        may_verify: impl FnOnce() -> Result<(), E>,
    ) -> Result<Arc<VerifiedToken>, Denial<E>> {
        let token = token.ok_or(Denial::Rejected(Rejection::TokenMissing))?;
        let asked = Asked { token, now: self.clock.now() };
        if let Some(verdict) = self.recall(asked, policy) {
            return verdict.map_err(Denial::Rejected);
        }
        may_verify().map_err(Denial::Unverified)?;
        let verdict = match self.verify_anew(asked, policy) {
            Err(Refused { lacking: Some(Lacking { source, ended }), .. }) if source.demand.satisfy(ended).await => {
                // It was counted already.
                self.admit(token, policy, self.clock.now())
            }
            verdict => verdict,
        };
        verdict.map_err(|refused| Denial::Rejected(refused.rejection))
    }

    /// Decides as [`authorize`](Self::authorize) does, with the keys that there are, and verifies whatever is not
    /// remembered.
    ///
    /// # Errors
    ///
    /// The first rule that is not met.
    pub fn decide(&self, token: Option<RawToken<'_>>, policy: &Policy) -> Result<Arc<VerifiedToken>, Rejection> {
        let token = token.ok_or(Rejection::TokenMissing)?;
        let asked = Asked { token, now: self.clock.now() };
        match self.recall(asked, policy) {
            Some(verdict) => verdict,
            None => self.verify_anew(asked, policy).map_err(|refused| refused.rejection),
        }
    }

    /// The verdict on a token that is remembered and need not be verified anew.
    fn recall(&self, Asked { token, now }: Asked<'_>, policy: &Policy) -> Option<Verdict> {
        let cache = self.cache.as_ref()?;
        let timing = self.metrics.duration_cached.begin();
        let verdict = self.remembered(cache.find(token)?, policy, now)?;
        self.metrics.cache.hits.inc();
        self.metrics.duration_cached.end(timing);
        Some(verdict)
    }

    fn verify_anew(&self, Asked { token, now }: Asked<'_>, policy: &Policy) -> Result<Arc<VerifiedToken>, Refused<'_>> {
        let started = Instant::now();
        if self.cache.is_some() {
            self.metrics.cache.misses.inc();
        }
        let verdict = self.admit(token, policy, now);
        self.metrics.duration_verified.observe(started.elapsed().as_secs_f64());
        verdict
    }

    /// Verifies a token and remembers what it says.
    fn admit(&self, token: RawToken<'_>, policy: &Policy, now: UnixSeconds) -> Result<Arc<VerifiedToken>, Refused<'_>> {
        let entry = self.verify(token, policy, now, &mut Silent)?;
        if let Some(cache) = &self.cache {
            cache.insert(Arc::clone(&entry), now);
        }
        policy.check_grants(entry.identity(), &mut Silent)?;
        Ok(entry)
    }

    /// Says which rules [`authorize`](Self::authorize) applies to a token, up to the first that is not met, and its
    /// verdict. Neither asks the cache nor adds to it, and counts nothing.
    pub fn explain(&self, token: Option<RawToken<'_>>, policy: &Policy) -> (Vec<Finding>, Result<Identity, Rejection>) {
        let mut protocol = Protocol::default();
        let now = self.clock.now();
        let verdict = token.ok_or(Rejection::TokenMissing).and_then(|token| {
            let entry = self.verify(token, policy, now, &mut protocol).map_err(|refused| refused.rejection)?;
            policy.check_grants(entry.identity(), &mut protocol)?;
            Ok(entry.identity().clone())
        });
        (protocol.0, verdict)
    }

    fn verify(
        &self,
        token: RawToken<'_>,
        policy: &Policy,
        now: UnixSeconds,
        witness: &mut impl Witness,
    ) -> Result<Arc<VerifiedToken>, Refused<'_>> {
        let decoded = DecodedToken::decode(token);
        let decoded = witness.see("shape", decoded, || explanation::shape(token))?;
        let unverified = decoded.read(&self.forwarded_claims, witness)?;
        let iss = unverified.issuer();
        // An issuer that does not exist has issued nothing: what claims its name is not undecidable, it is forged.
        let issuer = self.issuers.find(iss).filter(|issuer| !issuer.store.is_denied()).ok_or(Rejection::IssuerUnknown);
        let issuer = issuer.and_then(|issuer| policy.check_pool(&issuer.pool).map(|()| issuer));
        let issuer = witness.see("iss", issuer, || explanation::issuer(iss, self.accepted_issuers(policy)))?;
        let usable = issuer.store.with_keys(now, |_| Ok(()));
        witness.see("keys", usable, || explanation::keys(&issuer.store, now))?;
        let ended = issuer.source.demand.ended();
        let verified = issuer.store.with_keys(now, |keys| unverified.verify(&issuer.pool, keys, policy, now, witness));
        let (identity, key) = verified.map_err(|rejection| {
            let is_lacking = rejection == Rejection::KidUnknown && unverified.is_due_a_key(&issuer.pool, policy, now);
            Refused { rejection, lacking: is_lacking.then(|| Lacking { source: &issuer.source, ended }) }
        })?;
        let outcome = self.revocations.check(&identity);
        witness.see("revocation", outcome, || explanation::revocation(&self.revocations, &identity))?;
        let kept = self.cache.as_ref().map_or(RawToken::new(b""), |_| token);
        Ok(Arc::new(VerifiedToken::new(kept, key, Arc::clone(issuer), identity)))
    }

    /// The verdict on a token that was verified before; none if its issuer is not the one that is accepted now, or its key
    /// is gone, so that it must be verified anew.
    fn remembered(&self, entry: Arc<VerifiedToken>, policy: &Policy, now: UnixSeconds) -> Option<Verdict> {
        if !self.issuers.accepts(entry.issuer()) {
            return None;
        }
        match self.recheck(&entry, policy, now) {
            Ok(true) => Some(Ok(entry)),
            Ok(false) => None,
            Err(rejection) => Some(Err(rejection)),
        }
    }

    /// Applies the rules that a verified token must meet again on every request, in the order of the first time, up to the
    /// one that its key is still published: the answer is whether it is.
    fn recheck(&self, entry: &VerifiedToken, policy: &Policy, now: UnixSeconds) -> Result<bool, Rejection> {
        let identity = entry.identity();
        let pool = identity.pool();
        policy.check_pool(pool)?;
        if !entry.issuer().store.with_keys(now, |keys| Ok(keys.contains(entry.key())))? {
            return Ok(false);
        }
        identity.lifetime().check(now, pool.clock_skew.as_secs())?;
        // Not the client: the issuer is accepted as the one of the first time, and the pool that lists clients with it.
        policy.check_token_use(identity.token_use())?;
        self.revocations.check(identity)?;
        policy.check_grants(identity, &mut Silent)?;
        Ok(true)
    }

    /// The issuers whose tokens a route takes.
    fn accepted_issuers<'a>(&'a self, policy: &Policy) -> impl Iterator<Item = &'a str> {
        let accepted = self.issuers.iter().filter(|(_, issuer)| policy.check_pool(&issuer.pool).is_ok());
        accepted.map(|(issuer, _)| issuer)
    }
}

type Verdict = Result<Arc<VerifiedToken>, Rejection>;

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial<E> {
    /// A rule is not met.
    Rejected(Rejection),
    /// The token is not remembered and was not to be verified, for this reason: nothing is known of it.
    Unverified(E),
}

/// A token that is decided on.
#[derive(Clone, Copy)]
struct Asked<'t> {
    token: RawToken<'t>,
    /// The time of day when that began.
    now: UnixSeconds,
}

/// A rejection that a fetch of keys may change, or not.
struct Refused<'a> {
    rejection: Rejection,
    lacking: Option<Lacking<'a>>,
}

/// What lacks the key of a token, and how many fetches had ended when it was looked for.
struct Lacking<'a> {
    source: &'a KeySource,
    ended: u64,
}

impl From<Rejection> for Refused<'_> {
    fn from(rejection: Rejection) -> Self {
        Self { rejection, lacking: None }
    }
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
