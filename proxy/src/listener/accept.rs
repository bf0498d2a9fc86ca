//! The loop that takes connections from a socket.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use nix::errno::Errno;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    App, Settings,
    admission::Admission,
    serve::{ConnectionFault, Serving},
};

/// How long nothing is accepted when the system has no descriptor or no memory left: it would say so again at once.
const BREATH: Duration = Duration::from_millis(50);

/// The time between two lines about the same trouble.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Acceptor<A> {
    pub(super) socket: TcpListener,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) admission: Arc<Admission>,
    pub(super) serving: Arc<Serving<A>>,
    pub(super) closing: watch::Receiver<bool>,
}

impl<A: App> Acceptor<A> {
    /// Accepts for ever.
    pub(super) async fn run(self) {
        let (mut refusals, mut failures) = (Seldom::default(), Seldom::default());
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer, &mut refusals),
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    if let Some(metrics) = self.serving.listener_metrics() {
                        metrics.accept_failures.inc();
                    }
                    failures.say(|times| tracing::error!(%error, times, "cannot accept connections"));
                    sleep(BREATH).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, refusals: &mut Seldom) {
        let settings = self.settings.load_full();
        let Some(permit) = self.admission.admit(settings.limits.connections) else {
            self.serving.count(ConnectionFault::Limit);
            let limit = settings.limits.connections;
            refusals.say(|times| tracing::warn!(limit, times, "connections refused: limits.connections are open"));
            return;
        };
        // A client that is gone already is noticed by whoever reads from it.
        let _ = stream.set_nodelay(true);
        let (serving, closing) = (Arc::clone(&self.serving), self.closing.clone());
        let open = serving.enter();
        tokio::spawn(async move {
            let _open = open;
            serving.serve(stream, peer, permit, settings, closing).await;
        });
    }
}

/// Whether the fault is that of one connection: its client left before it was accepted, or the network to it failed. Linux
/// hands such faults to whoever accepts (accept(2), "Error handling").
fn is_of_the_client(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw).is_some_and(|errno| {
        matches!(
            errno,
            Errno::ECONNABORTED
                | Errno::ECONNRESET
                | Errno::EHOSTDOWN
                | Errno::EHOSTUNREACH
                | Errno::EINTR
                | Errno::ENETDOWN
                | Errno::ENETUNREACH
                | Errno::ENOPROTOOPT
                | Errno::EOPNOTSUPP
                | Errno::EPROTO
        )
    })
}

/// Says something at most once in [`LOG_INTERVAL`], and how often it happened since.
#[derive(Default)]
struct Seldom {
    last: Option<Instant>,
    times: u64,
}

impl Seldom {
    fn say(&mut self, line: impl FnOnce(u64)) {
        self.times += 1;
        if self.last.is_none_or(|last| last.elapsed() >= LOG_INTERVAL) {
            line(self.times);
            self.last = Some(Instant::now());
            self.times = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin};

    use pingora_core::{
        apps::{HttpServerApp, ReusedHttpStream},
        protocols::http::ServerSession,
        server::ShutdownWatch,
    };

    use super::*;
    use crate::listener::Service;

    /// Serves nothing.
    struct Nothing;

    impl HttpServerApp for Nothing {
        fn process_new_http<'a, 'b, 'c>(
            self: &'a Arc<Self>,
            _session: ServerSession,
            _shutdown: &'b ShutdownWatch,
        ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'c>>
        where
            'a: 'c,
            'b: 'c,
            Self: 'c,
        {
            Box::pin(std::future::ready(None))
        }
    }

    impl App for Nothing {}

    #[test]
    fn what_became_of_one_connection_does_not_hold_up_the_others() {
        let is_of_the_client = |errno: Errno| is_of_the_client(&errno.into());
        for errno in [
            Errno::ECONNABORTED,
            Errno::EHOSTUNREACH,
            Errno::EINTR,
            Errno::ENETDOWN,
            Errno::ENETUNREACH,
            Errno::ENOPROTOOPT,
            Errno::EOPNOTSUPP,
            Errno::EPROTO,
        ] {
            assert!(is_of_the_client(errno), "{errno}");
        }
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM, Errno::EBADF] {
            assert!(!is_of_the_client(errno), "{errno}");
        }
    }

    // One thread: the task of the connection does not run before this test waits.
    #[tokio::test]
    async fn a_connection_is_counted_before_its_task_runs() {
        let (_close, closing) = watch::channel(false);
        let Service { app, settings, admission, drain, metrics: _, closing } = Service::internal(Nothing, closing);
        let acceptor = Acceptor {
            socket: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            admission,
            serving: Arc::new(Serving { app, drain: Arc::clone(&drain), metrics: None }),
            closing,
        };
        let client = TcpStream::connect(acceptor.socket.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = acceptor.socket.accept().await.unwrap();
        acceptor.admit(stream, peer, &mut Seldom::default());
        assert_eq!(drain.connections(), 1);
        drop(client);
        drain.begin();
        drain.emptied().await;
    }
}
