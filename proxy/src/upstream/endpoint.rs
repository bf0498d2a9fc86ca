//! Hot path: no lock, no I/O, no info log.
//!
//! One server of an upstream: where it is, how it is spoken to, what it is doing, and whether it is in rotation.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use pingora_core::upstreams::peer::HttpPeer;
use tokio::time::Instant;

use super::{
    idle::IdleConnections,
    outlier::{Pass, Standing},
};

/// One server of an upstream.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    weight: u32,
    /// Everything that does not change between requests.
    peer: HttpPeer,
    idle: Arc<IdleConnections>,
    in_flight: AtomicUsize,
    standing: Standing,
}

impl Endpoint {
    /// A server that nothing is known of: it is in rotation.
    pub(super) fn new(address: SocketAddr, weight: u32, peer: HttpPeer, standing: Standing) -> Self {
        let idle = Arc::new(IdleConnections::new(peer.options.idle_timeout.unwrap_or(Duration::MAX)));
        Self { address, weight, peer, idle, in_flight: AtomicUsize::new(0), standing }
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its share of the requests, next to the others'.
    #[must_use]
    pub const fn weight(&self) -> u32 {
        self.weight
    }

    /// How it is spoken to.
    #[must_use]
    pub const fn peer(&self) -> &HttpPeer {
        &self.peer
    }

    /// The connections to it that are not in use.
    #[must_use]
    pub const fn idle(&self) -> &Arc<IdleConnections> {
        &self.idle
    }

    /// How many requests it has at this moment.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it is in rotation: health checks find it well, and it is not ejected.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.standing.is_available()
    }

    /// Whether it takes any request: it is in rotation, and not on probation with its trial under way.
    pub(super) fn is_open(&self) -> bool {
        self.standing.is_open(Instant::now)
    }

    /// Puts it into rotation, or takes it out, as health checks say.
    pub fn mark_checked(&self, is_healthy: bool) {
        self.standing.check(is_healthy);
    }

    /// When it may be asked whether it is well again; nothing, unless it is ejected.
    #[must_use]
    pub fn ejected_until(&self) -> Option<Instant> {
        self.standing.ejected_until()
    }

    /// Takes it back after it was ejected, on probation: its trial, which is one request, decides.
    pub fn readmit(&self) {
        self.standing.readmit();
    }

    /// Leaves it out for longer than the last time, after it was ejected and asked.
    pub fn extend_ejection(&self, now: Instant) {
        self.standing.extend(now);
    }

    /// Lets it go. Requests that it still has count nowhere.
    pub(super) fn retire(&self) {
        self.standing.retire();
    }
}

/// An endpoint that has a request, until this is dropped.
#[derive(Debug)]
pub struct Lease {
    endpoint: Arc<Endpoint>,
    pass: Pass,
}

impl Lease {
    /// Of an endpoint that takes any request, or one more at least: nothing, if its trial is somebody else's.
    pub(super) fn take(endpoint: &Arc<Endpoint>) -> Option<Self> {
        endpoint.standing.admit(Instant::now).map(|pass| Self::begin(endpoint, pass))
    }

    /// Of an endpoint, whether its trial is somebody else's or not.
    pub(super) fn take_anyway(endpoint: &Arc<Endpoint>) -> Self {
        Self::begin(endpoint, endpoint.standing.admit_anyway())
    }

    fn begin(endpoint: &Arc<Endpoint>, pass: Pass) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { endpoint: Arc::clone(endpoint), pass }
    }

    /// The endpoint.
    #[must_use]
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Takes down that the request failed, and whose fault that was is known. If that ejects the endpoint: for how long.
    pub(super) fn fail(&self, now: Instant) -> Option<Duration> {
        self.endpoint.standing.fail(self.pass, now)
    }

    /// Takes down that the request succeeded.
    pub(super) fn succeed(&self) {
        self.endpoint.standing.succeed(self.pass);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.endpoint.standing.leave(self.pass);
    }
}
