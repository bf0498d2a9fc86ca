//! Hot path: no lock, no I/O, no info log.
//!
//! A client's connection as HTTP sees it.
//!
//! - What HTTP/1 writes is held back until it flushes or more than [`HELD_BYTES`] are there: a head and the body behind it
//!   leave in one write, and under TLS in one record. HTTP/2 gathers its own frames.
//! - An HTTP/1 connection that waits for a request is watched here, before Pingora makes the tens of kilobytes that a
//!   request needs: what arrives first is kept for Pingora to read.
//! - It notes in its [`Activity`] what deadlines depend on.

use std::{
    fmt, io,
    mem::{self, MaybeUninit},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use async_trait::async_trait;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
    raw_connect::ProxyDigest,
    tls::{SslDigest, TlsRef},
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{activity::Activity, bare::is_bare, rescue::Rescue, transport::Transport};

/// The most that is held back before it is written. Most heads are far smaller; what is larger is not copied.
const HELD_BYTES: usize = 4096;

/// The most that is read of a request before Pingora is asked to. It begins with as much.
const FIRST_BYTES: usize = 4096;

/// The first bytes of every HTTP/2 connection (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;

/// A connection, from its handshake to its end.
pub(super) struct Connection {
    transport: Transport,
    /// The first bytes of a request, and how many of them Pingora has.
    first: Vec<u8>,
    first_read: usize,
    /// What is held back, and how much of it was written.
    held: Vec<u8>,
    held_written: usize,
    /// Whether something was written since the request began.
    is_answering: bool,
    /// How many bytes an HTTP/2 client has yet to send until its connection is one.
    preface_left: usize,
    is_http2: bool,
    activity: Arc<Activity>,
    /// How the service finds the activity: Pingora hands this to every request, whatever the protocol.
    note: Arc<ProxyDigest>,
    rescue: Arc<Rescue>,
}

impl Connection {
    pub(super) fn new(
        transport: Transport,
        activity: Arc<Activity>,
        note: Arc<ProxyDigest>,
        rescue: Arc<Rescue>,
    ) -> Self {
        let is_http2 = matches!(transport.selected_alpn_proto(), Some(ALPN::H2));
        Self {
            transport,
            first: Vec::new(),
            first_read: 0,
            held: Vec::new(),
            held_written: 0,
            is_answering: false,
            preface_left: PREFACE_BYTES,
            is_http2,
            activity,
            note,
            rescue,
        }
    }

    /// Whether the client chose HTTP/2.
    pub(super) const fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Waits for the first bytes of a request. Whether there are any: none will come once the client has closed.
    pub(super) fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // On the stack and only while this looks: a connection that waits owns no buffer for what may come.
        let mut space = [MaybeUninit::uninit(); FIRST_BYTES];
        let mut bytes = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.transport).poll_read(context, &mut bytes))?;
        self.first.clear();
        self.first.extend_from_slice(bytes.filled());
        self.first_read = 0;
        self.is_answering = false;
        Poll::Ready(Ok(!self.first.is_empty()))
    }

    /// Whether what came first is a whole request, and as most are.
    pub(super) fn begins_with_bare_request(&self) -> bool {
        is_bare(&self.first)
    }

    fn held(&self) -> &[u8] {
        self.held.get(self.held_written..).unwrap_or_default()
    }

    /// Whether these bytes can be held back with what is held already.
    fn has_room(&self, length: usize) -> bool {
        !self.is_http2 && self.held.len() + length <= HELD_BYTES
    }

    fn forget(&mut self, written: usize) {
        self.held_written += written;
        if self.held_written >= self.held.len() {
            self.held.clear();
            self.held_written = 0;
        }
    }

    /// Writes what is held back.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held().is_empty() {
            let held = self.held.get(self.held_written..).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.transport).poll_write(context, held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.forget(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is held back and `bytes` behind it. How much of `bytes` was written.
    fn poll_together(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        while !self.held().is_empty() {
            let held = self.held.get(self.held_written..).unwrap_or_default();
            let slices = [io::IoSlice::new(held), io::IoSlice::new(bytes)];
            let written = ready!(Pin::new(&mut self.transport).poll_write_vectored(context, &slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_held = written.min(self.held().len());
            self.forget(of_held);
            if written > of_held {
                return Poll::Ready(Ok(written - of_held));
            }
        }
        Pin::new(&mut self.transport).poll_write(context, bytes)
    }

    /// Notes whether the client takes what it is sent.
    fn noted<T>(&self, outcome: Poll<T>) -> Poll<T> {
        match outcome {
            Poll::Pending => self.activity.write_stalls(),
            Poll::Ready(_) => self.activity.write_goes_on(),
        }
        outcome
    }
}

/// A client's connection that begins with its bare request once more, of which nothing else may have been read. Nothing, if it
/// is no connection of a listener.
pub fn rewound(connection: Stream) -> Option<Stream> {
    let mut connection: Box<Connection> = connection.into_any().downcast().ok()?;
    connection.first_read = 0;
    Some(connection)
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connection").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let first = self.first.get(self.first_read..).unwrap_or_default();
        if !first.is_empty() {
            let (now, _) = first.split_at_checked(out.remaining()).unwrap_or((first, &[]));
            out.put_slice(now);
            let length = now.len();
            self.first_read += length;
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(context, out))?;
        if self.is_http2 && self.preface_left > 0 {
            self.preface_left = self.preface_left.saturating_sub(out.filled().len() - before);
            if self.preface_left == 0 {
                // Whether the first request has, h2 alone knows. It has no more time than one of HTTP/1.
                self.activity.head_has_not_begun();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.is_answering = true;
        if self.has_room(bytes.len()) {
            self.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = self.poll_together(context, bytes);
        self.noted(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = match self.poll_held(context) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.transport).poll_flush(context),
            unfinished @ (Poll::Ready(Err(_)) | Poll::Pending) => unfinished,
        };
        self.noted(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = match self.poll_held(context) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.transport).poll_shutdown(context),
            unfinished @ (Poll::Ready(Err(_)) | Poll::Pending) => unfinished,
        };
        self.noted(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_answering = true;
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.has_room(length) {
            for slice in slices {
                self.held.extend_from_slice(slice);
            }
            return Poll::Ready(Ok(length));
        }
        let outcome = match self.poll_held(context) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.transport).poll_write_vectored(context, slices),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        self.noted(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.rescue.is_wanted() && !self.is_answering {
            self.rescue.put(mem::take(&mut self.transport));
        } else if !self.held().is_empty() {
            // There is nobody left to wait: what the kernel does not take now is lost.
            let _ = self.poll_held(&mut Context::from_waker(Waker::noop()));
        }
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // Fails if the client was faster.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Connection {
    fn id(&self) -> UniqueIDType {
        self.transport.id()
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.transport.get_socket_digest()
    }
}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.transport.get_timing_digest()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.note))
    }
}

impl Ssl for Connection {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.transport.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.transport.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.transport.selected_alpn_proto()
    }
}

