//! An authorizer that takes any token of one pool, a clock that stands still, and tokens to show it.

use std::sync::{Arc, LazyLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cognigate_auth::{
    authorizer::{Authorizer, AuthorizerConfig, ImportError},
    clock::{FixedClock, UnixSeconds},
    identity::ForwardedClaims,
    local_pool::{SigningKey, claims, jwks, with},
    metrics::AuthMetrics,
    policy::{Policy, TokenUse, TokenUseRule},
    pool::{ClientRule, UserPool},
    token::RawToken,
};
use serde_json::{Value, json};

pub(crate) const NOW: UnixSeconds = 1_700_000_000;
pub(crate) const ISSUER: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz";
pub(crate) const CLIENT: &str = "4example23client56id78abcd";
pub(crate) const HEADER: &str = r#"{"kid":"a","alg":"RS256"}"#;

/// The key that the pool publishes.
pub(crate) static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate("a").unwrap());

/// A key of the same name that it does not publish.
pub(crate) static FOREIGN_KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate("a").unwrap());

static GATE: LazyLock<Gate> = LazyLock::new(|| Gate::publishing(&jwks([&*KEY])).unwrap());

pub(crate) struct Gate(Authorizer);

impl Gate {
    /// An authorizer whose pool publishes this document.
    pub(crate) fn publishing(document: &str) -> Result<Self, ImportError> {
        let clients = ClientRule::Listed([CLIENT.into()].into());
        let pool = UserPool::new("main", ISSUER.parse().unwrap(), clients).unwrap();
        let config = AuthorizerConfig {
            user_pools: vec![pool],
            forwarded_claims: ForwardedClaims::default(),
            cache_max_bytes: 1 << 20,
            ..AuthorizerConfig::default()
        };
        let metrics = AuthMetrics::register(&prometheus::Registry::new()).unwrap();
        let authorizer = Authorizer::new(config, Arc::new(FixedClock::at(NOW)), metrics);
        authorizer.import_keys("main", document.as_bytes())?;
        Ok(Self(authorizer))
    }

    /// The reason for what is decided on a token: `ok`, or the rule that it does not meet.
    pub(crate) fn reason(&self, token: impl AsRef<[u8]>) -> &'static str {
        let policy = Policy {
            user_pools: ["main".into()].into(),
            token_use: TokenUseRule::Any,
            scopes_any: Box::default(),
            groups_any: Box::default(),
        };
        let verdict = self.0.decide(Some(RawToken::new(token.as_ref())), &policy);
        verdict.map_or_else(|rejection| rejection.reason(), |_| "ok")
    }
}

/// The reason that a pool which publishes [`KEY`] gives.
pub(crate) fn reason(token: impl AsRef<[u8]>) -> &'static str {
    GATE.reason(token)
}

/// The reason for a well-signed token with this header and good claims.
pub(crate) fn reason_for_header(header: &str) -> &'static str {
    reason(KEY.mint_raw(header, &payload()).unwrap())
}

/// The reason for a well-signed token with a good header and this payload.
pub(crate) fn reason_for_payload(payload: impl AsRef<[u8]>) -> &'static str {
    reason(KEY.mint_raw(HEADER, payload.as_ref()).unwrap())
}

/// The reason for a well-signed ID token whose claims are changed like this; `null` takes a claim out.
pub(crate) fn reason_for_claims(changes: &Value) -> &'static str {
    let mut claims = claims(ISSUER, CLIENT, TokenUse::Id, NOW);
    with(&mut claims, changes);
    reason(KEY.mint(&claims).unwrap())
}

/// The JSON text of good claims.
pub(crate) fn payload() -> String {
    claims(ISSUER, CLIENT, TokenUse::Id, NOW).to_string()
}

/// A good token.
pub(crate) fn token() -> String {
    KEY.mint_raw(HEADER, &payload()).unwrap()
}

/// The encoded header, payload and signature of a token.
pub(crate) fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A member of [`KEY`]'s JWK as text.
pub(crate) fn member(name: &str) -> String {
    KEY.jwk().get(name).and_then(Value::as_str).unwrap().to_owned()
}

/// What becomes of a good token if [`KEY`] is published with these members; `null` takes a member out.
pub(crate) fn reason_with_key(changes: &Value) -> &'static str {
    let mut key = KEY.jwk();
    with(&mut key, changes);
    reason_with_keys(&json!({ "keys": [key] }).to_string())
}

/// What becomes of a good token under this JWK Set; `unusable` if there is no key in it.
pub(crate) fn reason_with_keys(document: &str) -> &'static str {
    Gate::publishing(document).map_or("unusable", |gate| gate.reason(token()))
}
