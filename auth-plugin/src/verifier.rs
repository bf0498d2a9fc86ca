//! A token, keys and a moment become an identity or a rejection: pure, and the same answer each time.
//!
//! The order is fixed and cheap rules come first, so that a forged token costs a signature check only if everything else
//! about it is right: shape, header, issuer, pool, keys, key name, times, kind of token, client, signature. What the caller
//! was granted is judged later, by [`Policy::check_grants`](crate::policy::Policy).

use std::sync::Arc;

use crate::{
    claims::Claims,
    clock::UnixSeconds,
    explanation::{self, Silent, Witness},
    header::JoseHeader,
    identity::{ForwardedClaims, Identity},
    json::Kept,
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
    claims: Claims<'d>,
    forwarded: Kept<'d, 'd>,
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

    /// Reads header and claims, and keeps those that are to be forwarded.
    ///
    /// # Errors
    ///
    /// [`Rejection::AlgNotAllowed`], [`Rejection::TokenMalformed`].
    pub(crate) fn read<'d>(
        &'d self,
        forwarded: &'d ForwardedClaims,
        witness: &mut impl Witness,
    ) -> Result<UnverifiedToken<'d>, Rejection> {
        let header = JoseHeader::parse(&self.header);
        let header = witness.see("header", header, || format!("{:?}; alg must be RS256", self.header))?;
        let claims = Claims::parse_keeping(&self.payload, forwarded.names()).map_err(|_| Rejection::TokenMalformed);
        // Whoever wants to know what is wrong, and where, has the claims read once more.
        let fault = || Claims::parse(&self.payload).err();
        let (claims, forwarded) = witness.see("claims", claims, || explanation::claims(fault().as_ref()))?;
        Ok(UnverifiedToken { compact: self.compact, header, claims, forwarded })
    }
}

impl UnverifiedToken<'_> {
    /// Who is said to have issued the token.
    pub(crate) fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// Whether only the key stands between the token and its signature check: it is alive, and one that the route takes.
    pub(crate) fn is_due_a_key(&self, pool: &UserPool, policy: &Policy, now: UnixSeconds) -> bool {
        let is_alive = self.claims.lifetime().check(now, pool.clock_skew.as_secs()).is_ok();
        is_alive && self.claims.caller().is_ok_and(|caller| policy.check_caller(pool, caller, &mut Silent).is_ok())
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
        now: UnixSeconds,
        witness: &mut impl Witness,
    ) -> Result<(Identity, Arc<VerifyingKey>), Rejection> {
        let kid = &self.header.kid;
        let key = witness.see("kid", keys.find(kid).ok_or(Rejection::KidUnknown), || {
            format!("{kid:?}; the issuer publishes {:?}", keys.kids().collect::<Vec<_>>())
        })?;
        let lifetime = self.claims.lifetime();
        witness
            .see("exp", lifetime.check(now, pool.clock_skew.as_secs()), || lifetime.compared(now, pool.clock_skew))?;
        let caller = witness.see("kind", self.claims.caller(), || self.claims.compared_kind())?;
        policy.check_caller(pool, caller, witness)?;
        let signature = self.compact.signature();
        let outcome = signature.and_then(|signature| key.verify(self.compact.signing_input(), &signature));
        witness.see("signature", outcome, || format!("RS256 under key {kid:?}, {key:?}"))?;
        let forwarded =
            witness.see("identity", ForwardedClaims::values(&self.forwarded), || "each forwarded claim once".into())?;
        Ok((Identity::new(pool, caller, &self.claims, forwarded), Arc::clone(key)))
    }
}
