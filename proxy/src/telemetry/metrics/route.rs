//! Hot path: no lock, no I/O, no info log.
//!
//! What is counted about each route: its requests, how long they took, and the decisions on who calls.
//!
//! A thousand routes in turn have more counters than a processor's caches hold, and each that is not there is waited for. So
//! all of a route's are in one block, what an ordinary request counts is in two lines of it, and `families` makes the series
//! when somebody asks for them.

mod families;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use cognigate_auth::rejection::Rejection;
use http::{Method, StatusCode};

pub(super) use self::families::RouteFamilies;
use super::DURATION_BUCKETS;

/// The methods that have a label of their own; every other is `OTHER`.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "OTHER"];

/// The statuses that have a label of their own; every other is `other`.
const CODES: std::ops::Range<u16> = 100..600;

/// How many labels there are for statuses.
const CODE_LABELS: u16 = CODES.end - CODES.start + 1;

/// How many pairs of method and status have a counter next to what every request touches: those that come first.
const USUAL_PAIRS: usize = 3;

/// What is counted about a route, or about the requests that match none.
#[derive(Clone)]
pub struct RouteMetrics(Arc<Cells>);

/// The counters of a route: first what all requests touch, in the order in which lines of memory are filled.
#[repr(C, align(64))]
struct Cells {
    accepted: AtomicU64,
    open: AtomicU64,
    microseconds: AtomicU64,
    usual: [AtomicU64; USUAL_PAIRS],
    /// The [key](Pair::key) of what each of the usual counters is for; 0 where it is for nothing yet.
    usual_pairs: [AtomicU32; USUAL_PAIRS],
    is_guarded: AtomicBool,
    is_open: AtomicBool,
    /// By upper bound, each without those below it; the last has none.
    durations: [AtomicU64; DURATION_BUCKETS.len() + 1],
    rejected: [AtomicU64; Rejection::ALL.len()],
    /// The other pairs, by method and status; a method's are made when the first of them is counted.
    unusual: [OnceLock<Box<[AtomicU64]>>; METHODS.len()],
    label: Box<str>,
}

/// A method and a status, by the places of their labels.
#[derive(Clone, Copy, Debug)]
struct Pair {
    method: usize,
    code: u16,
}

impl RouteMetrics {
    /// The label of the route.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// Says that the route asks who calls: each of its decisions has a series from now on.
    #[must_use]
    pub fn guarded(self) -> Self {
        self.0.is_guarded.store(true, Relaxed);
        self
    }

    /// Says that the route asks nothing.
    #[must_use]
    pub fn open(self) -> Self {
        self.0.is_open.store(true, Relaxed);
        self
    }

    /// Counts a request that ended.
    pub fn observe(&self, method: &Method, status: StatusCode, duration: Duration) {
        let cells = &*self.0;
        let seconds = duration.as_secs_f64();
        let bucket = DURATION_BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(DURATION_BUCKETS.len());
        if let Some(bucket) = cells.durations.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        let nearest = duration.saturating_add(Duration::from_nanos(500)).as_micros();
        cells.microseconds.fetch_add(u64::try_from(nearest).unwrap_or_default(), Relaxed);
        if let Some(counter) = cells.counter(Pair::new(method, status)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Counts a request with a token that was accepted.
    pub fn count_accepted(&self) {
        self.0.accepted.fetch_add(1, Relaxed);
    }

    /// Counts a request that nothing was asked of.
    pub fn count_open(&self) {
        self.0.open.fetch_add(1, Relaxed);
    }

    /// Counts a request that was refused for this reason.
    pub fn count_rejection(&self, rejection: Rejection) {
        if let Some(counter) = self.0.rejected.get(rejection as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RouteMetrics({:?})", self.label())
    }
}

impl Cells {
    fn new(label: &str) -> Self {
        Self {
            accepted: AtomicU64::default(),
            open: AtomicU64::default(),
            microseconds: AtomicU64::default(),
            usual: Default::default(),
            usual_pairs: Default::default(),
            is_guarded: AtomicBool::default(),
            is_open: AtomicBool::default(),
            durations: Default::default(),
            rejected: [const { AtomicU64::new(0) }; Rejection::ALL.len()],
            unusual: Default::default(),
            label: label.into(),
        }
    }

    fn counter(&self, pair: Pair) -> Option<&AtomicU64> {
        self.usual(pair).or_else(|| self.unusual(pair))
    }

    /// The counter of a pair that came among the first. Everyone looks for a free one in the same order, and none is given up:
    /// no pair gets two.
    fn usual(&self, pair: Pair) -> Option<&AtomicU64> {
        let key = pair.key();
        let is_ours = |holder: &AtomicU32| match holder.load(Relaxed) {
            0 => holder.compare_exchange(0, key, Relaxed, Relaxed).map_or_else(|other| other == key, |_| true),
            other => other == key,
        };
        self.usual_pairs.iter().zip(&self.usual).find(|(holder, _)| is_ours(holder)).map(|(_, counter)| counter)
    }

    fn unusual(&self, pair: Pair) -> Option<&AtomicU64> {
        let counters = self.unusual.get(pair.method)?;
        counters.get_or_init(|| (0..CODE_LABELS).map(|_| AtomicU64::default()).collect()).get(usize::from(pair.code))
    }
}

impl Pair {
    fn new(method: &Method, status: StatusCode) -> Self {
        let method = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1);
        let status = status.as_u16();
        Self { method, code: if CODES.contains(&status) { status - CODES.start } else { CODE_LABELS - 1 } }
    }

    /// A number for it that is not 0.
    fn key(self) -> u32 {
        let method = u32::try_from(self.method).unwrap_or_default();
        method * u32::from(CODE_LABELS) + u32::from(self.code) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_request_touches_two_lines() {
        const LINE: usize = 64;
        let usual_buckets = DURATION_BUCKETS.iter().filter(|bound| **bound <= 0.025).count();
        assert!(std::mem::offset_of!(Cells, is_open) < LINE);
        assert_eq!(std::mem::offset_of!(Cells, durations), LINE);
        assert!(usual_buckets * size_of::<AtomicU64>() <= LINE);
        assert_eq!(align_of::<Cells>(), LINE);
    }
}
