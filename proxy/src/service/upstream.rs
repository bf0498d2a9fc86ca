//! Hot path: no lock, no I/O, no info log.
//!
//! Which endpoint a request goes to, whether it goes to another one after that, and what is held against whom.
//!
//! A request is tried once more, at an endpoint that did not have it yet where there is one,
//!
//! - if no connection could be made: nothing of it was written, so that any request may be
//! - if the connection had been used before and turned out to be dead, or the endpoint said, in HTTP/2, that it did not begin with
//!   it: only if the method is idempotent (RFC 9110 section 9.2.2). RFC 9113 section 8.7 would allow any in the second case; that
//!   nothing else is sent twice once a byte of it was written is worth more than those few
//!
//! and only if the endpoint has answered nothing; if all of its body that was read is still there to be sent again; if an endpoint
//! is in rotation; and while the upstream's `retries`, its budget and the request's own time last. What is not tried once more
//! fails with what it failed with.
//!
//! A failure is the endpoint's if it refused a connection or a stream, broke one off, sent what is no response, or took too long.
//! It is not
//!
//! - if the client went away or sent what cannot be forwarded
//! - if the connection had been idle and ended as the request came: servers close those, and requests cross that
//! - if the request was waited for and not the endpoint: an upload that pauses
//! - if it is the route's time that was over and the endpoint had had less than half of it
//! - if it is a fault of ours, such as no descriptors
//!
//! A success is a response that came to its end, or as far as the client wanted it, or of which something comes a second after
//! it began; and a WebSocket that was opened. A response that breaks off after that is a failure all the same.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use h2::Reason;
use http::{HeaderValue, StatusCode};
use pingora_core::{Error, ErrorSource, ErrorType, Result, RetryType, upstreams::peer::HttpPeer};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::{failure::is_timeout, peer};
use crate::{
    config::model::{Balance, HashOn, OutlierConfig},
    context::{RequestContext, WebSocket},
    response::Refusal,
    upstream::{
        attempt::Attempt,
        balance,
        endpoint::Endpoint,
        pool::{Outcome, Pool},
    },
};

/// How often a request is tried at most: once, and as often again as `retries` may say.
pub const MAX_ATTEMPTS: usize = 6;

/// How long an endpoint may have had a request that crossed the end of its connection. What takes longer did not cross it: a
/// round trip around the world is a third of this.
const CROSSING: Duration = Duration::from_secs(1);

/// How a request was lost that an endpoint has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// With a connection that had been used before: the endpoint may have acted on it.
    Connection,
    /// The endpoint went away, and says that it did not begin with it (RFC 9113 section 6.8).
    GoneAway,
    /// The endpoint refused the stream, and says that it did not begin with it (RFC 9113 section 8.7).
    Refused,
    /// It does not speak HTTP/2, or not for this: Pingora speaks HTTP/1.1 with it from now on.
    Version,
}

/// Chooses the endpoint of a request, and says how it is spoken to.
///
/// # Errors
///
/// If no endpoint is in rotation, or if no time is left.
pub(super) fn choose(session: &mut Session, context: &mut RequestContext) -> Result<Box<HttpPeer>> {
    let endpoint = assign(session, context)?;
    let mut peer = Box::new(endpoint.peer().clone());
    peer::adapt(&mut peer, context)?;
    Ok(peer)
}

/// Chooses the endpoint of a request.
///
/// # Errors
///
/// If none is in rotation.
pub(super) fn assign(session: &mut Session, context: &mut RequestContext) -> Result<Arc<Endpoint>> {
    context.upstream_started.get_or_insert_with(Instant::now);
    let next = context.next.take();
    let lease = context.route().map(|route| &route.upstream).and_then(|pool| {
        if next.is_some() {
            pool.metrics().retries.inc();
            return next;
        }
        let lease = pool.choose(key(session.req_header(), context, pool), &[])?;
        pool.fund_retries();
        Some(lease)
    });
    let Some(lease) = lease else {
        context.refusal = Some(Refusal::UpstreamUnavailable);
        return Err(Error::new_up(ErrorType::ConnectNoRoute));
    };
    let endpoint = Arc::clone(lease.endpoint());
    context.attempt = Some(Attempt::begin(lease, session.as_mut().is_body_done()));
    Ok(endpoint)
}

/// What a request is told from others by, where its upstream asks for that and it has it.
fn key(request: &RequestHeader, context: &RequestContext, pool: &Pool) -> Option<u64> {
    let Balance::ConsistentHash(hash_on) = &pool.config().balance else { return None };
    match hash_on {
        HashOn::Header(name) => {
            let value = request.headers.get(name).map(HeaderValue::as_bytes);
            value.filter(|value| !value.is_empty()).map(balance::key)
        }
        HashOn::SourceIp => context.client.map(|client| match client {
            IpAddr::V4(address) => balance::key(&address.octets()),
            IpAddr::V6(address) => balance::key(&address.octets()),
        }),
        HashOn::Sub => context.token.as_deref().map(|token| balance::key(token.identity().sub().as_bytes())),
    }
}

/// Decides what becomes of a request whose endpoint could not be connected to.
pub(super) fn fail_to_connect(session: &Session, context: &mut RequestContext, error: &mut Error) {
    let is_ours = *error.etype() == ErrorType::InternalError;
    if !is_ours && (!is_timeout(error.etype()) || context.had_endpoint_its_time()) {
        context.settle_attempt(Outcome::Failure);
    }
    error.set_retry(!is_ours && prepare_retry(session, context));
}

