//! Hot path: no lock, no I/O, no info log.
//!
//! What a request tells the trace that it belongs to.

use std::sync::Arc;

use http::StatusCode;

use super::RequestContext;
use crate::{filter::trace_context::TraceId, response::Refusal, telemetry::trace::Outcome};

impl RequestContext {
    /// The trace that it belongs to, where tracing is on.
    #[must_use]
    pub fn trace_id(&self) -> Option<&TraceId> {
        self.trace.id()
    }

    /// Hands over what was taken down of it, where spans are made of it. `status` is that of the response that the client got,
    /// if it got one.
    pub(super) fn finish_trace(&mut self, status: Option<StatusCode>) {
        if !self.trace.is_sampled() {
            return;
        }
        let route = self.route().map(|route| Arc::clone(&route.names));
        let reason = self.refused().map(Refusal::reason).or_else(|| self.reason());
        let answered = self.answered;
        // One that failed by itself has done so before.
        if matches!(self.refusal, Some(Refusal::GatewayTimeout | Refusal::RequestTimeout)) {
            self.trace.cut_off_attempt();
        }
        self.trace.finish(Outcome { route, status, answered, reason });
    }
}
