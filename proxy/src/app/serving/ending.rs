//! How a proxy stops: it lets go of nobody who is being served, waits for nobody else, and for nobody for ever.

use std::time::Duration;

use tokio::time::sleep;

use super::{Serving, stopped};
use crate::lifecycle::{handover::Successor, notify::State, signal::Order};

/// How long a connection may still bring a request once the last was asked for. A client whose request crosses the end of its
/// connection cannot tell whether it was served; so busy clients hear of the end with an answer, and only those that ask
/// nothing for this long are cut off.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

impl Serving {
    /// Lets another process serve. Says how many orders to stop it takes to end the requests in flight: two, because the first
    /// is for whoever serves.
    pub(super) async fn step_back(&mut self, successor: Successor) -> usize {
        self.doors.close().await;
        if let Some(admin) = self.admin.take() {
            admin.stop_accepting().await;
        }
        // Whoever asks on an open connection asks the wrong process.
        let _ = self.stop_admin.send(true);
        self.revocations.release().await;
        if let Some(pid) = successor.install() {
            self.notifier.say(State::MainPid(pid));
            tracing::info!(pid, "handed over");
        }
        2
    }

    /// Says that a stop is near, lets load balancers notice, and takes no new connection any more. Says how many further
    /// orders to stop it takes to end the requests in flight: none if there was another already.
    pub(super) async fn announce(&mut self, order: &mut impl AsyncFnMut() -> Order) -> usize {
        self.notifier.say(State::Stopping);
        self.drain.announce();
        let delay = self.config.server.drain_delay;
        let mut patience = 1;
        if !delay.is_zero() {
            tracing::info!(?delay, "not ready any more, still accepting");
            tokio::select! {
                () = sleep(delay) => {}
                () = stopped(order) => patience = 0,
            }
        }
        self.doors.close().await;
        patience
    }

    /// Waits for the last connection, for the grace time to be over or for so many further orders to stop, whichever is first.
    pub(super) async fn wind_down(self, patience: usize, order: &mut impl AsyncFnMut() -> Order) {
        let Self { config, runtime, drain, stop_serving, stop_admin, .. } = self;
        let grace = config.server.shutdown_grace;
        drain.begin();
        tracing::info!(connections = drain.connections(), "stopping");
        let last = async {
            tokio::select! {
                () = drain.emptied() => {}
                () = sleep(LAST_REQUEST_TIMEOUT) => {
                    // Fails only if nothing serves any more.
                    let _ = stop_serving.send(true);
                    drain.emptied().await;
                }
            }
        };
        let again = async {
            for _ in 0..patience {
                stopped(order).await;
            }
        };
        tokio::select! {
            biased;
            () = last => tracing::info!("stopped"),
            () = sleep(grace) => {
                tracing::warn!(connections = drain.connections(), "stopped with requests in flight: shutdown_grace is over");
            }
            () = again => tracing::warn!(connections = drain.connections(), "stopped at once"),
        }
        let tracer = runtime.load().tracer.clone();
        if let Some(tracer) = tracer {
            tracer.flush().await;
        }
        // The admin listener answers to the end, so that readiness can be seen to be gone.
        let _ = stop_admin.send(true);
    }
}
