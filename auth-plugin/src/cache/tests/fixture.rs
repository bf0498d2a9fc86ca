//! Entries without cryptography: keys that parse but sign nothing, claims that nobody signed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prometheus::Registry;

use super::*;
use crate::{
    claims::Claims,
    keys::key_set::KeySet,
    metrics::AuthMetrics,
    pool::{ClientRule, UserPool},
};

pub(super) const NOW: UnixSeconds = 1_000;
pub(super) const LATER: UnixSeconds = 2_000;
const OVER: UnixSeconds = 900;

pub(super) struct Fixture {
    pub(super) metrics: CacheMetrics,
    issuer: Arc<IssuerKeys>,
    key: Arc<VerifyingKey>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let pool = UserPool::new("main", "https://issuer.example".parse().unwrap(), ClientRule::Any).unwrap();
        let issuer = IssuerKeys::alone(pool);
        publish(&issuer, 0xff);
        Self { metrics: AuthMetrics::register(&Registry::new()).unwrap().cache, key: key_of(&issuer), issuer }
    }

    /// A cache that hashes the same way each time, so that a failure can be repeated.
    pub(super) fn cache(&self, sets: usize) -> TokenCache {
        TokenCache::with_sets(sets, RandomState::with_seeds(1, 2, 3, 4), self.metrics.clone())
    }

    /// A token of this length whose end tells it from others.
    pub(super) fn token(&self, id: usize, bytes: usize) -> Vec<u8> {
        let mut token = vec![b'a'; bytes - INDEX_BYTES];
        token.extend(format!("{id:0>INDEX_BYTES$}").bytes());
        token
    }

    pub(super) fn entry(&self, token: &[u8], exp: UnixSeconds) -> Arc<VerifiedToken> {
        let id = String::from_utf8_lossy(&token[token.len().saturating_sub(INDEX_BYTES)..]).into_owned();
        self.entry_of(&format!("user-{}", id.trim_start_matches('0')), token, exp)
    }

    pub(super) fn entry_of(&self, sub: &str, token: &[u8], exp: UnixSeconds) -> Arc<VerifiedToken> {
        let json = format!(
            r#"{{"iss":"https://issuer.example","sub":"{sub}","token_use":"access","client_id":"4example23client56id78abcd","exp":{exp},"iat":800,
            "scope":"openid email items/read items/write items/list","cognito:groups":["readers","writers"],
            "jti":"b7a1d4c2-93e8-4f6d-8c5b-2a1f0e9d8c7b","origin_jti":"0d9f5b0e-6f0b-4a53-9d3e-1f6a2b7c8d9e"}}"#
        );
        let claims = Claims::parse(&json).unwrap();
        let identity = Identity::new(&self.issuer.pool, claims.caller().unwrap(), &claims, Default::default());
        let (key, issuer) = (Arc::clone(&self.key), Arc::clone(&self.issuer));
        Arc::new(VerifiedToken::new(RawToken::new(token), key, issuer, identity))
    }

    /// An entry of another token that says the same.
    pub(super) fn another(&self, model: &VerifiedToken, token: &[u8]) -> Arc<VerifiedToken> {
        let (key, issuer) = (Arc::clone(&self.key), Arc::clone(&self.issuer));
        Arc::new(VerifiedToken::new(RawToken::new(token), key, issuer, model.identity().clone()))
    }

    /// Inserts so many small tokens, in the order of their ids.
    pub(super) fn fill(&self, cache: &TokenCache, count: usize) -> Vec<Vec<u8>> {
        let tokens: Vec<_> = (0..count).map(|id| self.token(id, 600)).collect();
        for token in &tokens {
            cache.insert(self.entry(token, LATER), NOW);
        }
        tokens
    }

    /// Makes the entry of a token one that has expired.
    pub(super) fn expire(&self, cache: &TokenCache, token: &[u8]) {
        cache.insert(self.entry(token, OVER), OVER - 1);
    }

    /// Makes the entry of a token one whose key is gone.
    pub(super) fn revoke_key(&self, cache: &TokenCache, token: &[u8]) {
        let other = Self::new();
        cache.insert(other.entry(token, LATER), NOW);
        publish(&other.issuer, 0x81);
    }

    /// The counted entries, bytes and evictions.
    pub(super) fn counts(&self) -> (i64, i64, u64) {
        (self.metrics.entries.get(), self.metrics.bytes.get(), self.metrics.evictions.get())
    }

    /// The bytes that are really there.
    pub(super) fn bytes_in(&self, cache: &TokenCache) -> i64 {
        let ways = cache.sets.iter().flat_map(|set| &set.entries);
        let bytes: usize = ways.filter_map(|way| way.load().as_ref().map(|entry| entry.bytes)).sum();
        i64::try_from(bytes).unwrap()
    }
}

fn publish(issuer: &IssuerKeys, fill: u8) {
    let n = URL_SAFE_NO_PAD.encode([fill; 256]);
    let document = format!(r#"{{"keys":[{{"kty":"RSA","kid":"k","e":"AQAB","n":"{n}"}}]}}"#);
    let fresh = KeySet::parse(document.as_bytes(), NOW, issuer.store.current().set()).unwrap();
    issuer.store.publish(fresh);
}

fn key_of(issuer: &IssuerKeys) -> Arc<VerifyingKey> {
    Arc::clone(issuer.store.current().set().unwrap().find("k").unwrap())
}
