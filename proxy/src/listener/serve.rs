//! One connection, from its acceptance to its end.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use pingora_core::{
    apps::ReusedHttpStream,
    protocols::{Stream, raw_connect::ProxyDigest},
};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{
    App, Keeping, Limits, Settings, activity::Activity, admission::Permit, alarm::Alarm, connection::Connection, http2,
    proxy_protocol, rescue::Rescue, socket::Socket, transport::Transport,
};
use crate::{
    drain::{Drain, Entered},
    telemetry::metrics::{ListenerMetrics, OpenConnection, ProxyMetrics},
};

/// What the connections of a listener share.
pub(super) struct Serving<A> {
    pub(super) app: Arc<A>,
    pub(super) drain: Arc<Drain>,
    pub(super) metrics: Option<(ListenerMetrics, ProxyMetrics)>,
}

/// A connection, and what watches over it.
struct Watched {
    connection: Box<Connection>,
    activity: Arc<Activity>,
    rescue: Arc<Rescue>,
    alarm: Alarm,
    limits: Limits,
}

/// Why a connection is not served, or not any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionFault {
    /// The head of a request took too long.
    HeaderTimeout,
    /// As many as allowed are open.
    Limit,
    /// As many as allowed are open of its address.
    LimitPerIp,
    /// It does not begin with the header that the listener asks for.
    ProxyProtocol,
}

impl ConnectionFault {
    /// The stable word for this fault, one of [`REJECTIONS`](crate::telemetry::metrics::REJECTIONS).
    const fn reason(self) -> &'static str {
        match self {
            Self::HeaderTimeout => "header_timeout",
            Self::Limit => "connection_limit",
            Self::LimitPerIp => "connection_limit_per_ip",
            Self::ProxyProtocol => "proxy_protocol_invalid",
        }
    }
}

/// What a wait for the first bytes of a request ended with.
enum First {
    Begun,
    /// By the client, by time, or because nothing more is served here.
    Over,
}

impl<A> Serving<A> {
    pub(super) fn count(&self, fault: ConnectionFault) {
        if let Some((_, metrics)) = &self.metrics {
            metrics.count_rejected(fault.reason());
        }
    }

    /// Counts a connection as open: before its task runs for the first time, so that a stop does not overlook it.
    pub(super) fn enter(&self) -> (Entered, Option<OpenConnection>) {
        (self.drain.enter(), self.listener_metrics().map(ListenerMetrics::open))
    }

    pub(super) fn listener_metrics(&self) -> Option<&ListenerMetrics> {
        self.metrics.as_ref().map(|(metrics, _)| metrics)
    }
}

