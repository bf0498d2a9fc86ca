//! Hot path: no lock, no I/O, no info log.
//!
//! What a request has to do with the endpoints that it was sent to.

use std::net::SocketAddr;

use super::RequestContext;
use crate::{
    response::Refusal,
    upstream::{attempt::Attempt, pool::Outcome},
};

impl RequestContext {
    /// The endpoint that the request is at, or was last.
    #[must_use]
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.attempt.as_ref().map(Attempt::address).or_else(|| self.tried.last().copied())
    }

    /// How many endpoints were tried after the first.
    #[must_use]
    pub fn retries(&self) -> usize {
        (self.tried.len() + usize::from(self.attempt.is_some())).saturating_sub(1)
    }

    /// Tells the upstream what became of the request at its endpoint, once.
    pub fn settle_attempt(&mut self, outcome: Outcome) {
        let Some(route) = self.route.and_then(|index| self.runtime.route(index)) else { return };
        if let Some(attempt) = &mut self.attempt {
            attempt.settle(&route.upstream, outcome);
        }
    }

    /// Tells the upstream that its endpoint does well, once more of a response comes that has gone on for long enough.
    pub fn prove_attempt(&mut self) {
        let Some(route) = self.route.and_then(|index| self.runtime.route(index)) else { return };
        if let Some(attempt) = &mut self.attempt {
            attempt.prove(&route.upstream);
        }
    }

    /// Whether nobody but the endpoint is waited for.
    #[must_use]
    pub fn is_with_endpoint(&self) -> bool {
        self.attempt.as_ref().is_some_and(Attempt::is_sent)
    }

    /// Whether the endpoint that is waited for has had the time that it should have. It has, unless the request's own is over
    /// and was less than half the endpoint's.
    #[must_use]
    pub fn had_endpoint_its_time(&self) -> bool {
        let timeout = self.route().and_then(|route| route.timeout).filter(|_| self.is_overdue());
        let waited = self.attempt.as_ref().map(Attempt::waited);
        waited.is_some_and(|waited| timeout.is_none_or(|timeout| waited >= timeout / 2))
    }

    /// Whether a request that failed gets a line in the log now; then how many of its upstream did not since the last one.
    #[must_use]
    pub fn admit_line(&self) -> Option<u64> {
        self.route().map_or(Some(0), |route| route.upstream.admit_line())
    }

    /// Counts and logs a request that was cut off, which nobody else does, and holds it against the endpoint if nobody else was
    /// waited for.
    pub(super) fn report_cut_off(&mut self, refusal: Refusal) {
        let is_late = self.is_with_endpoint() && self.had_endpoint_its_time();
        if self.answered.is_none() && (refusal == Refusal::GatewayTimeout || is_late) {
            self.settle_attempt(Outcome::Failure);
        }
        let (upstream, endpoint) = (self.route().map_or("", |route| route.upstream.name()), self.endpoint());
        let request_id = self.request_id.to_str().unwrap_or_default();
        let (kind, reason) = ("CutOff", refusal.reason());
        self.runtime.metrics.count_rejected(reason);
        match self.admit_line() {
            Some(suppressed) => {
                tracing::warn!(request_id, upstream, ?endpoint, kind, reason, suppressed, "request failed");
            }
            None => tracing::debug!(request_id, upstream, ?endpoint, kind, reason, "request failed"),
        }
    }
}
