//! Why a request is refused: a closed set, one variant a rule.
//!
//! The words of [`Rejection::reason`] are public: they are the same in metrics, in `explain` and in the response. What status a reason becomes is the business of whoever answers the request, not of this crate.

use std::fmt;

/// The rule that a request did not meet. Holds nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The JOSE header's `alg` is not exactly `RS256` (RFC 7518 section 3.3; Cognito signs with nothing else).
    AlgNotAllowed,
    /// The pool does not list the app client: `aud` of an ID token, `client_id` of an access token.
    ClientNotAllowed,
    /// The caller is in none of the groups that the route asks for.
    GroupMissing,
    /// `iss` is not an issuer of a pool that the route accepts.
    IssuerUnknown,
    /// There is no key set to decide with, or it is older than `max_stale`, or what is revoked is not known yet.
    /// Undecidable is not unauthorized.
    KeysUnavailable,
    /// No key of the issuer has this `kid`.
    KidUnknown,
    /// The access token has none of the scopes that the route asks for.
    ScopeMissing,
    /// The signature does not fit the header and payload under the key that `kid` names.
    SignatureInvalid,
    /// `exp` has passed (RFC 7519 section 4.1.4).
    TokenExpired,
    /// Not a compact JWS of the shape that Cognito issues, or a claim is absent or of the wrong type.
    TokenMalformed,
    /// No token where the configuration says that one is read.
    TokenMissing,
    /// `nbf` lies in the future (RFC 7519 section 4.1.5).
    TokenNotYetValid,
    /// The token, its session or its user is on the [`RevocationList`](crate::revocation::RevocationList).
    TokenRevoked,
    /// Longer than [`MAX_TOKEN_BYTES`](crate::token::MAX_TOKEN_BYTES).
    TokenTooLarge,
    /// `token_use` is not the kind of token that the route asks for.
    TokenUseMismatch,
}

impl Rejection {
    /// Every rejection, for tables that have a place for each.
    pub const ALL: [Self; 15] = [
        Self::AlgNotAllowed,
        Self::ClientNotAllowed,
        Self::GroupMissing,
        Self::IssuerUnknown,
        Self::KeysUnavailable,
        Self::KidUnknown,
        Self::ScopeMissing,
        Self::SignatureInvalid,
        Self::TokenExpired,
        Self::TokenMalformed,
        Self::TokenMissing,
        Self::TokenNotYetValid,
        Self::TokenRevoked,
        Self::TokenTooLarge,
        Self::TokenUseMismatch,
    ];

    /// The stable word for this rule, in `snake_case`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::AlgNotAllowed => "alg_not_allowed",
            Self::ClientNotAllowed => "client_not_allowed",
            Self::GroupMissing => "group_missing",
            Self::IssuerUnknown => "issuer_unknown",
            Self::KeysUnavailable => "keys_unavailable",
            Self::KidUnknown => "kid_unknown",
            Self::ScopeMissing => "scope_missing",
            Self::SignatureInvalid => "signature_invalid",
            Self::TokenExpired => "token_expired",
            Self::TokenMalformed => "token_malformed",
            Self::TokenMissing => "token_missing",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenRevoked => "token_revoked",
            Self::TokenTooLarge => "token_too_large",
            Self::TokenUseMismatch => "token_use_mismatch",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.reason())
    }
}

impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_rejection_has_a_reason_of_its_own() {
        let reasons: HashSet<_> = Rejection::ALL.iter().map(|rejection| rejection.reason()).collect();
        assert_eq!(reasons.len(), Rejection::ALL.len());
    }
}
