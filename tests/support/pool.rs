//! A user pool: its issuer, its keys, its tokens.
//!
//! Making an RSA key takes longer than most tests, so there are two in a process, and every other one is one of the two
//! under another name.

use std::sync::LazyLock;

use cognigate_auth::{
    clock::{Clock, SystemClock, UnixSeconds},
    local_pool::{self, SigningKey},
    policy::TokenUse,
};
use serde_json::Value;

/// The app client that the tokens are for.
pub const CLIENT_ID: &str = "4example23client56id78abcd";

/// The name of the key that signs a pool's tokens.
pub const KID: &str = "key-1";

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(KID).unwrap());
static STRANGERS_KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(KID).unwrap());

/// The time of day.
pub fn now() -> UnixSeconds {
    SystemClock.now()
}

/// The key that signs, under another name.
pub fn key(kid: &str) -> SigningKey {
    KEY.renamed(kid)
}

/// A key of other material.
pub fn strangers_key(kid: &str) -> SigningKey {
    STRANGERS_KEY.renamed(kid)
}

/// A user pool.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    id: &'static str,
}

impl Pool {
    /// The pool of this id, such as `eu-west-1_AbC123xyz`.
    pub const fn new(id: &'static str) -> Self {
        Self { id }
    }

    /// Its id.
    pub const fn id(self) -> &'static str {
        self.id
    }

    /// The issuer of its tokens.
    ///
    /// # Panics
    ///
    /// If its id is not one.
    pub fn issuer(self) -> String {
        let region = self.id.split('_').next().unwrap();
        format!("https://cognito-idp.{region}.amazonaws.com/{}", self.id)
    }

    /// An ID token that was issued now; members of `changes` replace its claims, and those that are `null` remove them.
    pub fn id_token(self, changes: &Value) -> String {
        self.token(&key(KID), TokenUse::Id, changes)
    }

    /// An access token that was issued now; `changes` as for [`id_token`](Self::id_token).
    pub fn access_token(self, changes: &Value) -> String {
        self.token(&key(KID), TokenUse::Access, changes)
    }

    /// A token that this key signs.
    ///
    /// # Panics
    ///
    /// If it does not sign.
    pub fn token(self, key: &SigningKey, token_use: TokenUse, changes: &Value) -> String {
        let mut claims = local_pool::claims(&self.issuer(), CLIENT_ID, token_use, now());
        local_pool::with(&mut claims, changes);
        key.mint(&claims).unwrap()
    }
}
