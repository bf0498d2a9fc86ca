//! An authorizer with one pool, and tokens of the usual size for it.

use std::{error::Error, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cognigate_auth::{
    authorizer::{Authorizer, AuthorizerConfig},
    cache::VerifiedToken,
    clock::{FixedClock, UnixSeconds},
    identity::ForwardedClaims,
    local_pool::{claims, with},
    metrics::AuthMetrics,
    policy::{Policy, TokenUse, TokenUseRule},
    pool::{ClientRule, UserPool},
    rejection::Rejection,
    token::RawToken,
};
use mimalloc::MiMalloc;
use prometheus::Registry;
use serde_json::{Value, json};

use crate::weak_key::WeakKey;

/// That of the program: what a new token costs is in part what its claims are kept in.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The moment that everything happens at.
pub const NOW: UnixSeconds = 1_700_000_000;

const ISSUER: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz";
const CLIENT: &str = "4example23client56id78abcd";

/// The authorizer, and what its one route asks for.
#[derive(Debug)]
pub struct Gate {
    authorizer: Authorizer,
    policy: Policy,
}

impl Gate {
    /// One that believes `key` and may remember tokens in so many bytes.
    ///
    /// # Errors
    ///
    /// None but those of a registry that is shared.
    pub fn new(key: &WeakKey, cache_max_bytes: usize, registry: &Registry) -> Result<Self, Box<dyn Error>> {
        let pool = UserPool::new("main", ISSUER.parse()?, ClientRule::Listed([CLIENT.into()].into()))?;
        let config = AuthorizerConfig {
            user_pools: vec![pool],
            forwarded_claims: ForwardedClaims::new(["sub".into(), "cognito:groups".into()]),
            cache_max_bytes,
            ..AuthorizerConfig::default()
        };
        let authorizer = Authorizer::new(config, Arc::new(FixedClock::at(NOW)), AuthMetrics::register(registry)?);
        authorizer.import_keys("main", json!({ "keys": [key.jwk()] }).to_string().as_bytes())?;
        let policy = Policy {
            user_pools: ["main".into()].into(),
            token_use: TokenUseRule::Access,
            scopes_any: ["items/write".into()].into(),
            groups_any: ["writers".into()].into(),
        };
        Ok(Self { authorizer, policy })
    }

    /// The reason for what is decided on a token, or on a request without one.
    #[must_use]
    pub fn reason(&self, token: Option<&str>) -> &'static str {
        self.decide(token).map_or_else(|rejection| rejection.reason(), |_| "ok")
    }

    /// What is decided on a token.
    ///
    /// # Errors
    ///
    /// The first rule that is not met.
    pub fn decide(&self, token: Option<&str>) -> Result<Arc<VerifiedToken>, Rejection> {
        self.authorizer.decide(token.map(|token| RawToken::new(token.as_bytes())), &self.policy)
    }
}

/// The `serial`th token: an access token of 5 scopes and 2 groups, good for an hour, whose ids no other has.
#[must_use]
pub fn token(key: &WeakKey, serial: usize) -> String {
    token_with(key, serial, &json!({}))
}

/// The same with other claims.
#[must_use]
pub fn token_with(key: &WeakKey, serial: usize, changes: &Value) -> String {
    let mut claims = claims(ISSUER, CLIENT, TokenUse::Access, NOW);
    let scope = "openid email items/read items/write items/list";
    with(&mut claims, &json!({ "scope": scope, "cognito:groups": ["readers", "writers"] }));
    for id in ["sub", "jti", "origin_jti"] {
        with(&mut claims, &json!({ id: format!("{serial:08x}-93e8-4f6d-8c5b-2a1f0e9d8c7b") }));
    }
    with(&mut claims, changes);
    key.mint(&claims)
}

/// A request that is refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What is wrong with it.
    pub name: &'static str,
    /// The reason that it gets.
    pub reason: &'static str,
    /// What it shows.
    pub token: Option<String>,
}

/// Requests with what is wrong with each: those that get no further than that, and last one whose signature is checked.
///
/// # Errors
///
/// None: the tokens are minted here.
pub fn refused(key: &WeakKey) -> Result<[Refused; 7], Box<dyn Error>> {
    let good = token(key, 1);
    let over = json!({ "auth_time": NOW - 7200, "iat": NOW - 7200, "exp": NOW - 3600 });
    let refused = |name, reason, token| Refused { name, reason, token };
    Ok([
        refused("no_token", "token_missing", None),
        refused("not_a_token", "token_malformed", Some(good.replace('.', ""))),
        refused("not_json", "token_malformed", Some(format!("A{good}"))),
        refused("unknown_key", "kid_unknown", Some(token(&key.clone().renamed("b"), 1))),
        refused("expired", "token_expired", Some(token_with(key, 1, &over))),
        refused("wrong_client", "client_not_allowed", Some(token_with(key, 1, &json!({ "client_id": "another" })))),
        refused("bad_signature", "signature_invalid", Some(with_last_bit_flipped(&good)?)),
    ])
}

/// The same token, but for the last bit of its signature: still less than the modulus, so that all of the work is done.
fn with_last_bit_flipped(token: &str) -> Result<String, Box<dyn Error>> {
    let (input, signature) = token.rsplit_once('.').ok_or("no signature")?;
    let mut signature = URL_SAFE_NO_PAD.decode(signature)?;
    if let Some(last) = signature.last_mut() {
        *last ^= 1;
    }
    Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
