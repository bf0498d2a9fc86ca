//! An authorizer with two pools, a clock that stands still, and tokens to show it.

use std::{sync::LazyLock, time::Duration};

use prometheus::Registry;
use serde_json::{Value, json};

use super::*;
use crate::{
    clock::FixedClock,
    local_pool::{self, SigningKey, claims},
    policy::{TokenUse, TokenUseRule},
    pool::{ClientRule, JwksPolicy},
    revocation::{Revocation, Source, Subject, SubjectKind},
};

pub(super) const NOW: UnixSeconds = 1_700_000_000;
pub(super) const MAX_STALE: u64 = 3_600;
pub(super) const CACHE: usize = 1 << 20;
pub(super) const MAIN: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz";
pub(super) const ANY: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AnyClient";

/// `a` is published, `b` is not. Made once: a key takes a while.
pub(super) static KEYS: LazyLock<[SigningKey; 2]> =
    LazyLock::new(|| ["a", "b"].map(|kid| SigningKey::generate(kid).unwrap()));

pub(super) struct Gate {
    pub(super) authorizer: Authorizer,
    pub(super) clock: Arc<FixedClock>,
    pub(super) revocations: Arc<RevocationList>,
}

impl Gate {
    /// With key `a` in both pools.
    pub(super) fn new(cache_max_bytes: usize) -> Self {
        let gate = Self::without_keys(cache_max_bytes, [pool("main", MAIN), pool("any", ANY)]);
        gate.publish([&KEYS[0]]);
        gate
    }

    pub(super) fn without_keys(cache_max_bytes: usize, user_pools: impl Into<Vec<UserPool>>) -> Self {
        let revocations = Arc::new(RevocationList::new(100));
        let config = AuthorizerConfig {
            user_pools: user_pools.into(),
            forwarded_claims: forwarded_claims(),
            cache_max_bytes,
            revocations: Arc::clone(&revocations),
            ..AuthorizerConfig::default()
        };
        let clock = Arc::new(FixedClock::at(NOW));
        let metrics = AuthMetrics::register(&Registry::new()).unwrap();
        let authorizer = Authorizer::new(config, Arc::clone(&clock) as Arc<dyn Clock>, metrics);
        Self { authorizer, clock, revocations }
    }

    /// Both pools publish these keys.
    pub(super) fn publish<'k>(&self, keys: impl IntoIterator<Item = &'k SigningKey>) {
        let document = local_pool::jwks(keys);
        for name in ["main", "any"] {
            self.authorizer.import_keys(name, document.as_bytes()).unwrap();
        }
    }

    pub(super) fn authorize(&self, token: &str, policy: &Policy) -> Verdict {
        self.authorizer.decide(Some(RawToken::new(token.as_bytes())), policy)
    }

    /// The word for the verdict.
    pub(super) fn reason(&self, token: &str, policy: &Policy) -> &'static str {
        self.authorize(token, policy).map_or_else(Rejection::reason, |_| "ok")
    }

    /// Puts an entry on the list, for as long as it is there.
    pub(super) fn revoke(&self, kind: SubjectKind, text: &str, issued_before: Option<UnixSeconds>) {
        let subject = Subject::new(kind, text).unwrap();
        let entry = Revocation { subject, issued_before, expires_at: UnixSeconds::MAX, made_at: 0 };
        self.revocations.add(Source::Shared, entry).unwrap();
    }

    /// How many tokens were answered from the cache, and how many had to be verified.
    pub(super) fn hits_and_misses(&self) -> (u64, u64) {
        let cache = &self.authorizer.metrics.cache;
        (cache.hits.get(), cache.misses.get())
    }
}

pub(super) fn forwarded_claims() -> ForwardedClaims {
    ForwardedClaims::new(["sub".into(), "email".into(), "custom:tags".into()])
}

pub(super) fn pool(name: &str, issuer: &str) -> UserPool {
    let issuer: crate::pool::Issuer = issuer.parse().unwrap();
    UserPool {
        name: name.into(),
        jwks_uri: issuer.jwks_uri().unwrap(),
        issuer,
        alternatives: Box::default(),
        clients: match name {
            "any" => ClientRule::Any,
            _ => ClientRule::Listed(["client".into(), "other-client".into()].into()),
        },
        clock_skew: Duration::ZERO,
        jwks: JwksPolicy { max_stale: Duration::from_secs(MAX_STALE), ..JwksPolicy::default() },
    }
}

/// A route that takes any token of both pools.
pub(super) fn policy() -> Policy {
    Policy {
        user_pools: ["main".into(), "any".into()].into(),
        token_use: TokenUseRule::Any,
        scopes_any: Box::default(),
        groups_any: Box::default(),
    }
}

/// A token of an hour, minted now with key `a` for `client`, whose claims are changed like this.
pub(super) fn token(token_use: TokenUse, changes: &Value) -> String {
    signed(&KEYS[0], token_use, changes)
}

pub(super) fn signed(key: &SigningKey, token_use: TokenUse, changes: &Value) -> String {
    let mut claims = claims(MAIN, "client", token_use, NOW);
    local_pool::with(&mut claims, changes);
    key.mint(&claims).unwrap()
}

pub(super) fn unchanged() -> Value {
    json!({})
}
