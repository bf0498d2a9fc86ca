//! What becomes of a request: the reasons of the closed set, each with its status.

use std::fmt;

/// A reason, and the status that a client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) reason: &'static str,
    pub(crate) status: u16,
}

/// Where a verdict is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// As a decision on a route: `cognigate_auth_decisions_total`.
    Decided,
    /// As a request that was refused before anyone asked who calls: `cognigate_rejected_requests_total`.
    Rejected,
    /// As neither.
    Unmatched,
}

const fn verdict(reason: &'static str, status: u16) -> Verdict {
    Verdict { reason, status }
}

pub(crate) const OK: Verdict = verdict("ok", 200);
pub(crate) const OPEN: Verdict = verdict("open", 200);

pub(crate) const ALG: Verdict = verdict("alg_not_allowed", 401);
pub(crate) const CLIENT: Verdict = verdict("client_not_allowed", 401);
pub(crate) const EXPIRED: Verdict = verdict("token_expired", 401);
pub(crate) const ISSUER: Verdict = verdict("issuer_unknown", 401);
pub(crate) const KID: Verdict = verdict("kid_unknown", 401);
pub(crate) const MALFORMED: Verdict = verdict("token_malformed", 401);
pub(crate) const MISSING: Verdict = verdict("token_missing", 401);
pub(crate) const NOT_YET: Verdict = verdict("token_not_yet_valid", 401);
pub(crate) const REVOKED: Verdict = verdict("token_revoked", 401);
pub(crate) const SIGNATURE: Verdict = verdict("signature_invalid", 401);
pub(crate) const TOO_LARGE: Verdict = verdict("token_too_large", 401);
pub(crate) const USE: Verdict = verdict("token_use_mismatch", 401);

pub(crate) const GROUP: Verdict = verdict("group_missing", 403);
pub(crate) const SCOPE: Verdict = verdict("scope_missing", 403);

pub(crate) const KEYS: Verdict = verdict("keys_unavailable", 503);

pub(crate) const HOST: Verdict = verdict("host_ambiguous", 400);
pub(crate) const NO_ROUTE: Verdict = verdict("no_route", 404);
pub(crate) const PATH: Verdict = verdict("path_ambiguous", 400);
pub(crate) const TWO_TOKENS: Verdict = verdict("token_ambiguous", 400);

impl Verdict {
    /// Whether the request goes on to the upstream.
    pub(crate) fn is_admitted(self) -> bool {
        self == OK || self == OPEN
    }

    pub(crate) fn counted(self) -> Counted {
        match self.reason {
            "host_ambiguous" | "path_ambiguous" | "token_ambiguous" => Counted::Rejected,
            "no_route" => Counted::Unmatched,
            _ => Counted::Decided,
        }
    }

    /// The value of `WWW-Authenticate` up to what depends on the route (RFC 6750 section 3).
    pub(crate) fn challenge(self) -> Option<String> {
        let error =
            |error| format!(r#"Bearer realm="cognigate", error="{error}", error_description="{}""#, self.reason);
        match self.status {
            _ if self == MISSING => Some(r#"Bearer realm="cognigate""#.to_owned()),
            401 => Some(error("invalid_token")),
            403 => Some(error("insufficient_scope")),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.reason, self.status)
    }
}
