//! Refusals for gRPC clients: HTTP 200 and the outcome in `grpc-status`, without a body (gRPC over HTTP/2, "Trailers-Only").
//!
//! The same in every profile: API Gateway takes no gRPC, so there is nothing to be compatible with. Statuses follow the
//! mapping that gRPC clients apply to a bare HTTP status ("HTTP to gRPC Status Code Mapping"), so that a client reads the same
//! from this as from a proxy that knows no gRPC; what that mapping leaves as `UNKNOWN` is said more exactly.

use cognigate_auth::policy::Policy;
use http::{StatusCode, header::CONTENT_TYPE};
use pingora_core::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::{refusal::Refusal, rfc6750};

/// The media type of gRPC. `application/grpc+proto` is one, too; `application/grpc-web` is not: its clients read bare HTTP
/// statuses, which a page can be let read.
const MEDIA_TYPE: &str = "application/grpc";

/// A status of gRPC, by its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// Whether the client reads gRPC.
pub(super) fn is_spoken_in(request: &RequestHeader) -> bool {
    let media_type = request.headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let split = media_type.and_then(|media_type| media_type.split_at_checked(MEDIA_TYPE.len()));
    split.is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// The whole answer, but for what HTTP/1.1 needs to find its end. The reason goes into `grpc-message`: it is made of
/// characters that need no percent-encoding.
pub(super) fn header(refusal: Refusal, policy: Option<&Policy>) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(StatusCode::OK, Some(8))?;
    header.insert_header("content-type", MEDIA_TYPE)?;
    header.insert_header("grpc-status", status(refusal) as u32)?;
    header.insert_header("grpc-message", refusal.reason())?;
    rfc6750::add_fields(&mut header, refusal, policy)?;
    Ok(header)
}

fn status(refusal: Refusal) -> Status {
    match refusal.status() {
        StatusCode::UNAUTHORIZED => Status::Unauthenticated,
        StatusCode::FORBIDDEN => Status::PermissionDenied,
        StatusCode::NOT_FOUND => Status::Unimplemented,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG => {
            Status::ResourceExhausted
        }
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Status::Unavailable,
        // 400 and 500.
        _ => Status::Internal,
    }
}

#[cfg(test)]
mod tests {
    use cognigate_auth::rejection::Rejection;

    use super::*;
    use crate::response::fixture::EVERY_FAULT;

    #[test]
    fn statuses_follow_the_mapping_of_grpc() {
        for refusal in EVERY_FAULT.into_iter().chain(Rejection::ALL.map(Refusal::Rejected)) {
            let expected = match refusal.status().as_u16() {
                400 | 500 => 13,
                401 => 16,
                403 => 7,
                404 => 12,
                413 | 414 | 431 => 8,
                429 | 502 | 503 | 504 => 14,
                status => panic!("{status}"),
            };
            assert_eq!(status(refusal) as u32, expected, "{refusal:?}");
        }
    }

    /// gRPC over HTTP/2, "Percent-Encoded": space to `~`, without `%`.
    #[test]
    fn a_reason_is_a_message_as_it_is() {
        for refusal in EVERY_FAULT.into_iter().chain(Rejection::ALL.map(Refusal::Rejected)) {
            let reason = refusal.reason();
            assert!(reason.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'%'), "{reason}");
        }
    }

    #[test]
    fn grpc_is_told_by_its_media_type() {
        for (media_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("Application/GRPC", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc-web+proto", false),
            ("application/grpcfoo", false),
            ("application/json", false),
            ("application/grp", false),
            ("text/application/grpc", false),
        ] {
            let mut request = RequestHeader::build("POST", b"/", None).unwrap();
            request.insert_header(CONTENT_TYPE, media_type).unwrap();
            assert_eq!(is_spoken_in(&request), expected, "{media_type}");
        }
        assert!(!is_spoken_in(&RequestHeader::build("POST", b"/", None).unwrap()));
    }
}
