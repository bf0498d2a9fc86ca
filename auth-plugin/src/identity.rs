//! The verified caller.

mod forwarded;
mod texts;

use std::{fmt, sync::Arc};

use http::HeaderValue;
use smallvec::SmallVec;

pub use self::forwarded::ForwardedClaims;
use self::texts::Texts;
use crate::{
    claims::{Caller, Claims, Lifetime},
    clock::UnixSeconds,
    identity::forwarded::ForwardedValues,
    json::Text,
    policy::TokenUse,
    pool::UserPool,
};

/// Who calls: read from a token whose signature and claims were checked.
#[derive(Clone)]
pub struct Identity {
    pool: Arc<UserPool>,
    token_use: TokenUse,
    has_jti: bool,
    has_origin_jti: bool,
    /// How many of the listed texts are scopes. The others are groups.
    scope_count: usize,
    lifetime: Lifetime,
    texts: Texts,
    forwarded: ForwardedValues,
}

/// Where each text is.
const SUB: usize = 0;
const JTI: usize = 1;
const ORIGIN_JTI: usize = 2;
const CLIENT_ID: usize = 3;

impl Identity {
    pub(crate) fn new(
        pool: &Arc<UserPool>,
        caller: Caller<'_>,
        claims: &Claims<'_>,
        forwarded: ForwardedValues,
    ) -> Self {
        // What a trigger calls `scope` in an ID token was granted by nobody.
        let scope = match caller.token_use {
            TokenUse::Access => &*claims.scope,
            TokenUse::Id => "",
        };
        let [jti, origin_jti] = [&claims.jti, &claims.origin_jti].map(|id| id.as_ref().map(Text::as_ref));
        let [jti_text, origin_jti_text] = [jti, origin_jti].map(Option::unwrap_or_default);
        let fixed = [&*claims.sub, jti_text, origin_jti_text, caller.client_id];
        let mut list: SmallVec<[&str; texts::USUAL_LIST]> =
            scope.split(' ').filter(|scope| !scope.is_empty()).collect();
        let scope_count = list.len();
        list.extend(claims.groups.0.iter().map(Text::as_ref));
        Self {
            pool: Arc::clone(pool),
            token_use: caller.token_use,
            has_jti: jti.is_some(),
            has_origin_jti: origin_jti.is_some(),
            scope_count,
            lifetime: claims.lifetime(),
            texts: Texts::new(fixed, &list),
            forwarded,
        }
    }

    /// The pool that vouches for the caller.
    #[must_use]
    pub fn pool(&self) -> &UserPool {
        &self.pool
    }

    /// The kind of token that was shown.
    #[must_use]
    pub const fn token_use(&self) -> TokenUse {
        self.token_use
    }

    /// `sub`: the user, or the client in a client credentials token.
    #[must_use]
    pub fn sub(&self) -> &str {
        self.texts.fixed(SUB)
    }

    /// The app client: `aud` of an ID token, `client_id` of an access token.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.texts.fixed(CLIENT_ID)
    }

    /// The scopes of an access token; an ID token has none.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.texts.list().take(self.scope_count)
    }

    /// The same as bytes, which are found and compared in half the time.
    pub(crate) fn scope_bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.texts.list_bytes().take(self.scope_count)
    }

    /// The groups that the user is in.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.texts.list().skip(self.scope_count)
    }

    /// The same as bytes.
    pub(crate) fn group_bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.texts.list_bytes().skip(self.scope_count)
    }

    /// The id of the token, where revocation is enabled for the app client.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.has_jti.then(|| self.texts.fixed(JTI))
    }

    /// The id of the session, constant over refreshes.
    #[must_use]
    pub fn origin_jti(&self) -> Option<&str> {
        self.has_origin_jti.then(|| self.texts.fixed(ORIGIN_JTI))
    }

    /// When the token was issued.
    #[must_use]
    pub const fn issued_at(&self) -> Option<UnixSeconds> {
        self.lifetime.issued_at
    }

    /// When the token dies.
    #[must_use]
    pub const fn expires_at(&self) -> UnixSeconds {
        self.lifetime.expires_at
    }

    pub(crate) const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// The values of the [`ForwardedClaims`], in their order; `None` where the token lacks the claim.
    #[must_use]
    pub fn forwarded(&self) -> &[Option<HeaderValue>] {
        self.forwarded.as_slice()
    }

    /// Reads of each block that a request reads.
    pub(crate) fn touch(&self) -> impl Sized {
        (self.texts.touch(), self.forwarded.touch())
    }

    /// The sizes of what it has on the heap, one for each allocation, for the cache's account.
    pub(crate) fn heap_blocks(&self) -> impl Iterator<Item = usize> {
        self.texts.heap_blocks().into_iter().chain(self.forwarded.heap_blocks())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Identity")
            .field("pool", &self.pool.name)
            .field("token_use", &self.token_use)
            .field("sub", &self.sub())
            .field("client_id", &self.client_id())
            .field("scopes", &self.scopes().collect::<Vec<_>>())
            .field("groups", &self.groups().collect::<Vec<_>>())
            .field("jti", &self.jti())
            .field("origin_jti", &self.origin_jti())
            .field("lifetime", &self.lifetime)
            .field("forwarded", &self.forwarded)
            .finish()
    }
}
