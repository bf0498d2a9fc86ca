//! Hot path: no lock, no I/O, no info log.
//!
//! The connections to an endpoint that nobody uses at the moment.
//!
//! Whoever takes one looks whether it is still good. Those that nobody takes are looked at once a second, by a task that is
//! there while there are any: what the endpoint has closed, or what has been idle for too long, goes.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use crossbeam_queue::{ArrayQueue, SegQueue};
use pingora_core::protocols::Stream;
use tokio::{
    io::{AsyncRead, ReadBuf},
    task::unconstrained,
    time::{Instant, sleep},
};

/// The most that is kept for one endpoint, give or take one a thread.
const MAX_IDLE: usize = 1024;

/// How many of those are taken first that were used last. The others are idle until they are needed or too old, so that what a
/// burst left behind goes when it is over.
const WARM: usize = 16;

/// How often those that nobody takes are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Connections that may be used again. About 1,024 at most.
pub struct IdleConnections {
    warm: ArrayQueue<Idle>,
    others: SegQueue<Idle>,
    /// For how long one is kept.
    kept_for: Duration,
    /// Whether there is a task that looks after them.
    is_swept: AtomicBool,
}

struct Idle {
    stream: Stream,
    since: Instant,
}

impl IdleConnections {
    /// None yet. Each is kept for `kept_for`.
    #[must_use]
    pub fn new(kept_for: Duration) -> Self {
        Self { warm: ArrayQueue::new(WARM), others: SegQueue::new(), kept_for, is_swept: AtomicBool::new(false) }
    }

    /// One that is as it was left, as far as anybody can tell: the endpoint may be about to close it.
    #[must_use]
    pub fn take(&self) -> Option<Stream> {
        let now = Instant::now();
        while let Some(mut idle) = self.warm.pop().or_else(|| self.others.pop()) {
            if idle.is_good(now, self.kept_for) {
                return Some(idle.stream);
            }
        }
        None
    }

    /// Keeps one for whoever needs it next, if there are not enough.
    pub fn put(self: &Arc<Self>, stream: Stream) {
        let mut idle = Idle { stream, since: Instant::now() };
        if self.len() >= MAX_IDLE || !idle.is_good(idle.since, self.kept_for) {
            return;
        }
        self.keep(idle);
        // Behind the push, as the task that ends looks for what was pushed behind its own change.
        if !self.is_swept.load(Ordering::SeqCst) && !self.is_swept.swap(true, Ordering::SeqCst) {
            tokio::spawn(look_after(Arc::downgrade(self)));
        }
    }

    /// Lets go of those that are not good any more.
    fn sweep(&self) {
        let now = Instant::now();
        let good = |mut idle: Idle| idle.is_good(now, self.kept_for).then_some(idle);
        for _ in 0..self.others.len() {
            if let Some(idle) = self.others.pop().and_then(good) {
                self.others.push(idle);
            }
        }
        for _ in 0..self.warm.len() {
            if let Some(idle) = self.warm.pop().and_then(good) {
                self.keep(idle);
            }
        }
    }

    fn keep(&self, idle: Idle) {
        if let Some(longest_unused) = self.warm.force_push(idle) {
            self.others.push(longest_unused);
        }
    }

    fn len(&self) -> usize {
        self.warm.len() + self.others.len()
    }
}

impl fmt::Debug for IdleConnections {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { warm: _, others: _, kept_for, is_swept: _ } = self;
        out.debug_struct("IdleConnections")
            .field("count", &self.len())
            .field("kept_for", kept_for)
            .finish_non_exhaustive()
    }
}

impl Idle {
    /// Whether it may be used: not for too long idle, and nothing came of it, its end neither.
    fn is_good(&mut self, now: Instant, kept_for: Duration) -> bool {
        let mut byte = [0];
        let mut bytes = ReadBuf::new(&mut byte);
        // Whatever the task has done before: one that has had its share would be told that nothing came.
        let read = pin!(unconstrained(poll_fn(|context| Pin::new(&mut self.stream).poll_read(context, &mut bytes))));
        let is_quiet = read.poll(&mut Context::from_waker(Waker::noop())).is_pending();
        is_quiet && now.saturating_duration_since(self.since) < kept_for
    }
}

