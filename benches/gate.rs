//! An authorizer with one pool, and tokens of the usual size for it.

use std::{error::Error, sync::Arc};

use cognigate_auth::{
    authorizer::{Authorizer, AuthorizerConfig},
    cache::VerifiedToken,
    clock::{FixedClock, UnixSeconds},
    identity::ForwardedClaims,
    local_pool::{LocalPoolError, SigningKey, claims, jwks, with},
    metrics::AuthMetrics,
    policy::{Policy, TokenUse, TokenUseRule},
    pool::{ClientRule, UserPool},
    rejection::Rejection,
    token::RawToken,
};
use mimalloc::MiMalloc;
use prometheus::Registry;
use serde_json::json;

/// That of the program: what a new token costs is in part what its claims are kept in.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The moment that everything happens at.
const NOW: UnixSeconds = 1_700_000_000;

const ISSUER: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz";
const CLIENT: &str = "4example23client56id78abcd";

pub(crate) struct Gate {
    authorizer: Authorizer,
    policy: Policy,
}

impl Gate {
    /// One that believes `key` and may remember tokens in so many bytes.
    pub(crate) fn new(key: &SigningKey, cache_max_bytes: usize, registry: &Registry) -> Result<Self, Box<dyn Error>> {
        let pool = UserPool::new("main", ISSUER.parse()?, ClientRule::Listed([CLIENT.into()].into()))?;
        let config = AuthorizerConfig {
            user_pools: vec![pool],
            forwarded_claims: ForwardedClaims::new(["sub".into(), "cognito:groups".into()]),
            cache_max_bytes,
            ..AuthorizerConfig::default()
        };
        let authorizer = Authorizer::new(config, Arc::new(FixedClock::at(NOW)), AuthMetrics::register(registry)?);
        authorizer.import_keys("main", jwks([key]).as_bytes())?;
        let policy = Policy {
            user_pools: ["main".into()].into(),
            token_use: TokenUseRule::Access,
            scopes_any: ["items/write".into()].into(),
            groups_any: ["writers".into()].into(),
        };
        Ok(Self { authorizer, policy })
    }

    /// The reason for what is decided on a token.
    pub(crate) fn reason(&self, token: &str) -> &'static str {
        self.decide(token).map_or_else(|rejection| rejection.reason(), |_| "ok")
    }

    /// What is decided on a token.
    pub(crate) fn decide(&self, token: &str) -> Result<Arc<VerifiedToken>, Rejection> {
        self.authorizer.decide(Some(RawToken::new(token.as_bytes())), &self.policy)
    }
}

/// The `serial`th token: an access token of 5 scopes and 2 groups, good for an hour, whose ids no other has.
pub(crate) fn token(key: &SigningKey, serial: usize) -> Result<String, LocalPoolError> {
    let mut claims = claims(ISSUER, CLIENT, TokenUse::Access, NOW);
    let scope = "openid email items/read items/write items/list";
    with(&mut claims, &json!({ "scope": scope, "cognito:groups": ["readers", "writers"] }));
    for id in ["sub", "jti", "origin_jti"] {
        with(&mut claims, &json!({ id: format!("{serial:08x}-93e8-4f6d-8c5b-2a1f0e9d8c7b") }));
    }
    key.mint(&claims)
}
