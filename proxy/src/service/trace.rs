//! Hot path: no lock, no I/O, no info log.
//!
//! Tells the trace of a request what becomes of it. Each of these is one look at a variant where no spans are made.

use std::{sync::Arc, time::Instant};

use cognigate_auth::cache::VerifiedToken;
use pingora_proxy::Session;

use crate::{context::RequestContext, response::Refusal, telemetry::trace::Entry};

/// Decides whether spans are made of a request, once it is known where it came from and what it is called.
pub(super) fn enter(session: &Session, context: &mut RequestContext) {
    let Some(tracer) = &context.runtime.tracer else { return };
    let RequestContext { runtime, started, arrival, client, request_id, .. } = &*context;
    context.trace = tracer.enter(Entry {
        request: session.req_header(),
        started: *started,
        arrival: *arrival,
        client: *client,
        is_trusted: runtime.forwarding.trusts(*arrival),
        request_id,
    });
}

/// Takes down what was decided on who calls, if somebody noted when they were asked.
pub(super) fn decided(
    context: &mut RequestContext,
    asked_at: Option<Instant>,
    decision: &Result<Option<Arc<VerifiedToken>>, Refusal>,
) {
    if let Some(asked_at) = asked_at {
        context.trace.note_check(asked_at, decision.as_ref().map_or_else(|refusal| refusal.reason(), |_| "ok"));
    }
}

/// Takes down that an endpoint is tried.
pub(super) fn chosen(context: &mut RequestContext) {
    if !context.trace.is_sampled() {
        return;
    }
    if let Some(endpoint) = context.endpoint() {
        context.trace.begin_attempt(endpoint);
    }
}
