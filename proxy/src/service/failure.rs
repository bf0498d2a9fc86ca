//! Hot path: no lock, no I/O, no info log.
//!
//! What became of a request that failed on its way: what the client is told, and what the log says.

use std::io;

use http::StatusCode;
use pingora_core::{Error, ErrorSource, ErrorType};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::{context::RequestContext, response::Refusal};

/// The response that the client got, if it got one: what came before it does not count, and what opened a tunnel does.
pub(super) fn final_response(session: &Session) -> Option<&ResponseHeader> {
    let is_final = |status: StatusCode| !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS;
    session.response_written().filter(|response| is_final(response.status))
}

/// Why a request failed on its way, if there is anyone left to tell.
pub(super) fn refusal_of(error: &Error, context: &RequestContext) -> Option<Refusal> {
    if context.refusal.is_some() {
        return context.refusal;
    }
    if is_timeout(error.etype()) && context.is_overdue() {
        return Some(Refusal::RequestTimeout);
    }
    match error.esource() {
        ErrorSource::Upstream => {
            Some(if is_timeout(error.etype()) { Refusal::GatewayTimeout } else { Refusal::BadGateway })
        }
        ErrorSource::Downstream => (!is_gone(error.etype())).then_some(Refusal::BadRequest),
        ErrorSource::Internal | ErrorSource::Unset => Some(Refusal::Internal),
    }
}

/// The line for a request that failed on its way, of which there is at most one a second for each upstream. Of the error only what cannot hold bytes of a message: an upstream's
/// broken response, which may set cookies, is part of its text.
pub(super) fn report(error: &Error, refusal: Option<Refusal>, context: &RequestContext) {
    let upstream = context.route().map_or("", |route| route.upstream.name());
    let endpoint = context.endpoint();
    let (source, kind) = (error.esource().as_str(), error.etype().as_str());
    let cause = error.root_cause().downcast_ref::<io::Error>().map(io::Error::kind);
    let reason = refusal.map_or("", Refusal::reason);
    let request_id = context.request_id.to_str().unwrap_or_default();
    if *error.esource() == ErrorSource::Downstream {
        tracing::debug!(request_id, upstream, source, kind, reason, ?cause, "the client broke off");
        return;
    }
    match context.admit_line() {
        Some(suppressed) => {
            tracing::warn!(request_id, upstream, ?endpoint, source, kind, reason, ?cause, suppressed, "request failed");
        }
        None => tracing::debug!(request_id, upstream, ?endpoint, source, kind, reason, ?cause, "request failed"),
    }
}

pub(super) fn is_timeout(error: &ErrorType) -> bool {
    [ErrorType::ConnectTimedout, ErrorType::ReadTimedout, ErrorType::WriteTimedout].contains(error)
}

fn is_gone(error: &ErrorType) -> bool {
    [ErrorType::ConnectionClosed, ErrorType::ReadError, ErrorType::WriteError].contains(error)
}