/// Sweeps until there is nothing left, or nobody who would ask for it.
async fn look_after(idle: Weak<IdleConnections>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let Some(idle) = idle.upgrade() else { return };
        idle.sweep();
        if idle.len() == 0 {
            idle.is_swept.swap(false, Ordering::SeqCst);
            // Whoever puts one from here on begins a task. One that was put before, and saw this one, is there to be seen.
            if idle.len() == 0 || idle.is_swept.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::SocketAddr as Address};

    use pingora_core::{connectors::TransportConnector, upstreams::peer::HttpPeer};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// An endpoint, and connections to it.
    struct Server {
        listener: TcpListener,
        address: Address,
        connector: TransportConnector,
    }

    impl Server {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            Self { listener, address, connector: TransportConnector::new(None) }
        }

        /// Both ends of a new connection.
        async fn connect(&self) -> (Stream, TcpStream) {
            let peer = HttpPeer::new(self.address, false, String::new());
            let ours = self.connector.new_stream(&peer).await.unwrap();
            (ours, self.listener.accept().await.unwrap().0)
        }
    }

    /// Returns once something came on a connection, or its end.
    async fn await_readable(stream: &mut Stream) {
        let readable = poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut ReadBuf::new(&mut [0])));
        readable.await.unwrap();
    }

    fn kept_for(time: Duration) -> Arc<IdleConnections> {
        Arc::new(IdleConnections::new(time))
    }

    #[tokio::test]
    async fn those_that_were_used_last_are_taken_first_and_each_once() {
        let (server, idle) = (Server::start().await, kept_for(LONG));
        let mut peers = Vec::new();
        let mut ids = Vec::new();
        for _ in 0..WARM + 3 {
            let (stream, peer) = server.connect().await;
            ids.push(stream.id());
            peers.push(peer);
            idle.put(stream);
        }
        let taken: Vec<_> = std::iter::from_fn(|| idle.take()).map(|stream| stream.id()).collect();
        ids.rotate_left(3);
        assert_eq!(taken, ids);
    }

    /// More of them than Tokio lets a task read from before it is somebody else's turn.
    #[tokio::test]
    async fn however_many_are_dead_none_is_taken() {
        let (server, idle) = (Server::start().await, kept_for(LONG));
        for is_swept in [false, true] {
            let mut peers = Vec::new();
            for _ in 0..300 {
                let (stream, peer) = server.connect().await;
                peers.push(peer);
                idle.put(stream);
            }
            assert_eq!(idle.len(), 300);
            drop(peers);
            // What the last of them shows was shown by all before.
            let mut last = idle.warm.pop().unwrap();
            await_readable(&mut last.stream).await;
            if is_swept {
                idle.sweep();
                assert_eq!(idle.len(), 0);
            }
            assert!(idle.take().is_none());
        }
    }

    #[tokio::test]
    async fn what_was_kept_for_too_long_is_not_taken() {
        let (server, idle) = (Server::start().await, kept_for(Duration::ZERO));
        let (stream, _server) = server.connect().await;
        idle.others.push(Idle { stream, since: Instant::now() });
        assert!(idle.take().is_none());
    }

    #[tokio::test]
    async fn what_the_endpoint_has_closed_or_written_to_is_not_kept() {
        let (server, idle) = (Server::start().await, kept_for(LONG));
        let (mut closed, peer) = server.connect().await;
        drop(peer);
        await_readable(&mut closed).await;
        idle.put(closed);
        let (mut unasked, mut peer) = server.connect().await;
        peer.write_all(b"HTTP/1.1 408 Request Timeout\r\n").await.unwrap();
        await_readable(&mut unasked).await;
        idle.put(unasked);
        assert!(idle.take().is_none());
    }

    #[tokio::test]
    async fn what_nobody_takes_is_let_go_in_time() {
        let (server, idle) = (Server::start().await, kept_for(SWEEP_INTERVAL));
        let (stream, mut peer) = server.connect().await;
        idle.put(stream);
        tokio::time::pause();
        // The other end, or this would be done by whoever asks.
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
        while idle.is_swept.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        // Another one is looked after as well.
        let (stream, mut peer) = server.connect().await;
        idle.put(stream);
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
    }
}
