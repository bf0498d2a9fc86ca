//! Why a request is answered here.

use cognigate_auth::rejection::Rejection;
use http::StatusCode;

use super::rfc6750;
use crate::filter::hygiene::Fault;

/// How soon a client may ask again when keys are missing, in seconds. The first retries of a key fetch follow each other
/// within that time.
const KEYS_RETRY_SECONDS: u32 = 5;

/// How soon a client may ask again when no endpoint is in rotation, in seconds. How soon one comes back is not known.
const UPSTREAM_RETRY_SECONDS: u32 = 1;

/// Why a request is answered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It could be understood in two ways.
    Ambiguous(Fault),
    /// The upstream could not be reached or broke off.
    BadGateway,
    /// The client's request broke off or could not be read.
    BadRequest,
    /// The request's body is larger than allowed.
    BodyTooLarge,
    /// Too many forged or garbled tokens came from the client's address: nobody looks at another that is not remembered.
    FailedAuthLimit {
        /// How soon one is looked at again, in seconds.
        retry_after: u32,
    },
    /// The upstream took too long.
    GatewayTimeout,
    /// The fields of the request's head add up to more than is allowed.
    HeaderTooLarge,
    /// The request has more fields than are allowed.
    HeadersTooMany,
    /// A fault of our own.
    Internal,
    /// No route matches.
    NoRoute,
    /// A page that is not allowed to asks for a WebSocket with its reader's cookie.
    OriginNotAllowed,
    /// There were too many requests like it.
    RateLimited {
        /// How soon the client may ask again, in seconds.
        retry_after: u32,
    },
    /// The caller may not use the route.
    Rejected(Rejection),
    /// The request took longer than its route allows.
    RequestTimeout,
    /// No endpoint of the upstream is in rotation.
    UpstreamUnavailable,
    /// The request's target is longer than allowed.
    UriTooLong,
}

/// What a rejection says about the caller: the rows that every profile has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is no token.
    Anonymous,
    /// The token is good, but not enough.
    Insufficient,
    /// The token cannot be accepted.
    Invalid,
    /// Undecidable is not unauthorized.
    Unknown,
}

impl Refusal {
    /// The status that says what happened (RFC 9110 section 15, RFC 6750 section 3.1). Which one a client gets is for the
    /// profile to say: [`Responder::status`](super::Responder::status).
    #[must_use]
    pub const fn status(self) -> StatusCode {
        rfc6750::answer(self).status
    }

    /// The stable word for it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ambiguous(fault) => fault.reason(),
            Self::BadGateway => "bad_gateway",
            Self::BadRequest => "bad_request",
            Self::BodyTooLarge => "body_too_large",
            Self::FailedAuthLimit { .. } => "failed_auth_limit",
            Self::GatewayTimeout => "gateway_timeout",
            Self::HeaderTooLarge => "header_too_large",
            Self::HeadersTooMany => "headers_too_many",
            Self::Internal => "internal_error",
            Self::NoRoute => "no_route",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::RateLimited { .. } => "rate_limited",
            Self::Rejected(rejection) => rejection.reason(),
            Self::RequestTimeout => "request_timeout",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UriTooLong => "uri_too_long",
        }
    }

    /// How soon the client may ask again, in seconds, where waiting helps.
    pub(super) const fn retry_after(self) -> Option<u32> {
        match self {
            Self::FailedAuthLimit { retry_after } | Self::RateLimited { retry_after } => Some(retry_after),
            Self::Rejected(Rejection::KeysUnavailable) => Some(KEYS_RETRY_SECONDS),
            Self::UpstreamUnavailable => Some(UPSTREAM_RETRY_SECONDS),
            Self::Ambiguous(_)
            | Self::BadGateway
            | Self::BadRequest
            | Self::BodyTooLarge
            | Self::GatewayTimeout
            | Self::HeaderTooLarge
            | Self::HeadersTooMany
            | Self::Internal
            | Self::NoRoute
            | Self::OriginNotAllowed
            | Self::Rejected(_)
            | Self::RequestTimeout
            | Self::UriTooLong => None,
        }
    }

    pub(super) const fn keeps_connection(self) -> bool {
        match self {
            Self::Ambiguous(fault) => !fault.closes_connection(),
            Self::BadGateway
            | Self::BadRequest
            | Self::BodyTooLarge
            | Self::GatewayTimeout
            | Self::HeaderTooLarge
            | Self::HeadersTooMany
            | Self::Internal
            | Self::OriginNotAllowed
            | Self::RequestTimeout
            | Self::UpstreamUnavailable
            | Self::UriTooLong => false,
            Self::FailedAuthLimit { .. } | Self::NoRoute | Self::RateLimited { .. } | Self::Rejected(_) => true,
        }
    }
}

/// The one place where a reason becomes a row of the profiles' tables.
pub(super) const fn standing(rejection: Rejection) -> Standing {
    match rejection {
        Rejection::AlgNotAllowed
        | Rejection::ClientNotAllowed
        | Rejection::IssuerUnknown
        | Rejection::KidUnknown
        | Rejection::SignatureInvalid
        | Rejection::TokenExpired
        | Rejection::TokenMalformed
        | Rejection::TokenNotYetValid
        | Rejection::TokenRevoked
        | Rejection::TokenTooLarge
        | Rejection::TokenUseMismatch => Standing::Invalid,
        Rejection::GroupMissing | Rejection::ScopeMissing => Standing::Insufficient,
        Rejection::KeysUnavailable => Standing::Unknown,
        Rejection::TokenMissing => Standing::Anonymous,
    }
}
