//! The profile `rfc6750`: statuses as RFC 9110 section 15 has them, challenges as RFC 6750 section 3 has them.

use cognigate_auth::{policy::Policy, rejection::Rejection};
use http::{HeaderValue, StatusCode};
use pingora_core::Result;
use pingora_http::ResponseHeader;

use super::{
    Answer,
    refusal::{Refusal, Standing, standing},
};

/// The fields that a page has to read to understand a refusal.
pub(super) const FIELDS: [&str; 3] = ["www-authenticate", "retry-after", "x-request-id"];

/// Status and body. 401 and 403: RFC 6750 section 3.1. 503 where it is unknown who calls is our choice.
pub(super) const fn answer(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::Ambiguous(_) | Refusal::BadRequest => {
            Answer { status: StatusCode::BAD_REQUEST, body: r#"{"message":"Bad Request"}"# }
        }
        Refusal::BadGateway => Answer { status: StatusCode::BAD_GATEWAY, body: r#"{"message":"Bad Gateway"}"# },
        Refusal::BodyTooLarge => {
            Answer { status: StatusCode::PAYLOAD_TOO_LARGE, body: r#"{"message":"Payload Too Large"}"# }
        }
        Refusal::GatewayTimeout | Refusal::RequestTimeout => {
            Answer { status: StatusCode::GATEWAY_TIMEOUT, body: r#"{"message":"Gateway Timeout"}"# }
        }
        Refusal::HeaderTooLarge | Refusal::HeadersTooMany => Answer {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            body: r#"{"message":"Request Header Fields Too Large"}"#,
        },
        Refusal::Internal => {
            Answer { status: StatusCode::INTERNAL_SERVER_ERROR, body: r#"{"message":"Internal Server Error"}"# }
        }
        Refusal::NoRoute => Answer { status: StatusCode::NOT_FOUND, body: r#"{"message":"Not Found"}"# },
        Refusal::OriginNotAllowed => Answer { status: StatusCode::FORBIDDEN, body: r#"{"message":"Forbidden"}"# },
        Refusal::FailedAuthLimit { .. } | Refusal::RateLimited { .. } => {
            Answer { status: StatusCode::TOO_MANY_REQUESTS, body: r#"{"message":"Too Many Requests"}"# }
        }
        Refusal::UpstreamUnavailable => {
            Answer { status: StatusCode::SERVICE_UNAVAILABLE, body: r#"{"message":"Service Unavailable"}"# }
        }
        Refusal::UriTooLong => Answer { status: StatusCode::URI_TOO_LONG, body: r#"{"message":"URI Too Long"}"# },
        Refusal::Rejected(rejection) => match standing(rejection) {
            Standing::Anonymous | Standing::Invalid => {
                Answer { status: StatusCode::UNAUTHORIZED, body: r#"{"message":"Unauthorized"}"# }
            }
            Standing::Insufficient => Answer { status: StatusCode::FORBIDDEN, body: r#"{"message":"Forbidden"}"# },
            Standing::Unknown => {
                Answer { status: StatusCode::SERVICE_UNAVAILABLE, body: r#"{"message":"Service Unavailable"}"# }
            }
        },
    }
}

/// Adds `WWW-Authenticate`, where a token would help.
pub(super) fn add_fields(header: &mut ResponseHeader, refusal: Refusal, policy: Option<&Policy>) -> Result<()> {
    let Refusal::Rejected(rejection) = refusal else { return Ok(()) };
    match challenge(rejection, policy) {
        Some(challenge) => header.insert_header("WWW-Authenticate", challenge),
        None => Ok(()),
    }
}

/// The value of `WWW-Authenticate`, or none where the caller is not the problem.
///
/// Section 3.1: a request without a token gets no error code; `invalid_token` is for one that cannot be accepted,
/// `insufficient_scope` for one that may not do this, with the scopes that would.
fn challenge(rejection: Rejection, policy: Option<&Policy>) -> Option<HeaderValue> {
    match standing(rejection) {
        Standing::Anonymous => Some(HeaderValue::from_static(r#"Bearer realm="cognigate""#)),
        Standing::Insufficient => {
            let error = error("insufficient_scope", rejection);
            let scopes = policy.map_or(&[][..], |policy| &policy.scopes_any);
            if scopes.is_empty() { value(&error) } else { value(&format!(r#"{error}, scope="{}""#, scopes.join(" "))) }
        }
        Standing::Invalid => value(&error("invalid_token", rejection)),
        Standing::Unknown => None,
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
    use crate::response::fixture::{EVERY_FAULT, policy};

    #[test]
    fn rfc6750_3_1_statuses() {
        for rejection in Rejection::ALL {
            let status = answer(Refusal::Rejected(rejection)).status.as_u16();
            let expected = match rejection.reason() {
                "scope_missing" | "group_missing" => 403,
                "keys_unavailable" => 503,
                _ => 401,
            };
            assert_eq!(status, expected, "{rejection}");
        }
    }

    #[test]
    fn the_body_names_the_status() {
        for refusal in EVERY_FAULT.into_iter().chain(Rejection::ALL.map(Refusal::Rejected)) {
            let Answer { status, body } = answer(refusal);
            assert_eq!(body, format!(r#"{{"message":"{}"}}"#, status.canonical_reason().unwrap()), "{status}");
        }
    }

    #[test]
    fn rfc6750_3_challenges() {
        let policy = policy(&["items/read", "items/write"]);
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
