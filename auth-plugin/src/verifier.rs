//! A token, keys and a moment become an identity or a rejection: pure, and the same answer each time.
//!
//! The order is fixed and cheap rules come first, so that a forged token costs a signature check only if everything else
//! about it is right: shape, header, issuer, pool, keys, key name, times, kind of token, client, signature. What the caller
//! was granted is judged later, by [`Policy::check_grants`](crate::policy::Policy).

use std::sync::Arc;

use crate::{
    claims::Claims,
    clock::UnixSeconds,
    header::JoseHeader,
    identity::{ForwardedClaims, Identity},
    keys::key_set::KeySet,
    policy::Policy,
    pool::UserPool,
    rejection::Rejection,
    signature::VerifyingKey,
    token::{CompactToken, RawToken},
};

/// The decoded text of a token. Nothing in it is known to be true.
pub(crate) struct DecodedToken<'r> {
    compact: CompactToken<'r>,
    header: String,
    payload: String,
}

/// A token that was read. Nothing in it is known to be true.
pub(crate) struct UnverifiedToken<'d> {
    compact: CompactToken<'d>,
    header: JoseHeader<'d>,
    payload: &'d str,
    claims: Claims<'d>,
}

impl<'r> DecodedToken<'r> {
    /// Splits and decodes a token.
    ///
    /// # Errors
    ///
    /// [`Rejection::TokenTooLarge`], [`Rejection::TokenMalformed`].
    pub(crate) fn decode(token: RawToken<'r>) -> Result<Self, Rejection> {
        let compact = CompactToken::parse(token)?;
        Ok(Self { compact, header: compact.header_json()?, payload: compact.payload_json()? })
    }

    /// Reads header and claims.
    ///
    /// # Errors
    ///
    /// [`Rejection::AlgNotAllowed`], [`Rejection::TokenMalformed`].
    pub(crate) fn read(&self) -> Result<UnverifiedToken<'_>, Rejection> {
        let header = JoseHeader::parse(&self.header)?;
        let claims = Claims::parse(&self.payload)?;
        Ok(UnverifiedToken { compact: self.compact, header, payload: &self.payload, claims })
    }
}

impl UnverifiedToken<'_> {
    /// Who is said to have issued the token.
    pub(crate) fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// Applies the rules from the key's name on; the issuer must be `pool`'s, and `keys` its keys.
    ///
    /// # Errors
    ///
    /// The first rule that is not met.
    pub(crate) fn verify(
        &self,
        pool: &Arc<UserPool>,
        keys: &KeySet,
        policy: &Policy,
        forwarded: &ForwardedClaims,
        now: UnixSeconds,
    ) -> Result<(Identity, Arc<VerifyingKey>), Rejection> {
        let key = keys.find(&self.header.kid).ok_or(Rejection::KidUnknown)?;
        self.claims.lifetime().check(now, pool.clock_skew.as_secs())?;
        let caller = self.claims.caller()?;
        policy.check_caller(pool, caller)?;
        key.verify(self.compact.signing_input(), &self.compact.signature()?)?;
        let forwarded = forwarded.read(self.payload)?;
        Ok((Identity::new(pool, caller, &self.claims, forwarded), Arc::clone(key)))
    }
}
