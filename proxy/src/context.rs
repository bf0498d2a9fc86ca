//! Hot path: no lock, no I/O, no info log.
//!
//! What one request carries from its first byte to its log line.

mod access;
mod rate;
mod trace;
mod upstream;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use cognigate_auth::cache::VerifiedToken;
use http::{HeaderValue, Method, StatusCode};
use tokio::time::Instant as Moment;

pub use self::access::Asked;
use crate::{
    filter::forwarded::Arrival,
    rate::Allowance,
    response::Refusal,
    runtime::{Route, Runtime},
    telemetry::trace::RequestTrace,
    upstream::{attempt::Attempt, endpoint::Lease},
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
    /// Who asks: the peer, or whom a trusted one names. Nothing, where the peer has no address.
    pub client: Option<IpAddr>,
    /// What its caller has left, on a route that has a limit.
    pub allowance: Option<Allowance>,
    /// When it must be over, on routes that say so; for an open WebSocket, when its token ends.
    pub deadline: Option<Moment>,
    /// When an upstream must have answered that was asked for a WebSocket.
    pub answer_by: Option<Moment>,
    /// Whether it asks for a WebSocket, or is one.
    pub websocket: WebSocket,
    /// What it asked for, where there is an access log.
    pub asked: Option<Asked>,
    /// What the decision about the caller took, where somebody wants to know.
    pub auth_took: Option<Duration>,
    /// Why it was answered here and went no further.
    pub turned_away: Option<Refusal>,
    /// The lengths of the bodies so far, in bytes: what was received, and what was sent.
    pub body_bytes: (u64, u64),
    /// Why it was given up on its way, before or once that was counted.
    pub refusal: Option<Refusal>,
    /// When an endpoint was chosen for the first time.
    pub upstream_started: Option<Instant>,
    /// At the endpoint that was chosen last.
    pub attempt: Option<Attempt>,
    /// The endpoints before that: they could not be reached, had a dead connection, or refused it.
    pub tried: Vec<SocketAddr>,
    /// Where it goes next, if it is tried once more.
    pub next: Option<Lease>,
    /// The response that an upstream gave.
    pub answered: Option<StatusCode>,
    /// What it has to do with traces.
    pub trace: RequestTrace,
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
            client: None,
            allowance: None,
            deadline: None,
            answer_by: None,
            websocket: WebSocket::Unasked,
            asked: None,
            auth_took: None,
            turned_away: None,
            body_bytes: (0, 0),
            refusal: None,
            upstream_started: None,
            attempt: None,
            tried: Vec::new(),
            next: None,
            answered: None,
            trace: RequestTrace::Off,
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

    /// Counts the request, once. `status` is that of the response that the client got, if it got one.
    pub fn count(&mut self, status: Option<StatusCode>) {
        if std::mem::replace(&mut self.is_counted, true) {
            return;
        }
        self.finish_trace(status);
        let status = status.unwrap_or_else(client_closed_request);
        let metrics = self.route().map_or(&self.runtime.unmatched, |route| &route.metrics);
        metrics.observe(&self.method, status, self.started.elapsed());
        if let (Some(route), Some(started)) = (self.route(), self.upstream_started) {
            route.upstream.metrics().duration.observe(started.elapsed().as_secs_f64());
        }
        self.log_access(status);
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
        self.refusal = self.refusal.or(cut_off);
        let refused = self.refusal.map(|refusal| self.runtime.responder.status(refusal));
        self.count(self.answered.or(refused));
    }
}

/// The status of a request whose client left before there was an answer: 499, as nginx has it.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}
