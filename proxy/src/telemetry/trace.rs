//! Hot path: no lock, no I/O, no info log.
//!
//! Traces: what a request did and how long that took, as OpenTelemetry has it, for a collector.
//!
//! With tracing off a request pays one look at an `Option` for each place below, and its fields pass as they came.
//!
//! 1. [`Tracer::enter`] decides whether spans are made of a request. A peer that is trusted as a proxy has decided already, with
//!    the flag that it sends. Everybody else is decided on here, by chance: a flag that strangers set would make the proxy
//!    export as much as they like. Chance is a keyed hash of the trace's id, so that the requests of one trace are together, and
//!    no stranger can pick an id that is chosen.
//! 2. [`RequestTrace`] takes down when what happened, in a request of which spans are made. Of any other it knows the trace.
//! 3. [`RequestTrace::apply`] tells the upstream which span asks it.
//! 4. [`RequestTrace::finish`] puts what was taken down into a bounded queue, or drops it where that is full.
//! 5. `span` makes spans of it, and `export` sends them, both away from the requests.
//!
//! No span has a token, a query or a `sub` in it.

mod export;
mod ids;
mod record;
mod span;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use cognigate_auth::clock::Clock;
use http::{HeaderMap, StatusCode};
use pingora_core::Error;

pub use self::{
    export::FLUSH_TIMEOUT,
    record::{Entry, RouteNames},
};
use self::{
    export::Queue,
    ids::Ids,
    record::{Check, Record},
};
use super::metrics::SpanMetrics;
use crate::{
    config::model::TracingConfig,
    filter::trace_context::{TraceContext, TraceId, state_of},
};

/// The version that spans are made by.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Makes spans of requests. Clones are the same tracer; what it has is exported as long as one of them is there.
#[derive(Clone, Debug)]
pub struct Tracer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: TracingConfig,
    clock: Arc<dyn Clock>,
    ids: Ids,
    queue: Queue,
}

/// What a request has to do with traces.
#[derive(Debug, Default)]
pub enum RequestTrace {
    /// Nothing: tracing is off.
    #[default]
    Off,
    /// Spans are made of it.
    Sampled(Tracer, Box<Record>),
    /// No spans are made of it; it belongs to a trace that began before.
    Passing(TraceContext),
    /// No spans are made of it; it is the first of its trace that anybody knows of.
    Unsampled(TraceContext),
}

impl Tracer {
    /// Starts to export, on the Tokio runtime that this is called in.
    #[must_use]
    pub fn begin(config: &TracingConfig, clock: Arc<dyn Clock>, metrics: SpanMetrics) -> Self {
        let queue = Queue::begin(config, metrics);
        Self(Arc::new(Shared { config: config.clone(), clock, ids: Ids::new(), queue }))
    }

    /// What it was made of.
    #[must_use]
    pub fn config(&self) -> &TracingConfig {
        &self.0.config
    }

    /// Decides about a request that came in.
    #[must_use]
    pub fn enter(&self, entry: Entry<'_>) -> RequestTrace {
        let Shared { config, clock, ids, queue: _ } = &*self.0;
        let parent = TraceContext::of(&entry.request.headers);
        let trace = parent.map_or_else(|| ids.trace(), |parent| parent.trace);
        let is_sampled = match parent {
            Some(parent) if entry.is_trusted => parent.is_sampled(),
            Some(_) | None => ids.is_chosen(trace, config.sample),
        };
        match parent {
            Some(parent) if !is_sampled => RequestTrace::Passing(parent),
            None if !is_sampled => RequestTrace::Unsampled(TraceContext::begun(trace, ids.span(), false)),
            Some(_) | None => {
                let span = ids.span();
                let place = match parent {
                    Some(parent) => parent.sampled_child(span),
                    None => TraceContext::begun(trace, span, true),
                };
                let state = parent.and_then(|_| state_of(&entry.request.headers));
                // What it has taken down counts from the moment at which the head was whole.
                let began = clock.now_nanos().saturating_sub(record::nanos(entry.started.elapsed()));
                RequestTrace::Sampled(self.clone(), Box::new(Record::new(&entry, place, parent, state, began)))
            }
        }
    }

    /// Exports what there is, if that takes no longer than [`FLUSH_TIMEOUT`].
    pub async fn flush(&self) {
        self.0.queue.flush().await;
    }
}

impl RequestTrace {
    /// The trace, where tracing is on.
    #[must_use]
    pub fn id(&self) -> Option<&TraceId> {
        match self {
            Self::Off => None,
            Self::Sampled(_, record) => Some(&record.place.trace),
            Self::Passing(context) | Self::Unsampled(context) => Some(&context.trace),
        }
    }

    /// Whether spans are made of the request.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        matches!(self, Self::Sampled(..))
    }

    /// Takes down that it was asked who calls, when, and what came of it.
    pub fn note_check(&mut self, began: Instant, reason: &'static str) {
        if let Self::Sampled(tracer, record) = self {
            let (span, ended) = (tracer.0.ids.span(), Instant::now());
            record.check = Some(Check { span, began, ended, reason });
        }
    }

    /// Takes down that an endpoint is tried from now on, and the one before no longer.
    pub fn begin_attempt(&mut self, endpoint: SocketAddr) {
        if let Self::Sampled(tracer, record) = self {
            record.begin_attempt(tracer.0.ids.span(), endpoint);
        }
    }

    /// Takes down that the endpoint failed that was tried last.
    pub fn fail_attempt(&mut self, error: &Error) {
        if let Self::Sampled(_, record) = self {
            record.fail_attempt(error);
        }
    }

    /// Takes down that the endpoint that is tried did not answer, or not to the end, before the request was cut off.
    pub fn cut_off_attempt(&mut self) {
        if let Self::Sampled(_, record) = self {
            record.cut_off_attempt();
        }
    }

    /// Tells the upstream which span asks it. The request of a trace in which no spans are made here passes as it came.
    pub fn apply(&self, fields: &mut HeaderMap) {
        match self {
            Self::Off | Self::Passing(_) => {}
            Self::Sampled(_, record) => record.asking().apply(fields, record.state.as_deref()),
            Self::Unsampled(context) => context.apply(fields, None),
        }
    }

    /// Hands over what was taken down, with how the request ended.
    pub fn finish(&mut self, outcome: Outcome) {
        if !self.is_sampled() {
            return;
        }
        // It is asked for its trace until it is gone.
        let Self::Sampled(tracer, mut record) = std::mem::take(self) else { return };
        *self = Self::Passing(record.place);
        record.end(outcome);
        tracer.0.queue.put(record);
    }
}

/// How a request ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The route that it took.
    pub route: Option<Arc<RouteNames>>,
    /// The status of the response that the client got, if it got one.
    pub status: Option<StatusCode>,
    /// The status of the response that the upstream gave, if it gave one.
    pub answered: Option<StatusCode>,
    /// Why it was let through, or was not; nothing, where nobody asked.
    pub reason: Option<&'static str>,
}
