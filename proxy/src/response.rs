//! Every response that is made here, without an upstream.
//!
//! The one place where a refusal becomes a status, headers and a body, in the words of a profile: one file each, a table of
//! every refusal. Each response has a `Content-Length`, is never stored by a cache, says which pages may read it, and keeps
//! the connection wherever the next request can still be found on it. A gRPC client gets a status of gRPC.

mod aws_http;
mod aws_rest;
mod grpc;
mod refusal;
mod rfc6750;

use std::time::Duration;

use bytes::Bytes;
use cognigate_auth::policy::Policy;
use http::{
    HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, EXPECT},
};
use pingora_core::{Error, Result, protocols::http::ServerSession};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use pingora_timeout::timeout;

pub use self::refusal::Refusal;
use crate::{
    config::model::{CorsConfig, Profile},
    filter::{
        cors::{self, Cors},
        rate::RateFields,
        request_id::REQUEST_ID,
        websocket,
    },
};

/// The largest unread request body that is read and dropped to keep a connection, in bytes.
const MAX_DISCARDED_BODY_BYTES: u64 = 64 * 1024;

/// How long such a body may take to arrive.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// What a profile makes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    status: StatusCode,
    /// JSON with one member, `message`.
    body: &'static str,
}

/// Makes responses in the words of one profile.
#[derive(Debug)]
pub struct Responder {
    profile: Profile,
    cors: Option<Cors>,
}

impl Responder {
    /// Answers as `profile` says, to be read by whom `cors` says. `told` are the fields that any response may have and that a
    /// page should know of.
    #[must_use]
    pub fn new(profile: Profile, cors: Option<&CorsConfig>, told: &[&str]) -> Self {
        let fields: &[&str] = match profile {
            Profile::AwsHttp => &aws_http::FIELDS,
            Profile::AwsRest => &aws_rest::FIELDS,
            Profile::Rfc6750 => &rfc6750::FIELDS,
        };
        let cors = cors.map(|config| Cors::new(config, told, fields));
        Self { profile, cors }
    }

    /// The status that a client gets, unless it reads gRPC.
    #[must_use]
    pub const fn status(&self, refusal: Refusal) -> StatusCode {
        self.answer(refusal).status
    }

