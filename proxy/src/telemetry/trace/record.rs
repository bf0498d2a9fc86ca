//! Hot path: no lock, no I/O, no info log.
//!
//! What is taken down of a request of which spans are made. What clients choose is cut off where it is long.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use http::{HeaderValue, Version, header::USER_AGENT};
use pingora_core::{Error, ErrorSource};
use pingora_http::RequestHeader;

use super::Outcome;
use crate::filter::{
    forwarded::Arrival,
    trace_context::{SpanId, TraceContext},
};

/// The most of a path that is taken down, in bytes.
const MAX_PATH_BYTES: usize = 1024;

/// The most of a `User-Agent` that is taken down, in bytes.
const MAX_USER_AGENT_BYTES: usize = 256;

/// The most of a request's id that is taken down, in bytes: all of one.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// The methods that spans name; any other may be what somebody made up.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// What spans call any other method.
pub(super) const OTHER_METHOD: &str = "_OTHER";

/// What spans call the fault of an endpoint that had no time left.
const TIMEOUT: &str = "timeout";

/// A request that came in.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'r> {
    /// Its head.
    pub request: &'r RequestHeader,
    /// When its head was read.
    pub started: Instant,
    /// How it got here.
    pub arrival: Arrival,
    /// Who asks.
    pub client: Option<IpAddr>,
    /// Whether the peer is trusted as a proxy.
    pub is_trusted: bool,
    /// What it is called.
    pub request_id: &'r HeaderValue,
}

/// What spans call a route.
#[derive(Debug)]
pub struct RouteNames {
    /// What metrics and logs call it.
    pub label: Box<str>,
    /// The paths that it matches, as a pattern.
    pub path: Box<str>,
    /// The upstream behind it.
    pub upstream: Box<str>,
}

/// What was taken down of a request. It holds on to nothing of the request itself, and has a size that no client chooses.
#[derive(Debug)]
pub struct Record {
    /// The span of the request.
    pub(super) place: TraceContext,
    /// Where the client asked from.
    pub(super) parent: Option<TraceContext>,
    /// `tracestate`.
    pub(super) state: Option<String>,
    /// When it began, in nanoseconds since 1970; the other moments count from `started`.
    pub(super) began: u64,
    pub(super) started: Instant,
    pub(super) ended: Instant,
    /// One of [`METHODS`], or [`OTHER_METHOD`].
    pub(super) method: &'static str,
    pub(super) path: Box<str>,
    pub(super) version: Version,
    pub(super) user_agent: Option<Box<str>>,
    pub(super) arrival: Arrival,
    pub(super) client: Option<IpAddr>,
    pub(super) request_id: Box<str>,
    pub(super) check: Option<Check>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) outcome: Outcome,
}

/// How it was decided who calls.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) span: SpanId,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) reason: &'static str,
}

/// An endpoint that was tried.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) span: SpanId,
    pub(super) endpoint: SocketAddr,
    pub(super) began: Instant,
    pub(super) ended: Option<Instant>,
    pub(super) fault: Option<&'static str>,
}

impl Record {
    pub(super) fn new(
        entry: &Entry<'_>,
        place: TraceContext,
        parent: Option<TraceContext>,
        state: Option<String>,
        began: u64,
    ) -> Self {
        let Entry { request, started, arrival, client, is_trusted: _, request_id } = *entry;
        let user_agent = request.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Self {
            place,
            parent,
            state,
            began,
            started,
            ended: started,
            method: method(request.method.as_str()),
            path: cut(request.uri.path(), MAX_PATH_BYTES).into(),
            version: request.version,
            user_agent: user_agent.map(|agent| cut(agent, MAX_USER_AGENT_BYTES).into()),
            arrival,
            client,
            request_id: cut(request_id.to_str().unwrap_or_default(), MAX_REQUEST_ID_BYTES).into(),
            check: None,
            attempts: Vec::new(),
            outcome: Outcome { route: None, status: None, answered: None, reason: None },
        }
    }

    /// The place that the upstream is asked from: the endpoint that is tried.
    pub(super) fn asking(&self) -> TraceContext {
        self.attempts.last().map_or(self.place, |attempt| self.place.sampled_child(attempt.span))
    }

    pub(super) fn begin_attempt(&mut self, span: SpanId, endpoint: SocketAddr) {
        self.end_attempt(None);
        self.attempts.push(Attempt { span, endpoint, began: Instant::now(), ended: None, fault: None });
    }

    pub(super) fn fail_attempt(&mut self, error: &Error) {
        // A client that is gone is not the endpoint's fault.
        let is_theirs = *error.esource() == ErrorSource::Downstream;
        self.end_attempt((!is_theirs).then(|| error.etype().as_str()));
    }

