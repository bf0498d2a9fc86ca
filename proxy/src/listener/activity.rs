//! Hot path: no lock, no I/O, no info log.
//!
//! What a connection is doing, as far as its deadlines depend on it.
//!
//! Three parts know a piece of it: the connection sees bytes come and writes stall, the service sees a whole head, and the
//! task that runs both decides when it has lasted too long. An HTTP/1 connection has its three parts in one task; the
//! streams of an HTTP/2 connection have tasks of their own, and say nothing here.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use pingora_core::protocols::http::ServerSession;
use tokio::time::Instant;

/// How long a client may refuse to take what it is sent.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// No moment.
const NONE: u64 = u64::MAX;

/// What a connection is doing. Moments are nanoseconds since the connection was accepted.
#[derive(Debug)]
pub struct Activity {
    accepted: Instant,
    /// When the head that is being read must be whole.
    head_due: AtomicU64,
    /// Whether a byte of that head has come.
    has_begun: AtomicBool,
    /// Since when the client takes nothing.
    stalled: AtomicU64,
}

impl Activity {
    /// A connection that was accepted at this moment.
    #[must_use]
    pub const fn new(accepted: Instant) -> Self {
        Self {
            accepted,
            head_due: AtomicU64::new(NONE),
            has_begun: AtomicBool::new(false),
            stalled: AtomicU64::new(NONE),
        }
    }

    /// A head is being read, of which some bytes may be there already.
    pub fn await_head(&self, due: Instant, has_begun: bool) {
        self.has_begun.store(has_begun, Ordering::Relaxed);
        self.head_due.store(self.moment(due), Ordering::Relaxed);
    }

    /// The head is whole: what follows has limits of its own.
    pub fn head_is_whole(&self) {
        self.head_due.store(NONE, Ordering::Relaxed);
    }

    /// No byte of the head has come, as far as anybody can tell.
    pub fn head_has_not_begun(&self) {
        self.has_begun.store(false, Ordering::Relaxed);
    }

    /// Whether the client is in the middle of a head.
    #[must_use]
    pub fn is_within_head(&self) -> bool {
        self.is_awaiting_head() && self.has_begun.load(Ordering::Relaxed)
    }

    /// Whether a head is not whole yet.
    #[must_use]
    pub fn is_awaiting_head(&self) -> bool {
        self.head_due.load(Ordering::Relaxed) != NONE
    }

    /// The client takes nothing at the moment.
    pub fn write_stalls(&self) {
        if !self.is_stalled() {
            self.stalled.store(self.moment(Instant::now()), Ordering::Relaxed);
        }
    }

    /// The client took something.
    pub fn write_goes_on(&self) {
        if self.is_stalled() {
            self.stalled.store(NONE, Ordering::Relaxed);
        }
    }

    /// Whether the client has yet to take what was written for it.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed) != NONE
    }

    /// When this has lasted too long; nothing if it may last for ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let head_due = self.head_due.load(Ordering::Relaxed);
        let write_due = self.stalled.load(Ordering::Relaxed).checked_add(nanoseconds(WRITE_TIMEOUT)).unwrap_or(NONE);
        let due = head_due.min(write_due);
        (due != NONE).then(|| self.accepted + Duration::from_nanos(due))
    }

    fn moment(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.accepted))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NONE - 1)
}

/// Says that the head of a session's request is whole.
pub fn head_is_whole(session: &ServerSession) {
    let digest = session.digest().and_then(|digest| digest.proxy_digest.as_deref());
    let activity = digest.and_then(|digest| digest.user_data.as_deref()?.downcast_ref::<std::sync::Arc<Activity>>());
    if let Some(activity) = activity {
        activity.head_is_whole();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_deadlines_counts() {
        let accepted = Instant::now();
        let activity = Activity::new(accepted);
        assert_eq!(activity.deadline(), None);
        let due = accepted + Duration::from_secs(10);
        activity.await_head(due, false);
        assert_eq!((activity.deadline(), activity.is_within_head()), (Some(due), false));
        activity.await_head(due, true);
        assert!(activity.is_within_head());
        activity.write_stalls();
        assert_eq!(activity.deadline(), Some(due));
        activity.head_is_whole();
        assert!(activity.deadline().is_some_and(|stall| stall > due) && !activity.is_within_head());
        activity.write_goes_on();
        assert_eq!(activity.deadline(), None);
    }
}
