//! Hot path: no lock, no I/O, no info log.
//!
//! Keeps a request within the time that it has.
//!
//! Pingora bounds each wait by itself. Here each wait is given what is left of the whole, every time that something came or
//! went; what adds up past the end all the same is [cut off](crate::cutoff) a moment later.
//!
//! - a request of a route with a `timeout`: until that is over
//! - a WebSocket: while it is in use, and until its token ends. Its two directions are one: what comes one way begins the
//!   wait anew for both.

use std::time::Duration;

use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::time::Instant;

use crate::{
    context::{RequestContext, WebSocket},
    cutoff,
    filter::websocket,
};

/// How long a client may pause within the body of a request.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts the clock of a request that goes to an upstream.
pub(super) fn begin(session: &mut Session, context: &mut RequestContext) -> Result<()> {
    let timeout = context.route().and_then(|route| route.timeout);
    let Some(timeout) = timeout else { return Ok(()) };
    context.deadline = Instant::from_std(context.started).checked_add(timeout);
    cutoff::set(cutoff_of(context));
    keep(session, context)
}

/// Gives the next wait for the client what is left.
///
/// # Errors
///
/// If nothing is left.
pub(super) fn keep(session: &mut Session, context: &RequestContext) -> Result<()> {
    let most = match (context.websocket, context.deadline) {
        (WebSocket::Open, _) => context.runtime.limits.websocket_idle_timeout,
        (WebSocket::Asked | WebSocket::Unasked, Some(_)) => BODY_READ_TIMEOUT,
        (WebSocket::Asked | WebSocket::Unasked, None) => return Ok(()),
    };
    session.set_read_timeout(Some(within(context, most)?));
    Ok(())
}

/// What a wait may take that is allowed this long by itself.
///
/// # Errors
///
/// If nothing is left.
pub(super) fn within(context: &RequestContext, most: Duration) -> Result<Duration> {
    match context.time_left() {
        Some(left) if left.is_zero() => {
            Err(Error::explain(ErrorType::ReadTimedout, "a request that took too long").into_down())
        }
        Some(left) => Ok(left.min(most)),
        None => Ok(most),
    }
}

/// Begins the time of a WebSocket, which is not that of the request that asked for it.
///
/// # Errors
///
/// If nobody asked for one, or if its token has ended meanwhile.
pub(super) fn open_websocket(session: &mut Session, context: &mut RequestContext) -> Result<()> {
    if context.websocket == WebSocket::Unasked {
        let fault = Error::explain(ErrorType::InvalidHTTPHeader, "nobody asked to switch protocols");
        return Err(fault.into_up());
    }
    let runtime = &context.runtime;
    let token = context.token.as_deref().filter(|_| runtime.closes_expired);
    context.deadline = token.and_then(|token| websocket::end_of(token, &*runtime.clock));
    context.websocket = WebSocket::Open;
    context.answer_by = None;
    cutoff::set(cutoff_of(context));
    keep(session, context)
}

/// Makes of a request for a WebSocket one like any other: what it is answered has the time of any answer.
pub(super) fn decline_websocket(context: &mut RequestContext) {
    if context.websocket == WebSocket::Asked {
        context.websocket = WebSocket::Unasked;
        context.answer_by = None;
        cutoff::set(cutoff_of(context));
    }
}

/// When a request is cut off.
pub(super) fn cutoff_of(context: &RequestContext) -> Option<Instant> {
    let end = context.deadline.into_iter().chain(context.answer_by).min()?;
    end.checked_add(cutoff::GRACE)
}
