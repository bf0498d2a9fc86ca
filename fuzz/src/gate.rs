//! Two authorizers that differ in nothing but that one remembers, two user pools with keys that live as long as the process,
//! and a clock that stands still.
//!
//! Keys are made when the process starts: what a corpus holds is instructions and shapes, never a token that any key signed.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use cognigate_auth::{
    authorizer::{Authorizer, AuthorizerConfig, ImportError},
    cache::{MIN_CACHE_BYTES, VerifiedToken},
    clock::{Clock, FixedClock, UnixSeconds},
    identity::ForwardedClaims,
    local_pool::{self, SigningKey},
    metrics::AuthMetrics,
    policy::Policy,
    pool::{ClientRule, Issuer, JwksPolicy, UserPool},
    rejection::Rejection,
    token::RawToken,
};
use prometheus::Registry;

/// The time at which the keys were fetched and the tokens were issued.
pub(crate) const NOW: UnixSeconds = 1_700_000_000;

/// How old keys may grow.
pub(crate) const MAX_STALE_SECONDS: u64 = 24 * 60 * 60;

/// The claims that are passed on.
pub(crate) const FORWARDED: [&str; 3] = ["sub", "email", "custom:tags"];

/// Whose tokens are accepted.
pub(crate) struct PoolRules {
    pub(crate) name: &'static str,
    pub(crate) issuer: &'static str,
    /// The one key that it publishes.
    pub(crate) kid: &'static str,
    /// Its app clients; any, where none is listed.
    pub(crate) clients: &'static [&'static str],
    pub(crate) clock_skew: u64,
}

/// A pool as most are, and one that is as lenient as one may be.
pub(crate) const POOLS: [PoolRules; 2] = [
    PoolRules {
        name: "main",
        issuer: "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Main",
        kid: "a",
        clients: &["client", "other"],
        clock_skew: 0,
    },
    PoolRules {
        name: "lenient",
        issuer: "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Lenient",
        kid: "b",
        clients: &[],
        clock_skew: 60,
    },
];

/// The keys of the pools, in their order. Made once: a key takes a while.
pub(crate) static KEYS: LazyLock<[SigningKey; 2]> =
    LazyLock::new(|| POOLS.map(|pool| SigningKey::generate(pool.kid).expect("a key")));

/// The documents that the pools publish, in their order.
pub(crate) static DOCUMENTS: LazyLock<[String; 2]> =
    LazyLock::new(|| KEYS.each_ref().map(|key| local_pool::jwks([key])));

static USER_POOLS: LazyLock<[UserPool; 2]> = LazyLock::new(|| POOLS.each_ref().map(user_pool));

static METRICS: LazyLock<AuthMetrics> =
    LazyLock::new(|| AuthMetrics::register(&Registry::new()).expect("an empty registry"));

/// What a token gets.
pub(crate) type Verdict = Result<Arc<VerifiedToken>, Rejection>;

/// The authorizers. Made anew for each input, so that nothing is remembered of the one before.
pub(crate) struct Gate {
    cached: Authorizer,
    uncached: Authorizer,
    clock: Arc<FixedClock>,
}

impl Gate {
    /// At [`NOW`], with the keys of both pools.
    pub(crate) fn new() -> Self {
        let clock = Arc::new(FixedClock::at(NOW));
        let gate = Self { cached: authorizer(MIN_CACHE_BYTES, &clock), uncached: authorizer(0, &clock), clock };
        for (pool, document) in POOLS.iter().zip(&*DOCUMENTS) {
            gate.import(pool.name, document.as_bytes()).expect("a good document");
        }
        gate
    }

    pub(crate) fn set_clock(&self, now: UnixSeconds) {
        self.clock.set(now);
    }

    /// Replaces the keys of a pool.
    pub(crate) fn import(&self, user_pool: &str, document: &[u8]) -> Result<(), ImportError> {
        let uncached = self.uncached.import_keys(user_pool, document);
        let cached = self.cached.import_keys(user_pool, document);
        assert_eq!(cached.is_ok(), uncached.is_ok(), "one document, two opinions");
        cached
    }

    /// The verdict on a token: the same three times, whether it was remembered or not.
    pub(crate) fn verdict(&self, token: &[u8], policy: &Policy) -> Verdict {
        let raw = || Some(RawToken::new(token));
        let uncached = self.uncached.decide(raw(), policy);
        for time in ["first", "second"] {
            let cached = self.cached.decide(raw(), policy);
            let is_same = match (&cached, &uncached) {
                (Ok(one), Ok(other)) => one.identity().forwarded() == other.identity().forwarded(),
                (Err(one), Err(other)) => one == other,
                (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
            };
            assert!(is_same, "the {time} time {cached:?} with a cache, {uncached:?} without");
        }
        self.assert_explained(token, policy, uncached.as_ref().err().copied());
        uncached
    }

    /// An explanation ends with the verdict, on lines that do not repeat the signature.
    fn assert_explained(&self, token: &[u8], policy: &Policy, verdict: Option<Rejection>) {
        let (findings, explained) = self.cached.explain(Some(RawToken::new(token)), policy);
        assert_eq!(explained.err(), verdict, "the explanation is another");
        let (last, others) = findings.split_last().expect("a rule was applied");
        assert!(others.iter().all(|finding| finding.rejection.is_none()), "{findings:?}");
        assert_eq!(last.rejection, verdict, "{findings:?}");
        let signature = String::from_utf8_lossy(token.rsplit(|byte| *byte == b'.').next().unwrap_or_default());
        for finding in &findings {
            assert!(!finding.values.contains(char::is_control), "{finding:?}");
            assert!(signature.len() < 64 || !finding.values.contains(&*signature), "{} repeats it", finding.rule);
        }
    }
}

fn authorizer(cache_max_bytes: usize, clock: &Arc<FixedClock>) -> Authorizer {
    let config = AuthorizerConfig {
        user_pools: USER_POOLS.to_vec(),
        forwarded_claims: ForwardedClaims::new(FORWARDED.map(Box::from)),
        cache_max_bytes,
        ..AuthorizerConfig::default()
    };
    Authorizer::new(config, Arc::clone(clock) as Arc<dyn Clock>, METRICS.clone())
}

fn user_pool(rules: &PoolRules) -> UserPool {
    let PoolRules { name, issuer, kid: _, clients, clock_skew } = *rules;
    let issuer: Issuer = issuer.parse().expect("an issuer");
    UserPool {
        name: name.into(),
        jwks_uri: issuer.jwks_uri().expect("an address"),
        issuer,
        alternatives: Box::default(),
        clients: match clients {
            [] => ClientRule::Any,
            listed => ClientRule::Listed(listed.iter().map(|id| Box::from(*id)).collect()),
        },
        clock_skew: Duration::from_secs(clock_skew),
        jwks: JwksPolicy { max_stale: Duration::from_secs(MAX_STALE_SECONDS), ..JwksPolicy::default() },
    }
}
