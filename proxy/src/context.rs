//! Hot path: no lock, no I/O, no info log.
//!
//! What one request carries from its first byte to its log line.

use std::{sync::Arc, time::Instant};

use cognigate_auth::cache::VerifiedToken;

use crate::runtime::{Route, Runtime};

/// The state of one request.
#[derive(Debug)]
pub struct RequestContext {
    /// The configuration as it was when the request arrived.
    pub runtime: Arc<Runtime>,
    /// The route that matched, as an index into the snapshot's.
    pub route: Option<usize>,
    /// The token that was verified, on routes that ask for one.
    pub token: Option<Arc<VerifiedToken>>,
    /// When the request line and headers were read.
    pub started: Instant,
    /// When an endpoint was chosen for the first time.
    pub upstream_started: Option<Instant>,
    /// How many endpoints were tried.
    pub attempts: usize,
    /// The last of them, by its place in the pool.
    pub endpoint: Option<usize>,
}

impl RequestContext {
    /// The context of a request that arrives now.
    #[must_use]
    pub fn new(runtime: Arc<Runtime>) -> Self {
        Self {
            runtime,
            route: None,
            token: None,
            started: Instant::now(),
            upstream_started: None,
            attempts: 0,
            endpoint: None,
        }
    }

    /// The route that matched.
    #[must_use]
    pub fn route(&self) -> Option<&Route> {
        self.route.and_then(|index| self.runtime.route(index))
    }
}