    /// Who may read responses, if the proxy says so at all.
    #[must_use]
    pub const fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref()
    }

    /// Whether a request is one that [`answer_preflight`](Self::answer_preflight) answers.
    #[must_use]
    pub fn is_preflight(&self, request: &RequestHeader) -> bool {
        self.cors.is_some() && cors::is_preflight(request)
    }

    /// Answers a preflight: 204, and what a page may send.
    ///
    /// # Errors
    ///
    /// Pingora's, if the client is gone.
    pub async fn answer_preflight(&self, session: &mut Session, request_id: &HeaderValue) -> Result<()> {
        let mut header = ResponseHeader::build_no_case(StatusCode::NO_CONTENT, Some(8))?;
        if let Some(cors) = &self.cors {
            cors.mark_preflight(session.req_header(), &mut header)?;
        }
        header.insert_header(REQUEST_ID, request_id.clone())?;
        settle_connection(session, true).await;
        write_head_alone(session, header).await
    }

    /// Answers a request with a refusal. `policy` and `rate_fields` are the route's, where there is one.
    ///
    /// # Errors
    ///
    /// Pingora's, if the client is gone.
    pub async fn refuse(
        &self,
        session: &mut Session,
        refusal: Refusal,
        policy: Option<&Policy>,
        rate_fields: Option<RateFields<'_>>,
        request_id: &HeaderValue,
    ) -> Result<()> {
        let is_grpc = grpc::is_spoken_in(session.req_header());
        let Answer { status, body } = self.answer(refusal);
        let mut header = match is_grpc {
            true => grpc::header(refusal, policy)?,
            false => self.header(status, body, refusal, policy, request_id)?,
        };
        header.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
        header.insert_header(REQUEST_ID, request_id.clone())?;
        if let Some(seconds) = refusal.retry_after() {
            header.insert_header("Retry-After", seconds)?;
        }
        if let Some(fields) = rate_fields {
            fields.tell(&mut header)?;
        }
        if let Some(cors) = &self.cors {
            cors.mark_refusal(session.req_header(), &mut header)?;
        }
        // What follows the request for a WebSocket is no request.
        let may_be_kept = refusal.keeps_connection() && !websocket::is_asked_for(session.req_header());
        settle_connection(session, may_be_kept).await;
        if is_grpc {
            return write_head_alone(session, header).await;
        }
        let has_body = session.req_header().method != Method::HEAD;
        session.write_response_header(Box::new(header), false).await?;
        session.write_response_body(has_body.then(|| Bytes::from_static(body.as_bytes())), true).await?;
        if refusal == Refusal::BodyTooLarge {
            linger(session).await;
        }
        Ok(())
    }

    const fn answer(&self, refusal: Refusal) -> Answer {
        match self.profile {
            Profile::AwsHttp => aws_http::answer(refusal),
            Profile::AwsRest => aws_rest::answer(refusal),
            Profile::Rfc6750 => rfc6750::answer(refusal),
        }
    }

    fn header(
        &self,
        status: StatusCode,
        body: &str,
        refusal: Refusal,
        policy: Option<&Policy>,
        request_id: &HeaderValue,
    ) -> Result<ResponseHeader> {
        let mut header = match self.profile {
            // API Gateway's spelling of the names, for clients that compare them as they stand.
            Profile::AwsRest => ResponseHeader::build(status, Some(8))?,
            Profile::AwsHttp | Profile::Rfc6750 => ResponseHeader::build_no_case(status, Some(8))?,
        };
        header.insert_header(CONTENT_TYPE, HeaderValue::from_static("application/json"))?;
        header.set_content_length(body.len())?;
        match self.profile {
            Profile::AwsHttp => aws_http::add_fields(&mut header, refusal, policy, request_id)?,
            Profile::AwsRest => aws_rest::add_fields(&mut header, refusal, request_id)?,
            Profile::Rfc6750 => rfc6750::add_fields(&mut header, refusal, policy)?,
        }
        Ok(header)
    }
}

/// Writes a response that ends with its head.
///
/// On HTTP/2 that head carries the end of the stream, which [`Session::write_response_header`] would not set: gRPC clients
/// tell trailers from headers by it.
async fn write_head_alone(session: &mut Session, mut header: ResponseHeader) -> Result<()> {
    if let ServerSession::H2(stream) = session.as_downstream_mut() {
        return stream.write_response_header(Box::new(header), true);
    }
    // RFC 9110 section 8.6: not in a 204.
    if header.status != StatusCode::NO_CONTENT {
        header.set_content_length(0)?;
    }
    session.write_response_header(Box::new(header), true).await?;
    session.write_response_body(None, true).await
}

/// Closes the connection after the response, unless the next request can be found on it and the refusal does not forbid that.
async fn settle_connection(session: &mut Session, may_be_kept: bool) {
    if !(may_be_kept && discard_request_body(session).await) {
        session.set_keepalive(None);
    }
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
    let length = request.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let is_small = length.is_some_and(|length| length <= MAX_DISCARDED_BODY_BYTES);
    if !is_small || request.headers.contains_key(EXPECT) {
        return false;
    }
    let discarded = timeout(DISCARD_TIMEOUT, async {
        while let Some(_chunk) = session.read_request_body().await? {}
        Ok::<_, Box<Error>>(())
    });
    matches!(Box::pin(discarded).await, Ok(Ok(())))
}

/// Takes what a client still sends, for a while: if the connection were closed with that unread, the answer would be lost on
/// many a client.
async fn linger(session: &mut Session) {
    // An HTTP/2 client is told to stop.
    if matches!(session.as_downstream(), ServerSession::H1(_)) {
        let rest = async { while let Ok(Some(_)) = session.read_request_body().await {} };
        // Either way the connection is closed.
        let _ = Box::pin(timeout(DISCARD_TIMEOUT, rest)).await;
    }
}

