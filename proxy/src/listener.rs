//! Sockets that requests arrive on, and the way of a connection from there to HTTP.
//!
//! ```text
//! accept ─▶ admission (how many in all) ─▶ PROXY header, if asked for ─▶ admission (how many of this address)
//!        ─▶ TLS handshake, if asked for ─▶ HTTP, a request at a time
//! ```
//!
//! - A socket is bound, or inherited, before anything is served, so that an address in use stops the start with its reason.
//! - What a connection may do and how long it may take is a snapshot that can be replaced at any time: a connection keeps
//!   the one that it was accepted under.
//! - Every wait for a client has a bound: the handshakes and the head of a request, the next request, and each write.

mod accept;
pub mod activity;
pub mod admission;
mod alarm;
mod app;
mod bare;
mod connection;
mod http2;
pub mod proxy_protocol;
mod rescue;
mod serve;
mod socket;
mod streams;
mod transport;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::{sync::watch, task::JoinHandle};

use self::{accept::Acceptor, admission::Admission, serve::Serving};
pub use self::{
    app::{App, Keeping},
    connection::rewound,
};
use crate::{
    config::model::LimitsConfig,
    drain::Drain,
    telemetry::metrics::{ListenerMetrics, ProxyMetrics},
    tls::TlsServer,
};

/// An address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// A socket that is bound: clients can connect, and wait to be served.
#[derive(Debug)]
pub struct BoundListener {
    socket: TcpListener,
    address: SocketAddr,
}

/// What a listener asks of its connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many there may be, and how long they may take.
    pub limits: Limits,
    /// What they are encrypted with; nothing for plain HTTP.
    pub tls: Option<Arc<TlsServer>>,
    /// Whether each begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

/// The part of `limits` that is about connections. See [`LimitsConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the configuration's words, documented there")]
pub struct Limits {
    pub connections: usize,
    pub connections_per_ip: usize,
    pub header_read_timeout: Duration,
    pub idle_timeout: Duration,
    pub requests_per_connection: u32,
    pub h2_streams: u32,
    pub h2_header_list_bytes: u32,
}

/// What a listener does with its connections.
#[derive(Debug)]
pub struct Service<A> {
    /// What serves their requests.
    pub app: Arc<A>,
    /// What is asked of them.
    pub settings: Settings,
    /// Whom they are counted with.
    pub admission: Arc<Admission>,
    /// What waits for the last of them.
    pub drain: Arc<Drain>,
    /// What is counted about them; nothing for a listener that is not the clients'.
    pub metrics: Option<(ListenerMetrics, ProxyMetrics)>,
    /// Says true when they are to end: idle ones at once, the others after the requests that they have begun. HTTP/2 clients
    /// are told (GOAWAY), and so are HTTP/1 clients with their next response.
    pub closing: watch::Receiver<bool>,
}

/// A socket that is served. Dropping it ends the acceptance of connections; those that are there go on.
#[derive(Debug)]
pub struct RunningListener {
    address: SocketAddr,
    socket: TcpListener,
    settings: Arc<ArcSwap<Settings>>,
    accepting: JoinHandle<()>,
}

impl BoundListener {
    /// Binds `address`; port 0 is one that the kernel chooses.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bound = TcpListener::bind(address).and_then(Self::from_socket);
        bound.map_err(|source| BindError { address, source })
    }

    /// Takes a socket over that somebody else has bound.
    ///
    /// # Errors
    ///
    /// [`BindError`], if it is no socket of an IP address.
    pub fn adopt(socket: TcpListener) -> Result<Self, BindError> {
        let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let address = socket.local_addr().map_err(|source| BindError { address: unknown, source })?;
        Self::from_socket(socket).map_err(|source| BindError { address, source })
    }

    fn from_socket(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// The address, with the port that was chosen.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves connections on the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BindError`], if the system has no descriptor left.
    pub fn serve<A>(self, service: Service<A>) -> Result<RunningListener, BindError>
    where
        A: App,
    {
        let Self { socket, address } = self;
        let Service { app, settings, admission, drain, metrics, closing } = service;
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let twin = socket.try_clone().and_then(tokio::net::TcpListener::from_std);
        let accepting = Acceptor {
            socket: twin.map_err(|source| BindError { address, source })?,
            settings: Arc::clone(&settings),
            admission,
            serving: Arc::new(Serving { app, drain, metrics }),
            closing,
        };
        let accepting = tokio::spawn(accepting.run());
        Ok(RunningListener { address, socket, settings, accepting })
    }
}

impl RunningListener {
    /// The address, with the port that was chosen.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket, for a process that is to take it over.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What is asked of connections from now on. Those that are there keep what they were accepted under.
    pub fn set(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// What is asked of connections now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Accepts no connection any more, and lets go of the socket. Connections that are there go on.
    pub async fn stop_accepting(mut self) {
        self.accepting.abort();
        // Cancelled, as it was asked to be.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for RunningListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl<A> Service<A> {
    /// For those that are on the same machine or in the same network: plain HTTP, within small limits.
    #[must_use]
    pub fn internal(app: A, closing: watch::Receiver<bool>) -> Self {
        Self {
            app: Arc::new(app),
            settings: Settings { limits: Limits::INTERNAL, tls: None, proxy_protocol: false },
            admission: Arc::default(),
            drain: Arc::default(),
            metrics: None,
            closing,
        }
    }
}

impl Limits {
    /// What somebody who watches the proxy needs, and no more.
    const INTERNAL: Self = Self {
        connections: 256,
        connections_per_ip: 0,
        header_read_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        requests_per_connection: 0,
        h2_streams: 1,
        h2_header_list_bytes: 16 * 1024,
    };
}

impl From<&LimitsConfig> for Limits {
    fn from(config: &LimitsConfig) -> Self {
        Self {
            connections: config.connections,
            connections_per_ip: config.connections_per_ip,
            header_read_timeout: config.header_read_timeout,
            idle_timeout: config.idle_timeout,
            requests_per_connection: config.requests_per_connection,
            h2_streams: config.h2_streams,
            h2_header_list_bytes: config.h2_header_list_bytes,
        }
    }
}
