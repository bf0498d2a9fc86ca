//! What does not change: keys, tokens that were minted with them, and routes to show them to.

use std::time::Duration;

use cognigate_auth::{
    clock::UnixSeconds,
    local_pool::{SigningKey, claims, jwks, with},
    policy::{Policy, TokenUse, TokenUseRule},
    pool::{ClientRule, JwksPolicy, UserPool},
};
use serde_json::json;

/// The moment at which all tokens were issued, give or take.
pub(crate) const NOW: UnixSeconds = 1_700_000_000;

/// How old keys may grow, in seconds.
pub(crate) const MAX_STALE: u64 = 3_600;

pub(crate) const POOLS: [&str; 3] = ["main", "other", "third"];
pub(crate) const CLIENTS: [&str; 3] = ["client-0", "client-1", "client-2"];

/// The names that keys have. The key at home under a name is the material of the same number.
pub(crate) const KIDS: [&str; 3] = ["a", "b", "c"];

/// The claims that may be forwarded, as configurations choose among them.
pub(crate) const FORWARDED: [&[&str]; 3] = [&[], &["sub"], &["jti", "sub"]];

const TOKENS: usize = 240;
const SESSIONS: usize = 80;
const USERS: usize = 30;

/// A token and all that a verdict on it depends on.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) pool: usize,
    pub(crate) client: usize,
    pub(crate) kid: usize,
    /// The key that signed it; none if nobody did.
    pub(crate) material: Option<usize>,
    pub(crate) token_use: TokenUse,
    pub(crate) issued_at: Option<UnixSeconds>,
    pub(crate) not_before: Option<UnixSeconds>,
    pub(crate) expires_at: UnixSeconds,
    pub(crate) jti: Option<String>,
    pub(crate) origin_jti: Option<String>,
    pub(crate) sub: String,
    pub(crate) scope: &'static str,
    pub(crate) group: &'static str,
}

pub(crate) struct World {
    keys: Vec<SigningKey>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) policies: Vec<Policy>,
}

impl World {
    pub(crate) fn new(rng: &mut fastrand::Rng) -> Self {
        let keys: Vec<_> = KIDS.iter().map(|kid| SigningKey::generate(*kid).unwrap()).collect();
        let mut tokens: Vec<_> = (0..TOKENS).map(|serial| token(rng, &keys, serial)).collect();
        for number in 0..TOKENS / 10 {
            tokens.push(forged(&tokens[number], &tokens[TOKENS - 1 - number]));
        }
        Self { keys, tokens, policies: policies() }
    }

    /// The document of a pool whose names stand for these keys.
    pub(crate) fn document(&self, keys: &[Option<usize>]) -> String {
        let named = keys.iter().zip(KIDS).filter_map(|(key, kid)| Some(self.keys[(*key)?].renamed(kid)));
        jwks(&named.collect::<Vec<_>>())
    }

    /// Any token. Every other time it is one of few, as some callers call more often than others.
    pub(crate) fn any_token(&self, rng: &mut fastrand::Rng) -> &Token {
        let among = if rng.bool() { 24 } else { self.tokens.len() };
        &self.tokens[rng.usize(..among)]
    }
}

/// A pool of this number, for these clients; for any if none is listed.
pub(crate) fn pool(number: usize, clients: &[usize]) -> UserPool {
    let clients = match clients {
        [] => ClientRule::Any,
        _ => ClientRule::Listed(clients.iter().map(|client| CLIENTS[*client].into()).collect()),
    };
    let pool = UserPool::new(POOLS[number], issuer(number).parse().unwrap(), clients).unwrap();
    UserPool { jwks: JwksPolicy { max_stale: Duration::from_secs(MAX_STALE), ..pool.jwks }, ..pool }
}

fn issuer(pool: usize) -> String {
    format!("https://{}.example", POOLS[pool])
}

fn token(rng: &mut fastrand::Rng, keys: &[SigningKey], serial: usize) -> Token {
    let (pool, client, kid) = (rng.usize(..POOLS.len()), rng.usize(..CLIENTS.len()), rng.usize(..KIDS.len()));
    let material = if rng.u8(..10) == 0 { rng.usize(..keys.len()) } else { kid };
    let token_use = if rng.bool() { TokenUse::Access } else { TokenUse::Id };
    let mut token = Token {
        text: String::new(),
        pool,
        client,
        kid,
        material: Some(material),
        token_use,
        issued_at: (rng.u8(..8) > 0).then(|| NOW - rng.u64(..60)),
        not_before: (rng.u8(..8) == 0).then_some(NOW + 30),
        expires_at: NOW + [60, 600, 3_000, 80_000][rng.usize(..10).min(3)],
        // As Cognito's are, and as they could be.
        jti: (rng.u8(..8) > 0).then(|| uuid(serial, if rng.bool() { "jti" } else { "0b1a" })),
        origin_jti: (rng.u8(..8) > 0).then(|| uuid(rng.usize(..SESSIONS), "5e55")),
        sub: uuid(rng.usize(..USERS), "05e2"),
        scope: ["", "read", "read write"][rng.usize(..3)],
        group: ["readers", "writers"][rng.usize(..2)],
    };
    let mut payload = claims(&issuer(pool), CLIENTS[client], token_use, NOW);
    with(
        &mut payload,
        &json!({
            "sub": token.sub, "jti": token.jti, "origin_jti": token.origin_jti, "iat": token.issued_at,
            "nbf": token.not_before, "exp": token.expires_at, "scope": token.scope, "cognito:groups": [token.group],
        }),
    );
    token.text = keys[material].renamed(KIDS[kid]).mint(&payload).unwrap();
    token
}

/// The claims of one token under the signature of another.
fn forged(claims: &Token, signature: &Token) -> Token {
    let (signed, _) = claims.text.rsplit_once('.').unwrap();
    let (_, signature) = signature.text.rsplit_once('.').unwrap();
    Token {
        text: format!("{signed}.{signature}"),
        material: None,
        jti: claims.jti.clone(),
        origin_jti: claims.origin_jti.clone(),
        sub: claims.sub.clone(),
        ..*claims
    }
}

fn uuid(number: usize, kind: &str) -> String {
    format!("{number:08x}-{kind}-4f6d-8c5b-2a1f0e9d8c7b")
}

fn policies() -> Vec<Policy> {
    let words = |words: &[&str]| -> Box<[Box<str>]> { words.iter().map(|word| Box::from(*word)).collect() };
    let open = Policy {
        user_pools: words(&POOLS),
        token_use: TokenUseRule::Any,
        scopes_any: Box::default(),
        groups_any: Box::default(),
    };
    vec![
        open.clone(),
        open.clone(),
        open.clone(),
        open.clone(),
        Policy { user_pools: words(&POOLS[..2]), ..open.clone() },
        Policy { token_use: TokenUseRule::Access, scopes_any: words(&["write", "admin"]), ..open.clone() },
        Policy { groups_any: words(&["writers"]), ..open },
    ]
}
