//! Every response that is made here, without an upstream.
//!
//! The one place where a refusal becomes a status, headers and a body. Each has a `Content-Length`, is never stored by a
//! cache, and keeps the connection wherever the next request can still be found on it.

mod rfc6750;

use std::time::Duration;

use bytes::Bytes;
use cognigate_auth::{policy::Policy, rejection::Rejection};
use http::{
    HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, EXPECT, RETRY_AFTER, WWW_AUTHENTICATE},
};
use pingora_core::{Error, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use pingora_timeout::timeout;

use crate::{config::model::Profile, filter::hygiene::Fault};

/// How soon a client may ask again when keys are missing, in seconds. The first retries of a key fetch follow each other
/// within that time.
const RETRY_AFTER_SECONDS: u32 = 5;

/// The largest unread request body that is read and dropped to keep a connection, in bytes.
const MAX_DISCARDED_BODY_BYTES: u64 = 64 * 1024;

/// How long such a body may take to arrive.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a request is answered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It could be understood in two ways.
    Ambiguous(Fault),
    /// The upstream could not be reached or broke off.
    BadGateway,
    /// The client's request broke off or could not be read.
    BadRequest,
    /// The upstream took too long.
    GatewayTimeout,
    /// A fault of our own.
    Internal,
    /// No route matches.
    NoRoute,
    /// The caller may not use the route.
    Rejected(Rejection),
}

impl Refusal {
    /// The one place where a reason becomes a status. 401 and 403: RFC 6750 section 3.1. 503 is our choice: undecidable is
    /// not unauthorized.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Ambiguous(_) | Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Rejected(rejection) => rejected_status(rejection),
        }
    }

    const fn keeps_connection(self) -> bool {
        match self {
            Self::Ambiguous(fault) => !fault.closes_connection(),
            Self::BadGateway | Self::BadRequest | Self::GatewayTimeout | Self::Internal => false,
            Self::NoRoute | Self::Rejected(_) => true,
        }
    }
}

const fn rejected_status(rejection: Rejection) -> StatusCode {
    match rejection {
        Rejection::AlgNotAllowed
        | Rejection::ClientNotAllowed
        | Rejection::IssuerUnknown
        | Rejection::KidUnknown
        | Rejection::SignatureInvalid
        | Rejection::TokenExpired
        | Rejection::TokenMalformed
        | Rejection::TokenMissing
        | Rejection::TokenNotYetValid
        | Rejection::TokenTooLarge
        | Rejection::TokenUseMismatch => StatusCode::UNAUTHORIZED,
        Rejection::GroupMissing | Rejection::ScopeMissing => StatusCode::FORBIDDEN,
        Rejection::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Makes responses in the words of one profile.
#[derive(Clone, Copy, Debug)]
pub struct Responder {
    profile: Profile,
}

impl Responder {
    /// Answers as `profile` says.
    #[must_use]
    pub const fn new(profile: Profile) -> Self {
        Self { profile }
    }

    /// Answers a request with a refusal. `policy` is the route's, where there is one.
    ///
    /// # Errors
    ///
    /// Pingora's, if the client is gone.
    pub async fn refuse(self, session: &mut Session, refusal: Refusal, policy: Option<&Policy>) -> Result<()> {
        let body = message(refusal.status());
        let header = self.header(refusal, policy, body.len())?;
        let keeps_connection = refusal.keeps_connection() && discard_request_body(session).await;
        if !keeps_connection {
            session.set_keepalive(None);
        }
        let has_body = session.req_header().method != Method::HEAD;
        session.write_response_header(Box::new(header), false).await?;
        session.write_response_body(has_body.then_some(body), true).await
    }

    fn header(self, refusal: Refusal, policy: Option<&Policy>, content_length: usize) -> Result<ResponseHeader> {
        let mut header = ResponseHeader::build_no_case(refusal.status(), Some(5))?;
        header.insert_header(CONTENT_TYPE, HeaderValue::from_static("application/json"))?;
        header.set_content_length(content_length)?;
        header.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
        if let Refusal::Rejected(rejection) = refusal {
            let challenge = match self.profile {
                Profile::Rfc6750 => rfc6750::challenge(rejection, policy),
            };
            if let Some(challenge) = challenge {
                header.insert_header(WWW_AUTHENTICATE, challenge)?;
            }
            if rejection == Rejection::KeysUnavailable {
                header.insert_header(RETRY_AFTER, RETRY_AFTER_SECONDS)?;
            }
        }
        Ok(header)
    }
}

/// The body: one member `message`, as clients of API Gateway expect it.
fn message(status: StatusCode) -> Bytes {
    let text: &'static str = match status {
        StatusCode::BAD_GATEWAY => r#"{"message":"Bad Gateway"}"#,
        StatusCode::BAD_REQUEST => r#"{"message":"Bad Request"}"#,
        StatusCode::FORBIDDEN => r#"{"message":"Forbidden"}"#,
        StatusCode::GATEWAY_TIMEOUT => r#"{"message":"Gateway Timeout"}"#,
        StatusCode::NOT_FOUND => r#"{"message":"Not Found"}"#,
        StatusCode::SERVICE_UNAVAILABLE => r#"{"message":"Service Unavailable"}"#,
        StatusCode::UNAUTHORIZED => r#"{"message":"Unauthorized"}"#,
        _ => r#"{"message":"Internal Server Error"}"#,
    };
    Bytes::from_static(text.as_bytes())
}

/// Reads and drops what is left of the request, if that is little and certain to come. Says whether the connection can be
/// used again.
///
/// A client that waits for `100 Continue` may never send its body, and where a chunked one ends is not known beforehand.
async fn discard_request_body(session: &mut Session) -> bool {
    if session.is_body_empty() {
        return true;
    }
    let request = session.req_header();
    let length =
        request.headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let is_small = length.is_some_and(|length| length <= MAX_DISCARDED_BODY_BYTES);
    if !is_small || request.headers.contains_key(EXPECT) {
        return false;
    }
    let discarded = timeout(DISCARD_TIMEOUT, async {
        while let Some(_chunk) = session.read_request_body().await? {}
        Ok::<_, Box<Error>>(())
    });
    matches!(discarded.await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6750_3_1_statuses() {
        for rejection in Rejection::ALL {
            let status = Refusal::Rejected(rejection).status().as_u16();
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
        let faults =
            [Refusal::BadGateway, Refusal::BadRequest, Refusal::GatewayTimeout, Refusal::Internal, Refusal::NoRoute];
        for refusal in faults.into_iter().chain(Rejection::ALL.map(Refusal::Rejected)) {
            let status = refusal.status();
            let expected = format!(r#"{{"message":"{}"}}"#, status.canonical_reason().unwrap());
            assert_eq!(message(status), expected.as_bytes(), "{status}");
        }
    }
}