#[cfg(test)]
mod fixture {
    use cognigate_auth::policy::TokenUseRule;

    use super::*;
    use crate::filter::hygiene::Fault;

    /// Every refusal that is no fault of the caller's token.
    pub(super) const EVERY_FAULT: [Refusal; 15] = [
        Refusal::Ambiguous(Fault::Host),
        Refusal::BadGateway,
        Refusal::BadRequest,
        Refusal::BodyTooLarge,
        Refusal::FailedAuthLimit { retry_after: 9 },
        Refusal::GatewayTimeout,
        Refusal::HeaderTooLarge,
        Refusal::HeadersTooMany,
        Refusal::Internal,
        Refusal::NoRoute,
        Refusal::OriginNotAllowed,
        Refusal::RateLimited { retry_after: 7 },
        Refusal::RequestTimeout,
        Refusal::UpstreamUnavailable,
        Refusal::UriTooLong,
    ];

    pub(super) fn policy(scopes: &[&str]) -> Policy {
        Policy {
            user_pools: Box::default(),
            token_use: TokenUseRule::Any,
            scopes_any: scopes.iter().map(|scope| (*scope).into()).collect(),
            groups_any: Box::default(),
        }
    }

    pub(super) fn shown(answer: &Answer) -> (u16, String) {
        (answer.status.as_u16(), answer.body.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use cognigate_auth::rejection::Rejection;

    use super::{fixture::EVERY_FAULT, *};

    const PROFILES: [Profile; 3] = [Profile::AwsHttp, Profile::AwsRest, Profile::Rfc6750];

    fn every_refusal() -> impl Iterator<Item = Refusal> {
        EVERY_FAULT.into_iter().chain(Rejection::ALL.map(Refusal::Rejected))
    }

    #[test]
    fn what_is_undecidable_is_503_in_every_profile() {
        for profile in PROFILES {
            let status = Responder::new(profile, None, &[]).status(Refusal::Rejected(Rejection::KeysUnavailable));
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{profile:?}");
        }
    }

    #[test]
    fn a_body_is_compact_json_with_a_message() {
        for profile in PROFILES {
            for refusal in every_refusal() {
                let Answer { body, .. } = Responder::new(profile, None, &[]).answer(refusal);
                let value: serde_json::Value = serde_json::from_str(body).unwrap();
                assert!(value["message"].is_string(), "{profile:?} {refusal:?}: {body}");
                assert_eq!(serde_json::to_string(&value).unwrap(), body, "{profile:?} {refusal:?}");
            }
        }
    }

    #[test]
    fn the_fields_of_a_refusal_are_those_that_pages_may_read() {
        let added = |profile, refusal| {
            let responder = Responder::new(profile, None, &[]);
            let Answer { status, body } = responder.answer(refusal);
            let header = responder.header(status, body, refusal, None, &HeaderValue::from_static("id")).unwrap();
            header.headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
        };
        for profile in PROFILES {
            let fields: &[&str] = match profile {
                Profile::AwsHttp => &aws_http::FIELDS,
                Profile::AwsRest => &aws_rest::FIELDS,
                Profile::Rfc6750 => &rfc6750::FIELDS,
            };
            for refusal in every_refusal() {
                for name in added(profile, refusal) {
                    let is_common = ["content-type", "content-length"].contains(&name.as_str());
                    assert!(is_common || fields.contains(&name.as_str()), "{profile:?} {refusal:?}: {name}");
                }
            }
        }
    }

    #[test]
    fn waiting_is_suggested_where_it_helps() {
        for refusal in every_refusal() {
            let expected = match refusal.reason() {
                "failed_auth_limit" => Some(9),
                "keys_unavailable" => Some(5),
                "rate_limited" => Some(7),
                "upstream_unavailable" => Some(1),
                _ => None,
            };
            assert_eq!(refusal.retry_after(), expected, "{refusal:?}");
        }
    }
}
