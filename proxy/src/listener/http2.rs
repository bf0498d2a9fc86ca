//! An HTTP/2 connection: Pingora serves its streams, each in a task of its own; what the connection may do is said here.
//!
//! A connection that is let go is told so (GOAWAY), and ends with its last stream. h2 closes it once the client has confirmed
//! that no request is on its way any more, which a client may never do: then it ends here.

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use pingora_core::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp},
    protocols::http::{
        ServerSession,
        v2::server::{H2Options, default_h2_options},
    },
    server::ShutdownWatch,
};
use tokio::{sync::watch, time::sleep};

use super::{App, Limits, activity::Activity, connection::Connection, serve::is_closing, streams::Streams};

/// What a stream may send before it is read, and all streams of a connection together. The default of 64 KiB holds an upload
/// to that much each round trip.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Streams that the client reset and whose tasks have yet to notice. A client that resets faster than it is served is let go
/// (CVE-2023-44487).
const PENDING_RESETS: usize = 64;

/// What is kept of a response that the client has yet to make room for, a stream. The default is 400 KiB; what the kernel
/// keeps besides is what fills a long line.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How long requests are still served after the client was told that it is let go: those that were on their way.
const FAREWELL: Duration = Duration::from_secs(2);

/// The time in which the last of a response is handed to the kernel, if that takes it.
const BREATH: Duration = Duration::from_secs(1);

/// `REFUSED_STREAM`: nothing was done, the client may try again (RFC 9113 section 8.7).
const REFUSED_STREAM: u32 = 7;

/// Serves a connection until its client, its limits or `closing` ends it.
pub(super) async fn serve<A: App>(
    app: Arc<A>,
    connection: Box<Connection>,
    activity: Arc<Activity>,
    limits: Limits,
    closing: watch::Receiver<bool>,
) {
    let (let_go, is_let_go) = watch::channel(false);
    let limited = Arc::new(Limited {
        app,
        options: options(&limits),
        h2_options: h2_options(&limits),
        requests_left: AtomicU32::new(limits.requests_per_connection),
        let_go,
        streams: Streams::default(),
        activity: Arc::clone(&activity),
    });
    let served = limited.process_new(connection, &is_let_go);
    let closed = async {
        tokio::select! {
            () = is_closing(closing) => limited.let_go.send_replace(true),
            () = is_closing(is_let_go.clone()) => true,
        };
        limited.end(&activity).await;
    };
    tokio::select! {
        // First: what a stream left to be written is, before its connection is dropped.
        biased;
        _ = served => {}
        () = closed => {}
    }
}

fn options(limits: &Limits) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(limits.idle_timeout);
    options
}

fn h2_options(limits: &Limits) -> H2Options {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(limits.h2_header_list_bytes)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS);
    options
}

/// An app with the limits of one connection.
struct Limited<A> {
    app: Arc<A>,
    options: HttpServerOptions,
    h2_options: H2Options,
    /// How many requests are yet served; 0 from the beginning is no limit.
    requests_left: AtomicU32,
    /// Lets the connection go once its streams are done.
    let_go: watch::Sender<bool>,
    streams: Streams,
    activity: Arc<Activity>,
}

impl<A> Limited<A> {
    /// Done when nothing is served on a connection that was let go, whatever its client confirms.
    async fn end(&self, activity: &Activity) {
        sleep(FAREWELL).await;
        self.streams.end().await;
        loop {
            sleep(BREATH).await;
            // A client that takes nothing has a deadline of its own.
            if !activity.is_stalled() {
                return;
            }
        }
    }
}

/// What Pingora's trait asks for, written out: the attribute that writes it elsewhere would box every future once more.
type Served<'a> = Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'a>>;

impl<A: App> HttpServerApp for Limited<A> {
    fn process_new_http<'a, 'b, 'c>(
        self: &'a Arc<Self>,
        mut session: ServerSession,
        shutdown: &'b ShutdownWatch,
    ) -> Served<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.activity.head_is_whole();
        let Some(stream) = self.streams.begin() else {
            session.shutdown_with_reason(REFUSED_STREAM.into());
            return Box::pin(ready(None));
        };
        let count_down = |left: u32| left.checked_sub(1);
        if self.requests_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count_down) == Ok(1) {
            self.let_go.send_replace(true);
        }
        let served = self.app.process_new_http(session, shutdown);
        Box::pin(async move {
            let _stream = stream;
            served.await
        })
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(self.h2_options.clone())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
