//! Hot path: no lock, no I/O, no info log.
//!
//! Counts the connections that are open, so that a stop can wait for the last of them.
//!
//! Connections and not requests: one whose request is still being read has none yet, and must not be cut off. Those that
//! wait for a request close by themselves as soon as a stop begins, so nothing is waited for but requests.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// The open connections, and whether they are the last.
#[derive(Debug, Default)]
pub struct Drain {
    connections: AtomicUsize,
    is_announced: AtomicBool,
    has_begun: AtomicBool,
    empty: Notify,
}

/// An open connection, until it is dropped.
#[derive(Debug)]
pub struct Entered(Arc<Drain>);

impl Drain {
    /// Counts a connection in.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Entered {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Entered(Arc::clone(self))
    }

    /// Says that a stop is near, while connections still come and go.
    pub fn announce(&self) {
        self.is_announced.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.is_announced.load(Ordering::Relaxed)
    }

    /// Asks every connection to close after its current request.
    pub fn begin(&self) {
        self.announce();
        self.has_begun.store(true, Ordering::SeqCst);
    }

    /// Whether connections are asked to close.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until no connection is open. Only after [`begin`](Self::begin).
    pub async fn emptied(&self) {
        loop {
            let emptied = self.empty.notified();
            tokio::pin!(emptied);
            // Registered before the count is looked at, so that the last connection cannot leave unnoticed in between.
            emptied.as_mut().enable();
            if self.connections() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let was_last = self.0.connections.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.0.has_begun.load(Ordering::SeqCst) {
            self.0.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_ends_with_the_last_connection() {
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
        assert_eq!(drain.connections(), 0);
    }
}
