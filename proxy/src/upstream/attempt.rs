//! Hot path: no lock, no I/O, no info log.
//!
//! A request at the endpoint that was chosen for it.

use std::{net::SocketAddr, time::Duration};

use tokio::time::Instant;

use super::{
    endpoint::Lease,
    pool::{Outcome, Pool},
};

/// How long a response has to go on for before its endpoint has done well, whatever becomes of the rest. Streams may last for
/// hours, and nobody waits that long to know; a server that answers and then breaks off or hangs does so at once.
const PROOF: Duration = Duration::from_secs(1);

/// A request at an endpoint.
#[derive(Debug)]
pub struct Attempt {
    lease: Lease,
    since: Instant,
    is_sent: bool,
    /// When its response began, unless that decided already.
    answered: Option<Instant>,
    is_proven: bool,
    is_settled: bool,
}

impl Attempt {
    /// At an endpoint that has just been chosen. `is_sent`: nothing of the request is still to come from the client.
    #[must_use]
    pub fn begin(lease: Lease, is_sent: bool) -> Self {
        Self { lease, since: Instant::now(), is_sent, answered: None, is_proven: false, is_settled: false }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.lease.endpoint().address()
    }

    /// From now on nobody but the endpoint is waited for.
    pub fn send(&mut self) {
        self.is_sent = true;
        self.since = Instant::now();
    }

    /// Whether nobody but the endpoint is waited for.
    #[must_use]
    pub const fn is_sent(&self) -> bool {
        self.is_sent
    }

    /// For how long the endpoint has been waited for: since it had the whole request or, until then, since it was chosen.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// From now on there is a response, of which nothing but its end can be bad.
    pub fn answer(&mut self) {
        self.answered = Some(Instant::now());
    }

    /// Tells the pool that all is well so far, once the response has gone on for a second. Its end counts as well.
    pub fn prove(&mut self, pool: &Pool) {
        let is_undecided = !self.is_settled && !self.is_proven;
        if is_undecided && self.answered.is_some_and(|answered| answered.elapsed() >= PROOF) {
            self.is_proven = true;
            pool.settle(&self.lease, Outcome::Success);
        }
    }

    /// Tells the pool what became of it, once.
    pub fn settle(&mut self, pool: &Pool, outcome: Outcome) {
        if !std::mem::replace(&mut self.is_settled, true) {
            pool.settle(&self.lease, outcome);
        }
    }
}
