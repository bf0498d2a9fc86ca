//! Hot path: no lock, no I/O, no info log.
//!
//! What a listener hands requests to.

use std::sync::Arc;

use pingora_core::{
    apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream, http_app::HttpServer},
    protocols::{Stream, http::ServerSession},
    server::ShutdownWatch,
};

/// What serves the requests of a listener.
pub trait App: HttpServerApp + Send + Sync + 'static {
    /// Serves the request that a connection begins with, which is bare. The connection, if it can be used again.
    ///
    /// As any other request, unless there is a shorter way.
    fn serve_bare(
        self: &Arc<Self>,
        connection: Stream,
        keeping: Keeping,
        closing: &ShutdownWatch,
    ) -> impl Future<Output = Option<ReusedHttpStream>> + Send {
        async move { self.process_new_http(keeping.session(connection), closing).await }
    }
}

impl<T> App for HttpServer<T> where Self: HttpServerApp + Send + Sync + 'static {}

/// For how long a connection is kept, and for how many requests.
#[derive(Debug)]
pub enum Keeping {
    /// It serves its first request, of this many; 0 is without limit. It is kept without a time of Pingora's: the listener has
    /// one.
    First(u32),
    /// It served one before.
    Again(HttpPersistentSettings),
}

impl Keeping {
    /// A session for the next request of a connection.
    #[must_use]
    pub fn session(self, connection: Stream) -> ServerSession {
        let mut session = ServerSession::new_http1(connection);
        self.apply_to(&mut session);
        session
    }

    /// Tells a session.
    pub fn apply_to(self, session: &mut ServerSession) {
        match self {
            Self::First(requests) => {
                session.set_keepalive(Some(0));
                session.set_keepalive_reuses_remaining(requests.checked_sub(1));
            }
            Self::Again(settings) => settings.apply_to_session(session),
        }
    }
}
