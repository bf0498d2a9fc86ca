//! Where the lines of all threads wait for the one that writes them.
//!
//! Two buffers of [`CAPACITY`] change places: requests fill one while the writer empties the other. The lock is held for as
//! long as a line takes to be copied or the buffers to change places, and never while anything is written.
//!
//! The writer lets lines gather for [`LINGER`] before it takes them, so that it writes many at once and a request wakes it
//! only if it is the first of them.

use std::{
    fmt,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::telemetry::metrics::AccessLogMetrics;

/// The most that waits, in bytes: at 20,000 requests a second of some 500 bytes each, most of a second in which nothing can
/// be written.
pub(super) const CAPACITY: usize = 8 * 1024 * 1024;

/// What is taken at once, in bytes.
const PLENTY: usize = CAPACITY / 2;

/// How long lines may gather. Nobody who looks at the log sees the difference.
const LINGER: Duration = Duration::from_millis(20);

/// Takes lines from everybody, and gives them to one.
pub(super) struct Sink {
    pending: Mutex<Pending>,
    /// There is something to do.
    work: Condvar,
    /// There is nothing to do any more.
    rest: Condvar,
    /// What becomes of the lines.
    pub(super) metrics: AccessLogMetrics,
}

/// What waits for the writer.
struct Pending {
    lines: Vec<u8>,
    writer: Writer,
    /// Whether the file is to be opened anew.
    reopens: bool,
    /// Whether no line will come any more.
    is_closed: bool,
}

/// What the writer does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// It lets lines gather.
    Gathering,
    /// It waits for a line.
    Waiting,
    /// It writes.
    Writing,
}

/// What the writer is to do, beside writing lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Open the file anew first.
    pub(super) reopens: bool,
}

impl Pending {
    fn is_quiet(&self) -> bool {
        self.lines.is_empty() && !self.reopens && !self.is_closed
    }

    fn is_urgent(&self) -> bool {
        self.reopens || self.is_closed || self.lines.len() >= PLENTY
    }

    fn is_written(&self) -> bool {
        self.lines.is_empty() && self.writer != Writer::Writing
    }
}

impl Sink {
    /// A sink whose lines are counted here.
    pub(super) fn new(metrics: AccessLogMetrics) -> Self {
        let pending = Pending {
            // Memory that nothing was written to yet costs nothing, and growing would hold up whoever has the line.
            lines: Vec::with_capacity(CAPACITY),
            writer: Writer::Writing,
            reopens: false,
            is_closed: false,
        };
        Self { pending: Mutex::new(pending), work: Condvar::new(), rest: Condvar::new(), metrics }
    }

    /// Takes a line, if there is room for it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut pending = self.pending.lock();
        let before = pending.lines.len();
        if line.len() > CAPACITY - before {
            drop(pending);
            self.metrics.dropped.inc();
            return;
        }
        pending.lines.extend_from_slice(line);
        let is_plenty = before < PLENTY && pending.lines.len() >= PLENTY;
        let wakes = match pending.writer {
            Writer::Gathering => is_plenty,
            Writer::Waiting => true,
            Writer::Writing => false,
        };
        if wakes {
            pending.writer = Writer::Gathering;
        }
        drop(pending);
        if wakes {
            self.work.notify_one();
        }
    }

    /// Waits for lines, or for something else to do, and puts all the lines into `chunk`, in the place of those that were
    /// written; nothing, if there is nothing to do any more. For the writer alone.
    pub(super) fn take(&self, chunk: &mut Vec<u8>) -> Option<Turn> {
        chunk.clear();
        let mut pending = self.pending.lock();
        pending.writer = Writer::Waiting;
        self.rest.notify_all();
        self.work.wait_while(&mut pending, |pending| pending.is_quiet());
        pending.writer = Writer::Gathering;
        self.work.wait_while_for(&mut pending, |pending| !pending.is_urgent(), LINGER);
        if pending.lines.is_empty() && !pending.reopens {
            return None;
        }
        std::mem::swap(&mut pending.lines, chunk);
        pending.writer = Writer::Writing;
        Some(Turn { reopens: std::mem::take(&mut pending.reopens) })
    }

    /// Has the file opened anew.
    pub(super) fn reopen(&self) {
        self.order(|pending| pending.reopens = true);
    }

    /// Lets the writer end once it has written what waits.
    pub(super) fn close(&self) {
        self.order(|pending| pending.is_closed = true);
    }

    /// Whether no line will come any more.
    pub(super) fn is_closed(&self) -> bool {
        self.pending.lock().is_closed
    }

    /// Waits until everything is written, until then at most. Says whether it is.
    pub(super) fn flush(&self, until: Instant) -> bool {
        let mut pending = self.pending.lock();
        !self.rest.wait_while_until(&mut pending, |pending| !pending.is_written(), until).timed_out()
    }

    fn order(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending.lock());
        self.work.notify_one();
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sink").finish_non_exhaustive()
    }
}