impl<A: App> Serving<A> {
    /// Serves a connection to its end.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        mut permit: Permit,
        settings: Arc<Settings>,
        closing: watch::Receiver<bool>,
    ) {
        let accepted = Instant::now();
        let due = accepted + settings.limits.header_read_timeout;
        // On the heap and gone afterwards: a handshake needs kilobytes that a connection does not.
        let transport = Box::pin(self.shake_hands(stream, peer, &mut permit, &settings, due)).await;
        let Some(transport) = transport else { return };
        let limits = settings.limits;
        drop(settings);
        let (activity, rescue) = (Arc::new(Activity::new(accepted)), Arc::default());
        let note = Arc::new(note(&activity));
        let connection = Box::new(Connection::new(transport, Arc::clone(&activity), note, Arc::clone(&rescue)));
        let watched = Watched { connection, activity, rescue, alarm: Alarm::new(due), limits };
        if watched.connection.is_http2() {
            self.http2(watched, due, closing).await;
        } else {
            self.http1(watched, due, closing).await;
        }
    }

    /// Everything before HTTP. Nothing if the connection is not to be served.
    async fn shake_hands(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        permit: &mut Permit,
        settings: &Settings,
        due: Instant,
    ) -> Option<Transport> {
        let (client, ahead) = match settings.proxy_protocol {
            true => self.introduction(&mut stream, peer, due).await?,
            false => (peer, Bytes::new()),
        };
        if !permit.name(client.ip(), settings.limits.connections_per_ip) {
            self.count(ConnectionFault::LimitPerIp);
            tracing::debug!(%client, "refused: limits.connections_per_ip are open");
            return None;
        }
        let socket = Socket::new(stream, client, ahead);
        let Some(tls) = &settings.tls else { return Some(Transport::Plain(socket)) };
        let failure = match timeout_at(due, tls.accept(socket)).await {
            Ok(Ok(stream)) => return Some(Transport::Tls(Box::new(stream))),
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::debug!(%client, failure, "TLS handshake failed");
        if let Some(metrics) = self.listener_metrics() {
            metrics.handshake_failures.inc();
        }
        None
    }

    /// Whose connection it is, as the proxy in front says.
    async fn introduction(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        due: Instant,
    ) -> Option<(SocketAddr, Bytes)> {
        let error = match timeout_at(due, proxy_protocol::read(stream)).await {
            Ok(Ok((client, ahead))) => return Some((client.unwrap_or(peer), ahead)),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        self.count(ConnectionFault::ProxyProtocol);
        tracing::debug!(%peer, %error, "no PROXY protocol header");
        None
    }

    async fn http1(&self, mut watched: Watched, mut first_due: Instant, closing: watch::Receiver<bool>) {
        let mut closed = pin!(is_closing(closing.clone()));
        let mut keeping = Keeping::First(watched.limits.requests_per_connection);
        let mut is_first = true;
        loop {
            match watched.first_bytes(first_due, closed.as_mut()).await {
                First::Begun => {}
                First::Over => return,
            }
            let is_bare = watched.connection.begins_with_bare_request();
            if !is_bare {
                let head_due = if is_first { first_due } else { Instant::now() + watched.limits.header_read_timeout };
                watched.activity.await_head(head_due, true);
            }
            is_first = false;
            let Watched { connection, activity, rescue, mut alarm, limits } = watched;
            let mut request: Pin<Box<dyn Future<Output = _> + Send>> = match is_bare {
                true => Box::pin(self.app.serve_bare(connection, keeping, &closing)),
                false => self.app.process_new_http(keeping.session(connection), &closing),
            };
            let outcome = alarm.watch(&activity, request.as_mut()).await;
            let Some(outcome) = outcome else {
                self.cut_off(request, &activity, &rescue).await;
                return;
            };
            drop(request);
            activity.head_is_whole();
            let Some((stream, settings)) = outcome.map(ReusedHttpStream::consume) else { return };
            let (Some(connection), Some(settings)) = (ours(stream), settings) else { return };
            keeping = Keeping::Again(settings);
            first_due = Instant::now() + limits.idle_timeout;
            watched = Watched { connection, activity, rescue, alarm, limits };
        }
    }

    /// Ends a request that takes too long: with a word if it has not begun to be answered.
    async fn cut_off<R>(&self, request: R, activity: &Activity, rescue: &Rescue) {
        let is_within_head = activity.is_within_head();
        if is_within_head {
            rescue.want();
        }
        drop(request);
        if is_within_head {
            self.count(ConnectionFault::HeaderTimeout);
            rescue.say_timeout().await;
        }
    }

    async fn http2(&self, watched: Watched, due: Instant, closing: watch::Receiver<bool>) {
        let Watched { connection, activity, rescue: _, mut alarm, limits } = watched;
        // The client has begun: it said in its handshake what it is about to send.
        activity.await_head(due, true);
        let served = pin!(http2::serve(Arc::clone(&self.app), connection, Arc::clone(&activity), limits, closing));
        if alarm.watch(&activity, served).await.is_none() && activity.is_within_head() {
            self.count(ConnectionFault::HeaderTimeout);
        }
    }
}

impl Watched {
    /// Waits for the first bytes of a request, until `due` and as long as requests are served.
    async fn first_bytes<C: Future<Output = ()>>(&mut self, due: Instant, mut closed: std::pin::Pin<&mut C>) -> First {
        let Self { connection, alarm, .. } = self;
        poll_fn(|context| match connection.poll_first(context) {
            Poll::Ready(Ok(true)) => Poll::Ready(First::Begun),
            Poll::Ready(Ok(false) | Err(_)) => Poll::Ready(First::Over),
            Poll::Pending if closed.as_mut().poll(context).is_ready() => Poll::Ready(First::Over),
            Poll::Pending if alarm.is_due(Some(due), context) => Poll::Ready(First::Over),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// What Pingora hands to every request of the connection: it has no place of its own for what a server knows.
fn note(activity: &Arc<Activity>) -> ProxyDigest {
    let (nothing, ()) = http::Response::new(()).into_parts();
    ProxyDigest::new(Box::new(nothing.into()), Some(Box::new(Arc::clone(activity))))
}

fn ours(stream: Stream) -> Option<Box<Connection>> {
    stream.into_any().downcast().ok()
}

/// Done when the listener lets its connections go.
pub(super) async fn is_closing(mut closing: watch::Receiver<bool>) {
    if closing.wait_for(|is_closing| *is_closing).await.is_err() {
        // Nobody can say so any more.
        std::future::pending().await
    }
}
