//! The profile `aws-http`: what clients of an API Gateway HTTP API with a JWT authorizer get.
//!
//! The challenge has no commas between its parameters, although RFC 9110 section 11.6.1 asks for them: that is how API
//! Gateway writes it, and what clients of it look for. Where its description of an error is known it is this one's, elsewhere
//! it is our word for the reason.

use cognigate_auth::{policy::Policy, rejection::Rejection};
use http::{HeaderValue, StatusCode};
use pingora_core::Result;
use pingora_http::ResponseHeader;

use super::{
    Answer,
    refusal::{Refusal, Standing, standing},
    rfc6750,
};

/// The fields that a page has to read to understand a refusal.
pub(super) const FIELDS: [&str; 4] = ["www-authenticate", "apigw-requestid", "retry-after", "x-request-id"];

/// Status and body: those of `rfc6750` but for what its gateway words differently.
pub(super) const fn answer(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::BadGateway | Refusal::GatewayTimeout | Refusal::RequestTimeout | Refusal::UpstreamUnavailable => {
            Answer { status: StatusCode::SERVICE_UNAVAILABLE, body: r#"{"message":"Service Unavailable"}"# }
        }
        Refusal::BodyTooLarge => {
            Answer { status: StatusCode::PAYLOAD_TOO_LARGE, body: r#"{"message":"Request Entity Too Large"}"# }
        }
        Refusal::Ambiguous(_)
        | Refusal::BadRequest
        | Refusal::FailedAuthLimit { .. }
        | Refusal::HeaderTooLarge
        | Refusal::HeadersTooMany
        | Refusal::Internal
        | Refusal::NoRoute
        | Refusal::OriginNotAllowed
        | Refusal::RateLimited { .. }
        | Refusal::Rejected(_)
        | Refusal::UriTooLong => rfc6750::answer(refusal),
    }
}

/// Adds the challenge, where a token would help, and the request's id.
pub(super) fn add_fields(
    header: &mut ResponseHeader,
    refusal: Refusal,
    policy: Option<&Policy>,
    request_id: &HeaderValue,
) -> Result<()> {
    header.insert_header("apigw-requestid", request_id.clone())?;
    let Refusal::Rejected(rejection) = refusal else { return Ok(()) };
    match challenge(rejection, policy) {
        Some(challenge) => header.insert_header("www-authenticate", challenge),
        None => Ok(()),
    }
}

fn challenge(rejection: Rejection, policy: Option<&Policy>) -> Option<String> {
    let scopes = policy.map_or_else(String::new, |policy| policy.scopes_any.join(" "));
    let error = match standing(rejection) {
        Standing::Anonymous => return Some("Bearer".to_owned()),
        Standing::Insufficient => "insufficient_scope",
        Standing::Invalid => "invalid_token",
        Standing::Unknown => return None,
    };
    let description = description(rejection, &scopes);
    Some(format!(r#"Bearer scope="{scopes}" error="{error}" error_description="{description}""#))
}

/// An audience that does not fit: developer guide, "Troubleshooting issues with HTTP API JWT authorizers". Expired tokens and
/// missing scopes: as others have published what they got.
fn description(rejection: Rejection, scopes: &str) -> String {
    if rejection == Rejection::ClientNotAllowed {
        "the token does not have a valid audience".to_owned()
    } else if rejection == Rejection::TokenExpired {
        "the token has expired".to_owned()
    } else if rejection == Rejection::ScopeMissing {
        format!("expected scopes: [{scopes}]")
    } else {
        rejection.reason().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::fixture::{policy, shown};

    #[test]
    fn each_refusal_has_its_status_and_message() {
        for (refusal, status, message) in [
            (Refusal::BadRequest, 400, "Bad Request"),
            (Refusal::BadGateway, 503, "Service Unavailable"),
            (Refusal::UpstreamUnavailable, 503, "Service Unavailable"),
            (Refusal::GatewayTimeout, 503, "Service Unavailable"),
            (Refusal::Internal, 500, "Internal Server Error"),
            (Refusal::BodyTooLarge, 413, "Request Entity Too Large"),
            (Refusal::NoRoute, 404, "Not Found"),
            (Refusal::RateLimited { retry_after: 1 }, 429, "Too Many Requests"),
        ] {
            assert_eq!(shown(&answer(refusal)), (status, format!(r#"{{"message":"{message}"}}"#)), "{refusal:?}");
        }
        for rejection in Rejection::ALL {
            let (status, message) = match rejection.reason() {
                "group_missing" | "scope_missing" => (403, "Forbidden"),
                "keys_unavailable" => (503, "Service Unavailable"),
                _ => (401, "Unauthorized"),
            };
            let found = shown(&answer(Refusal::Rejected(rejection)));
            assert_eq!(found, (status, format!(r#"{{"message":"{message}"}}"#)), "{rejection}");
        }
    }

    #[test]
    fn challenges_are_written_as_api_gateway_writes_them() {
        let (scoped, open) = (policy(&["items/read", "items/write"]), policy(&[]));
        for (rejection, policy, expected) in [
            (Rejection::TokenMissing, &scoped, Some("Bearer")),
            (
                Rejection::ClientNotAllowed,
                &open,
                Some(
                    r#"Bearer scope="" error="invalid_token" error_description="the token does not have a valid audience""#,
                ),
            ),
            (
                Rejection::TokenExpired,
                &scoped,
                Some(
                    r#"Bearer scope="items/read items/write" error="invalid_token" error_description="the token has expired""#,
                ),
            ),
            (
                Rejection::SignatureInvalid,
                &open,
                Some(r#"Bearer scope="" error="invalid_token" error_description="signature_invalid""#),
            ),
            (
                Rejection::ScopeMissing,
                &scoped,
                Some(
                    r#"Bearer scope="items/read items/write" error="insufficient_scope" error_description="expected scopes: [items/read items/write]""#,
                ),
            ),
            (
                Rejection::GroupMissing,
                &open,
                Some(r#"Bearer scope="" error="insufficient_scope" error_description="group_missing""#),
            ),
            (Rejection::KeysUnavailable, &open, None),
        ] {
            assert_eq!(challenge(rejection, Some(policy)).as_deref(), expected, "{rejection}");
        }
    }
}