    /// It may have ended as if the client had.
    pub(super) fn cut_off_attempt(&mut self) {
        self.end_attempt(None);
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.fault.get_or_insert(TIMEOUT);
        }
    }

    /// Takes down how the request ended, and with it all that has not ended before.
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.end_attempt(None);
        self.ended = Instant::now();
        self.outcome = outcome;
    }

    fn end_attempt(&mut self, fault: Option<&'static str>) {
        if let Some(attempt) = self.attempts.last_mut().filter(|attempt| attempt.ended.is_none()) {
            attempt.ended = Some(Instant::now());
            attempt.fault = fault;
        }
    }

    /// A moment in nanoseconds since 1970.
    pub(super) fn at(&self, moment: Instant) -> u64 {
        self.began.saturating_add(nanos(moment.saturating_duration_since(self.started)))
    }
}

/// A while in nanoseconds.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn method(found: &str) -> &'static str {
    METHODS.into_iter().find(|known| *known == found).unwrap_or(OTHER_METHOD)
}

/// The beginning of a text that is longer than this many bytes.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::trace_context::{TraceId, state_of};

    /// The bytes that a record takes, all of its parts together.
    fn size(record: &Record) -> usize {
        let Record {
            place: _,
            parent: _,
            state,
            began: _,
            started: _,
            ended: _,
            method: _,
            path,
            version: _,
            user_agent,
            arrival: _,
            client: _,
            request_id,
            check: _,
            attempts,
            // The names of the route are those of the configuration.
            outcome: _,
        } = record;
        let texts = [state.as_deref(), Some(&**path), user_agent.as_deref(), Some(&**request_id)];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        size_of::<Record>() + texts + attempts.capacity() * size_of::<Attempt>()
    }

    #[test]
    fn a_record_is_as_large_as_the_queue_says_at_most() {
        let long = "x".repeat(60_000);
        let mut request = RequestHeader::build(long.as_bytes(), format!("/{long}").as_bytes(), None).unwrap();
        request.insert_header(USER_AGENT, &long).unwrap();
        for _ in 0..4 {
            request.append_header("tracestate", format!("a={}", "x".repeat(126))).unwrap();
        }
        let request_id = HeaderValue::from_str(&long).unwrap();
        let entry = Entry {
            request: &request,
            started: Instant::now(),
            arrival: Arrival::default(),
            client: None,
            is_trusted: true,
            request_id: &request_id,
        };
        let (trace, span) = (TraceId::new([1; 16]).unwrap(), SpanId::new([1; 8]).unwrap());
        let place = TraceContext::begun(trace, span, true);
        let state = state_of(&request.headers);
        assert!(state.is_some());
        let mut record = Record::new(&entry, place, Some(place), state, 0);
        // As often as it may be tried: once, and `retries`.
        for _ in 0..6 {
            record.begin_attempt(span, SocketAddr::from(([127, 0, 0, 1], 1)));
        }
        let size = size(&record);
        assert!((2000..=super::super::export::MAX_RECORD_BYTES).contains(&size), "{size}");
        assert_eq!((record.method, record.path.len(), record.request_id.len()), (OTHER_METHOD, 1024, 128));
    }

    #[test]
    fn only_methods_that_everybody_knows_are_named() {
        for (found, named) in
            [("GET", "GET"), ("TRACE", "TRACE"), ("get", "_OTHER"), ("PURGE", "_OTHER"), ("", "_OTHER")]
        {
            assert_eq!(method(found), named, "{found}");
        }
    }

    #[test]
    fn an_attempt_that_is_cut_off_has_failed_unless_it_had_before() {
        let request = RequestHeader::build("GET", b"/", None).unwrap();
        let request_id = HeaderValue::from_static("-");
        let entry = Entry {
            request: &request,
            started: Instant::now(),
            arrival: Arrival::default(),
            client: None,
            is_trusted: false,
            request_id: &request_id,
        };
        let (trace, span) = (TraceId::new([1; 16]).unwrap(), SpanId::new([1; 8]).unwrap());
        let mut record = Record::new(&entry, TraceContext::begun(trace, span, true), None, None, 0);
        record.cut_off_attempt();
        record.begin_attempt(span, SocketAddr::from(([127, 0, 0, 1], 1)));
        record.fail_attempt(&Error::new_up(pingora_core::ErrorType::ConnectRefused));
        record.cut_off_attempt();
        record.begin_attempt(span, SocketAddr::from(([127, 0, 0, 1], 2)));
        record.fail_attempt(&Error::new_down(pingora_core::ErrorType::WriteTimedout));
        record.cut_off_attempt();
        let faults: Vec<_> = record.attempts.iter().map(|attempt| attempt.fault).collect();
        assert_eq!(faults, [Some("ConnectRefused"), Some("timeout")]);
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        for (text, most, expected) in
            [("", 3, ""), ("abc", 3, "abc"), ("abcd", 3, "abc"), ("aéé", 4, "aé"), ("aé", 3, "aé")]
        {
            assert_eq!(cut(text, most), expected, "{text}");
        }
    }
}