/// Decides what becomes of a request that failed at an endpoint it was connected to.
pub(super) fn fail_at_endpoint(session: &Session, context: &mut RequestContext, error: &mut Error, is_reused: bool) {
    let is_answered = context.answered.is_some() || session.response_written().is_some();
    let loss = if is_answered { None } else { Loss::of(error, is_reused) };
    let has_crossed = is_reused && context.attempt.as_ref().is_some_and(|attempt| attempt.waited() < CROSSING);
    let is_excused = has_crossed && loss.is_some_and(Loss::is_usual);
    if !is_excused && is_to_blame(error, context) {
        context.settle_attempt(Outcome::Failure);
    }
    let is_whole = !session.as_ref().retry_buffer_truncated();
    let may_be_repeated = is_whole && loss.is_some() && context.method.is_idempotent();
    // Always decided: Pingora panics where it is not.
    error.set_retry(may_be_repeated && prepare_retry(session, context));
}

/// Takes down whether anything of the request is still to come.
pub(super) fn pass_body(context: &mut RequestContext, end_of_stream: bool) {
    if let Some(attempt) = context.attempt.as_mut().filter(|attempt| end_of_stream && !attempt.is_sent()) {
        attempt.send();
    }
}

/// Takes down what the endpoint answered, as far as that decides.
pub(super) fn take_answer(context: &mut RequestContext, status: StatusCode) {
    if context.websocket == WebSocket::Open {
        context.settle_attempt(Outcome::Success);
    } else if context.route().is_some_and(|route| is_failure(status, route.upstream.config().outlier.as_ref())) {
        context.settle_attempt(Outcome::Failure);
    } else if let Some(attempt) = &mut context.attempt {
        attempt.answer();
    }
}

/// Takes down that a request has ended, unless it is known already what became of it.
pub(super) fn finish(context: &mut RequestContext) {
    if context.answered.is_some() {
        context.settle_attempt(Outcome::Success);
    }
}

fn is_failure(status: StatusCode, outlier: Option<&OutlierConfig>) -> bool {
    let status = status.as_u16();
    outlier.is_some_and(|outlier| outlier.statuses.iter().any(|range| (range.first..=range.last).contains(&status)))
}

fn is_to_blame(error: &Error, context: &RequestContext) -> bool {
    match error.esource() {
        ErrorSource::Upstream if *error.etype() == ErrorType::ReadTimedout => {
            context.is_with_endpoint() && context.had_endpoint_its_time()
        }
        ErrorSource::Upstream => !is_timeout(error.etype()) || context.had_endpoint_its_time(),
        ErrorSource::Downstream | ErrorSource::Internal | ErrorSource::Unset => false,
    }
}

/// Chooses where the request goes next, if it may be tried once more.
fn prepare_retry(session: &Session, context: &mut RequestContext) -> bool {
    let Some(pool) = context.route().map(|route| Arc::clone(&route.upstream)) else { return false };
    if context.is_overdue() || context.tried.len() >= pool.config().retries {
        return false;
    }
    let key = key(session.req_header(), context, &pool);
    context.tried.extend(context.attempt.as_ref().map(Attempt::address));
    context.next = pool.choose(key, &context.tried).filter(|_| pool.may_retry());
    if context.next.is_some() {
        context.attempt = None;
    } else {
        context.tried.pop();
    }
    context.next.is_some()
}

impl Loss {
    fn of(error: &Error, is_reused: bool) -> Option<Self> {
        if *error.esource() != ErrorSource::Upstream {
            return None;
        }
        let said = error.root_cause().downcast_ref::<h2::Error>().filter(|said| said.is_remote());
        match said.and_then(|said| Some((said, said.reason()?))) {
            Some((said, Reason::NO_ERROR)) if said.is_go_away() => return Some(Self::GoneAway),
            Some((said, Reason::REFUSED_STREAM)) if said.is_reset() => return Some(Self::Refused),
            Some(_) | None => {}
        }
        match error.retry {
            RetryType::Decided(true) => Some(Self::Version),
            RetryType::Decided(false) => {
                (is_reused && *error.etype() == ErrorType::WriteError).then_some(Self::Connection)
            }
            RetryType::ReusedOnly => is_reused.then_some(Self::Connection),
        }
    }

    /// Whether connections end like that although nothing is wrong.
    const fn is_usual(self) -> bool {
        match self {
            Self::Connection | Self::GoneAway => true,
            Self::Refused | Self::Version => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(error: Box<Error>, retry: RetryType, is_reused: bool) -> Option<Loss> {
        let mut error = error;
        error.retry = retry;
        Loss::of(&error, is_reused)
    }

    /// A write that the client did not take has the same kind as one that the endpoint did not take.
    #[test]
    fn only_what_the_endpoint_did_is_a_loss() {
        let write = || Error::explain(ErrorType::WriteError, "it is gone");
        for (error, is_reused, expected) in [
            (write().into_up(), true, Some(Loss::Connection)),
            (write().into_up(), false, None),
            (write().into_down(), true, None),
            (write().into_in(), true, None),
            (write(), true, None),
        ] {
            assert_eq!(lost(error, RetryType::Decided(false), is_reused), expected, "{is_reused}");
        }
        let read = || Error::explain(ErrorType::ReadError, "it is gone");
        assert_eq!(lost(read().into_up(), RetryType::ReusedOnly, true), Some(Loss::Connection));
        assert_eq!(lost(read().into_up(), RetryType::ReusedOnly, false), None);
        assert_eq!(lost(read().into_down(), RetryType::ReusedOnly, true), None);
        assert_eq!(lost(read().into_up(), RetryType::Decided(false), true), None);
    }
}