impl Peek for Connection {}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use bytes::Bytes;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;
    use crate::listener::socket::Socket;

    /// What a client receives whose request is cut off after its connection did `work` for it.
    async fn received(work: impl AsyncFnOnce(&mut Connection)) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let transport = Transport::Plain(Socket::new(stream, peer, Bytes::new()));
        let activity = Arc::new(Activity::new(Instant::now()));
        let (nothing, ()) = http::Response::new(()).into_parts();
        let (note, rescue) = (Arc::new(ProxyDigest::new(Box::new(nothing.into()), None)), Arc::new(Rescue::default()));
        let mut connection = Connection::new(transport, activity, note, Arc::clone(&rescue));
        client.write_all(b"GET").await.unwrap();
        assert!(poll_fn(|context| connection.poll_first(context)).await.unwrap());
        work(&mut connection).await;
        rescue.want();
        drop(connection);
        rescue.say_timeout().await;
        let mut text = String::new();
        let read = tokio::time::timeout(Duration::from_secs(10), client.read_to_string(&mut text));
        read.await.unwrap().unwrap();
        text
    }

    #[tokio::test]
    async fn a_farewell_is_not_said_within_a_response() {
        let text = received(async |_| {}).await;
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
        let text = received(async |connection| {
            connection.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            connection.flush().await.unwrap();
        });
        assert_eq!(text.await, "HTTP/1.1 200 OK\r\n");
        let text = received(async |connection| connection.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap());
        assert_eq!(text.await, "HTTP/1.1 200 OK\r\n");
    }
}
