//! The challenges of RFC 6750 section 3: what a client is told about a refused token.

use cognigate_auth::{policy::Policy, rejection::Rejection};
use http::HeaderValue;

/// The value of `WWW-Authenticate`, or none where the caller is not the problem.
///
/// Section 3.1: a request without a token gets no error code; `invalid_token` is for one that cannot be accepted,
/// `insufficient_scope` for one that may not do this, with the scopes that would.
pub(super) fn challenge(rejection: Rejection, policy: Option<&Policy>) -> Option<HeaderValue> {
    match rejection {
        Rejection::AlgNotAllowed
        | Rejection::ClientNotAllowed
        | Rejection::IssuerUnknown
        | Rejection::KidUnknown
        | Rejection::SignatureInvalid
        | Rejection::TokenExpired
        | Rejection::TokenMalformed
        | Rejection::TokenNotYetValid
        | Rejection::TokenTooLarge
        | Rejection::TokenUseMismatch => value(&error("invalid_token", rejection)),
        Rejection::GroupMissing | Rejection::ScopeMissing => {
            let error = error("insufficient_scope", rejection);
            let scopes = policy.map_or(&[][..], |policy| &policy.scopes_any);
            if scopes.is_empty() { value(&error) } else { value(&format!(r#"{error}, scope="{}""#, scopes.join(" "))) }
        }
        Rejection::KeysUnavailable => None,
        Rejection::TokenMissing => Some(HeaderValue::from_static(r#"Bearer realm="cognigate""#)),
    }
}

fn error(code: &str, rejection: Rejection) -> String {
    format!(r#"Bearer realm="cognigate", error="{code}", error_description="{}""#, rejection.reason())
}

/// Scopes are checked when the configuration is read, so every challenge is a header value.
fn value(challenge: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(challenge).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cognigate_auth::policy::TokenUseRule;

    #[test]
    fn rfc6750_3_challenges() {
        let policy = Policy {
            user_pools: Box::default(),
            token_use: TokenUseRule::Access,
            scopes_any: ["items/read".into(), "items/write".into()].into(),
            groups_any: Box::default(),
        };
        for (rejection, expected) in [
            (Rejection::TokenMissing, Some(r#"Bearer realm="cognigate""#)),
            (
                Rejection::TokenExpired,
                Some(r#"Bearer realm="cognigate", error="invalid_token", error_description="token_expired""#),
            ),
            (
                Rejection::ScopeMissing,
                Some(
                    r#"Bearer realm="cognigate", error="insufficient_scope", error_description="scope_missing", scope="items/read items/write""#,
                ),
            ),
            (Rejection::KeysUnavailable, None),
        ] {
            let challenge = challenge(rejection, Some(&policy));
            assert_eq!(challenge.as_ref().map(|value| value.to_str().unwrap()), expected, "{rejection}");
        }
    }
}
