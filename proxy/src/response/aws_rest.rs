//! The profile `aws-rest`: what clients of an API Gateway REST API with a `COGNITO_USER_POOLS` authorizer get.
//!
//! Statuses, bodies and error types are those of its gateway responses (API Gateway developer guide, "Gateway response
//! types"). 401 is for everything that is wrong with a caller, scopes and groups included; there is no `WWW-Authenticate`.
//! What its edge would do and this does not: echo a token that was sent where no route is, and answer an unknown route that
//! way at all.

use cognigate_auth::rejection::Rejection;
use http::{HeaderValue, StatusCode};
use pingora_core::Result;
use pingora_http::ResponseHeader;

use super::{
    Answer,
    refusal::{Refusal, Standing, standing},
};

/// The fields that a page has to read to understand a refusal.
pub(super) const FIELDS: [&str; 4] = ["x-amzn-errortype", "x-amzn-requestid", "retry-after", "x-request-id"];

/// Status and body.
pub(super) const fn answer(refusal: Refusal) -> Answer {
    row(refusal).0
}

/// Adds the error type, and the request's id.
pub(super) fn add_fields(header: &mut ResponseHeader, refusal: Refusal, request_id: &HeaderValue) -> Result<()> {
    header.insert_header("x-amzn-RequestId", request_id.clone())?;
    header.insert_header("x-amzn-ErrorType", row(refusal).1)
}

/// Status, body and error type.
const fn row(refusal: Refusal) -> (Answer, &'static str) {
    let (status, body, error_type) = match refusal {
        Refusal::Ambiguous(_) | Refusal::BadRequest => {
            (StatusCode::BAD_REQUEST, r#"{"message":"Bad Request"}"#, "BadRequestException")
        }
        Refusal::BadGateway | Refusal::UpstreamUnavailable => (
            StatusCode::GATEWAY_TIMEOUT,
            r#"{"message":"Network error communicating with endpoint"}"#,
            "InternalServerErrorException",
        ),
        Refusal::BodyTooLarge => {
            (StatusCode::PAYLOAD_TOO_LARGE, r#"{"message":"Request Too Long"}"#, "RequestTooLargeException")
        }
        Refusal::GatewayTimeout | Refusal::RequestTimeout => {
            (StatusCode::GATEWAY_TIMEOUT, r#"{"message":"Endpoint request timed out"}"#, "InternalServerErrorException")
        }
        Refusal::HeaderTooLarge | Refusal::HeadersTooMany => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            r#"{"message":"Request Header Fields Too Large"}"#,
            "BadRequestException",
        ),
        Refusal::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            r#"{"message":"Internal server error"}"#,
            "InternalServerErrorException",
        ),
        Refusal::NoRoute => (
            StatusCode::FORBIDDEN,
            r#"{"message":"Missing Authentication Token"}"#,
            "MissingAuthenticationTokenException",
        ),
        Refusal::OriginNotAllowed => (StatusCode::FORBIDDEN, r#"{"message":"Forbidden"}"#, "ForbiddenException"),
        Refusal::FailedAuthLimit { .. } | Refusal::RateLimited { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, r#"{"message":"Too Many Requests"}"#, "TooManyRequestsException")
        }
        // API Gateway's own words for it (quotas, "Request URI too long").
        Refusal::UriTooLong => {
            (StatusCode::URI_TOO_LONG, r#"{"message":"Request URI too long"}"#, "BadRequestException")
        }
        // The one refusal that clients tell from the others, by this very text, to fetch a new token.
        Refusal::Rejected(Rejection::TokenExpired) => {
            (StatusCode::UNAUTHORIZED, r#"{"message":"The incoming token has expired"}"#, "UnauthorizedException")
        }
        Refusal::Rejected(rejection) => match standing(rejection) {
            Standing::Anonymous | Standing::Insufficient | Standing::Invalid => {
                (StatusCode::UNAUTHORIZED, r#"{"message":"Unauthorized"}"#, "UnauthorizedException")
            }
            Standing::Unknown => {
                (StatusCode::SERVICE_UNAVAILABLE, r#"{"message":"Service Unavailable"}"#, "ServiceUnavailableException")
            }
        },
    };
    (Answer { status, body }, error_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::fixture::shown;

    #[test]
    fn each_refusal_has_its_gateway_response() {
        for (refusal, status, message, error_type) in [
            (Refusal::BadRequest, 400, "Bad Request", "BadRequestException"),
            (Refusal::BadGateway, 504, "Network error communicating with endpoint", "InternalServerErrorException"),
            (
                Refusal::UpstreamUnavailable,
                504,
                "Network error communicating with endpoint",
                "InternalServerErrorException",
            ),
            (Refusal::GatewayTimeout, 504, "Endpoint request timed out", "InternalServerErrorException"),
            (Refusal::Internal, 500, "Internal server error", "InternalServerErrorException"),
            (Refusal::BodyTooLarge, 413, "Request Too Long", "RequestTooLargeException"),
            (Refusal::NoRoute, 403, "Missing Authentication Token", "MissingAuthenticationTokenException"),
            (Refusal::RateLimited { retry_after: 1 }, 429, "Too Many Requests", "TooManyRequestsException"),
            (Refusal::FailedAuthLimit { retry_after: 1 }, 429, "Too Many Requests", "TooManyRequestsException"),
        ] {
            let (answer, found) = row(refusal);
            assert_eq!(shown(&answer), (status, format!(r#"{{"message":"{message}"}}"#)), "{refusal:?}");
            assert_eq!(found, error_type, "{refusal:?}");
        }
    }

    #[test]
    fn everything_that_is_wrong_with_a_caller_is_401() {
        for rejection in Rejection::ALL {
            let (status, message, error_type) = match rejection.reason() {
                "keys_unavailable" => (503, "Service Unavailable", "ServiceUnavailableException"),
                "token_expired" => (401, "The incoming token has expired", "UnauthorizedException"),
                _ => (401, "Unauthorized", "UnauthorizedException"),
            };
            let (answer, found) = row(Refusal::Rejected(rejection));
            assert_eq!(shown(&answer), (status, format!(r#"{{"message":"{message}"}}"#)), "{rejection}");
            assert_eq!(found, error_type, "{rejection}");
        }
    }
}
