//! Hot path: no lock, no I/O, no info log.
//!
//! The moment at which a request is cut off, wherever it is stuck.
//!
//! A request is made of waits that Pingora bounds one by one: each read, each write. They are set to what is left of a
//! deadline, and end it with an answer where one can still be given. What adds up past it all the same (a client that sends
//! a byte now and then, and a server that is silent afterwards) is cut off here: the connection of an HTTP/1 client ends,
//! the stream of an HTTP/2 client is reset. Nothing runs after that but `Drop`.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use pingora_core::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream},
    protocols::{
        Stream,
        http::{ServerSession, v2::server::H2Options},
    },
    server::ShutdownWatch,
};
use tokio::{
    task_local,
    time::{Instant, Sleep, sleep_until},
};

use crate::listener::{App, Keeping};

/// What an answer has time for after its deadline, before it is cut off too.
pub const GRACE: Duration = Duration::from_secs(1);

task_local! {
    static CUTOFF: Cell<Option<Instant>>;
}

/// Cuts the current request off at this moment, and not at the one that was set before; never, without one. Does nothing
/// outside of a request of [`Bounded`].
pub fn set(at: Option<Instant>) {
    // Nothing to set outside of a request.
    let _ = CUTOFF.try_with(|cutoff| cutoff.set(at));
}

/// What a future comes to; nothing, if it is cut off before.
async fn bounded<F: Future>(future: F) -> Option<F::Output> {
    let bounded = async {
        let mut future = pin!(future);
        // Most requests have none.
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            let Some(at) = CUTOFF.with(Cell::get) else { return Poll::Pending };
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            timer.as_mut().poll(context).map(|()| None)
        })
        .await
    };
    CUTOFF.scope(Cell::new(None), bounded).await
}

/// Serves requests with `app`, each no longer than [`set`] says.
#[derive(Debug)]
pub struct Bounded<A>(Arc<A>);

impl<A> Bounded<A> {
    /// Serves with `app`.
    #[must_use]
    pub fn new(app: A) -> Self {
        Self(Arc::new(app))
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Bounded<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        bounded(self.0.process_new_http(session, shutdown)).await.flatten()
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.0.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.0.server_options()
    }

    async fn http_cleanup(&self) {
        self.0.http_cleanup().await;
    }
}

impl<A: App> App for Bounded<A> {
    async fn serve_bare(
        self: &Arc<Self>,
        connection: Stream,
        keeping: Keeping,
        closing: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        // On the heap once, instead of a copy for each future that holds it.
        bounded(Box::pin(self.0.serve_bare(connection, keeping, closing))).await.flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const NEVER: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_is_stuck_is_cut_off_when_it_was_said_last() {
        let start = Instant::now();
        let stuck = bounded(async {
            set(Some(start + NEVER));
            tokio::task::yield_now().await;
            set(Some(start + SOON));
            pending::<()>().await;
        });
        assert_eq!(stuck.await, None);
        assert!((SOON..NEVER).contains(&start.elapsed()));
    }

    #[tokio::test]
    async fn what_ends_before_is_not_cut_off() {
        let start = Instant::now();
        for last in [None, Some(start + NEVER)] {
            let work = bounded(async move {
                set(Some(start));
                set(last);
                tokio::task::yield_now().await;
                "done"
            });
            assert_eq!(work.await, Some("done"));
        }
        // Nobody is listening.
        set(Some(start));
    }
}
