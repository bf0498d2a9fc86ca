//! Hot path: no lock, no I/O, no info log.
//!
//! What one request carries from its first byte to its log line.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cognigate_auth::cache::VerifiedToken;
use http::{HeaderValue, Method, StatusCode};
use tokio::time::Instant as Moment;

use crate::{
    filter::forwarded::Arrival,
    response::Refusal,
    runtime::{Route, Runtime},
};

/// How much earlier than its deadline a request may find that it is over: timers are not more exact.
const TIMER_SLACK: Duration = Duration::from_millis(20);

/// The state of one request.
#[derive(Debug)]
pub struct RequestContext {
    /// The configuration as it was when the request arrived.
    pub runtime: Arc<Runtime>,
    /// The route that matched, as an index into the snapshot's.
    pub route: Option<usize>,
    /// The token that was verified, on routes that ask for one.
    pub token: Option<Arc<VerifiedToken>>,
    /// When the request line and headers were read.
    pub started: Instant,
    /// What it is called, upstream, in the response and in the log.
    pub request_id: HeaderValue,
    /// Its method.
    pub method: Method,
    /// How it got here.
    pub arrival: Arrival,
    /// When it must be over, on routes that say so; for an open WebSocket, when its token ends.
    pub deadline: Option<Moment>,
    /// When an upstream must have answered that was asked for a WebSocket.
    pub answer_by: Option<Moment>,
    /// Whether it asks for a WebSocket, or is one.
    pub websocket: WebSocket,
    /// Why it was given up on its way, before or once that was counted.
    pub refusal: Option<Refusal>,
    /// When an endpoint was chosen for the first time.
    pub upstream_started: Option<Instant>,
    /// How many endpoints were tried.
    pub attempts: usize,
    /// The last of them, by its place in the pool.
    pub endpoint: Option<usize>,
    /// The response that an upstream gave.
    pub answered: Option<StatusCode>,
    /// Whether it was counted.
    is_counted: bool,
}

/// How far a request for a WebSocket got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebSocket {
    /// It asks for none.
    #[default]
    Unasked,
    /// It asks for one.
    Asked,
    /// It is one.
    Open,
}

impl RequestContext {
    /// The context of a request that arrives now.
    #[must_use]
    pub fn new(runtime: Arc<Runtime>) -> Self {
        Self {
            runtime,
            route: None,
            token: None,
            started: Instant::now(),
            request_id: HeaderValue::from_static("-"),
            method: Method::GET,
            arrival: Arrival::default(),
            deadline: None,
            answer_by: None,
            websocket: WebSocket::Unasked,
            refusal: None,
            upstream_started: None,
            attempts: 0,
            endpoint: None,
            answered: None,
            is_counted: false,
        }
    }

    /// The route that matched.
    #[must_use]
    pub fn route(&self) -> Option<&Route> {
        self.route.and_then(|index| self.runtime.route(index))
    }

    /// What is left until the deadline; nothing, where there is none.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Moment::now()))
    }

    /// Whether the deadline has come.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.time_left().is_some_and(|left| left <= TIMER_SLACK)
    }

    /// Why the request was cut off, if nothing else ended it: the first of its ends that has come.
    fn why_cut_off(&self) -> Option<Refusal> {
        if self.is_counted || self.refusal.is_some() || self.websocket == WebSocket::Open {
            return None;
        }
        let ends = [(self.deadline, Refusal::RequestTimeout), (self.answer_by, Refusal::GatewayTimeout)];
        let ends = ends.into_iter().filter_map(|(end, refusal)| Some((end?, refusal)));
        let (end, refusal) = ends.min_by_key(|(end, _)| *end)?;
        (end <= Moment::now() + TIMER_SLACK).then_some(refusal)
    }

    /// Counts and logs what nobody else does.
    fn report_cut_off(&self, refusal: Refusal) {
        let upstream = self.route().map_or("", |route| route.upstream.name());
        let endpoint = self.endpoint.and_then(|place| self.route()?.upstream.address(place));
        let request_id = self.request_id.to_str().unwrap_or_default();
        self.runtime.metrics.count_rejected(refusal.reason());
        tracing::warn!(request_id, upstream, ?endpoint, kind = "CutOff", reason = refusal.reason(), "request failed");
    }

    /// Counts the request, once. `status` is that of the response that the client got, if it got one.
    pub fn count(&mut self, status: Option<StatusCode>) {
        if std::mem::replace(&mut self.is_counted, true) {
            return;
        }
        let status = status.unwrap_or_else(client_closed_request);
        let requests = self.route().map_or(&self.runtime.unmatched, |route| &route.requests);
        requests.observe(&self.method, status, self.started.elapsed());
        if let (Some(route), Some(started)) = (self.route(), self.upstream_started) {
            route.upstream.metrics().duration.observe(started.elapsed().as_secs_f64());
        }
    }
}

/// A request that was cut off counts too: with the response that had begun, with the refusal that was its due, or else as one
/// that the client did not wait for.
impl Drop for RequestContext {
    fn drop(&mut self) {
        let cut_off = self.why_cut_off();
        if let Some(refusal) = cut_off {
            self.report_cut_off(refusal);
        }
        let refused = self.refusal.or(cut_off).map(|refusal| self.runtime.responder.status(refusal));
        self.count(self.answered.or(refused));
    }
}

/// The status of a request whose client left before there was an answer: 499, as nginx has it.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}
