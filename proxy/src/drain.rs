//! Hot path: no lock, no I/O, no info log.
//!
//! Counts the requests that are being served, so that a stop can wait for the last of them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// The requests in flight, and whether they are the last.
#[derive(Debug, Default)]
pub struct Drain {
    in_flight: AtomicUsize,
    has_begun: AtomicBool,
    empty: Notify,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Drain>);

impl Drain {
    /// Counts a request in.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Asks every connection to close after its current request.
    pub fn begin(&self) {
        self.has_begun.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// How many requests are being served.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Waits until no request is being served. Only after [`begin`](Self::begin).
    pub async fn emptied(&self) {
        loop {
            let emptied = self.empty.notified();
            tokio::pin!(emptied);
            // Registered before the count is looked at, so that the last request cannot leave unnoticed in between.
            emptied.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let was_last = self.0.in_flight.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.0.has_begun.load(Ordering::SeqCst) {
            self.0.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_ends_with_the_last_request() {
        let drain = Arc::new(Drain::default());
        let (first, second) = (drain.enter(), drain.enter());
        drain.begin();
        let waiting = tokio::spawn({
            let drain = Arc::clone(&drain);
            async move { drain.emptied().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
        assert_eq!(drain.in_flight(), 0);
    }
}
