//! Hot path: no lock, no I/O, no info log.
//!
//! The streams of an HTTP/2 connection that are being served, and whether more of them are.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The streams of one connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    active: AtomicUsize,
    is_refusing: AtomicBool,
    ended: Notify,
}

/// A stream that is being served, until it is dropped.
#[derive(Debug)]
pub(super) struct ActiveStream<'a>(&'a Streams);

impl Streams {
    /// Counts a stream in; nothing if no more are served.
    pub(super) fn begin(&self) -> Option<ActiveStream<'_>> {
        self.active.fetch_add(1, Ordering::SeqCst);
        let stream = ActiveStream(self);
        (!self.is_refusing.load(Ordering::SeqCst)).then_some(stream)
    }

    /// Serves no more of them. Done when those that are being served are.
    pub(super) async fn end(&self) {
        self.is_refusing.store(true, Ordering::SeqCst);
        while self.active.load(Ordering::SeqCst) != 0 {
            // Of one that ends in between, the permit stays.
            self.ended.notified().await;
        }
    }
}

impl Drop for ActiveStream<'_> {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_is_served_and_lets_nothing_begin() {
        let streams = Streams::default();
        drop(streams.begin().unwrap());
        let (first, second) = (streams.begin().unwrap(), streams.begin().unwrap());
        let mut end = pin!(streams.end());
        for stream in [first, second] {
            assert!(timeout(Duration::from_secs(1), end.as_mut()).await.is_err());
            assert!(streams.begin().is_none());
            drop(stream);
        }
        assert!(timeout(Duration::from_secs(1), end).await.is_ok());
    }
}
