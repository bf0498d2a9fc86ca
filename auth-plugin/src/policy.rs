//! Hot path: no lock, no I/O, no info log.
//!
//! What a route asks of a caller. Evaluated on every request, also when the token's claims come from the cache.
//!
//! The order is fixed, so that one token gets one reason whichever way its claims came: pool, kind of token, client,
//! scopes, groups.

use serde::Deserialize;

use crate::{
    claims::Caller,
    explanation::{self, Witness},
    identity::Identity,
    pool::UserPool,
    rejection::Rejection,
};

/// The kind of a Cognito token, as its `token_use` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenUse {
    /// For calling APIs: has `client_id` and scopes.
    Access,
    /// About the user: has `aud` and attributes.
    Id,
}

/// Which kinds of token a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenUseRule {
    /// Access tokens only.
    Access,
    /// Either.
    Any,
    /// ID tokens only.
    Id,
}

impl TokenUseRule {
    const fn admits(self, token_use: TokenUse) -> bool {
        matches!((self, token_use), (Self::Any, _) | (Self::Access, TokenUse::Access) | (Self::Id, TokenUse::Id))
    }
}

/// What a route asks of a caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Names of the pools whose tokens are accepted.
    pub user_pools: Box<[Box<str>]>,
    /// The kinds of token that are accepted.
    pub token_use: TokenUseRule,
    /// The token must have one of these scopes; empty asks for none.
    pub scopes_any: Box<[Box<str>]>,
    /// The caller must be in one of these groups; empty asks for none.
    pub groups_any: Box<[Box<str>]>,
}

impl Policy {
    /// Whether the route takes tokens of this pool.
    pub(crate) fn check_pool(&self, pool: &UserPool) -> Result<(), Rejection> {
        if self.user_pools.contains(&pool.name) { Ok(()) } else { Err(Rejection::IssuerUnknown) }
    }

    /// The rules that need no signature: a token that fails here is refused before anything costly happens.
    pub(crate) fn check_caller(
        &self,
        pool: &UserPool,
        caller: Caller<'_>,
        witness: &mut impl Witness,
    ) -> Result<(), Rejection> {
        witness.see("token_use", self.check_token_use(caller.token_use), || {
            explanation::token_use(caller.token_use, self.token_use)
        })?;
        let is_listed = pool.clients.admits(caller.client_id);
        witness.see("client", demand(is_listed, Rejection::ClientNotAllowed), || {
            explanation::client(caller.client_id, pool)
        })
    }

    /// Whether the route takes tokens of this kind.
    pub(crate) fn check_token_use(&self, token_use: TokenUse) -> Result<(), Rejection> {
        demand(self.token_use.admits(token_use), Rejection::TokenUseMismatch)
    }

    /// The rules about what the caller was granted: evaluated on verified claims only.
    pub(crate) fn check_grants(&self, identity: &Identity, witness: &mut impl Witness) -> Result<(), Rejection> {
        if !self.scopes_any.is_empty() {
            let has_one = identity.scope_bytes().any(|scope| contains(&self.scopes_any, scope));
            witness.see("scope", demand(has_one, Rejection::ScopeMissing), || {
                explanation::one_of(identity.scopes(), &self.scopes_any)
            })?;
        }
        if !self.groups_any.is_empty() {
            let is_in_one = identity.group_bytes().any(|group| contains(&self.groups_any, group));
            witness.see("cognito:groups", demand(is_in_one, Rejection::GroupMissing), || {
                explanation::one_of(identity.groups(), &self.groups_any)
            })?;
        }
        Ok(())
    }
}

const fn demand(is_met: bool, rejection: Rejection) -> Result<(), Rejection> {
    if is_met { Ok(()) } else { Err(rejection) }
}

fn contains(allowed: &[Box<str>], found: &[u8]) -> bool {
    allowed.iter().any(|one| one.as_bytes() == found)
}
