//! Hot path: no lock, no I/O, no info log.
//!
//! A named set of endpoints that serve the same thing.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer, Peer, PeerOptions};

use crate::{
    config::model::{Balance, TimeoutsConfig, UpstreamConfig},
    telemetry::metrics::UpstreamMetrics,
    upstream::schedule,
};

/// The endpoints of an upstream and whose turn it is.
#[derive(Debug)]
pub struct Pool {
    name: Box<str>,
    /// One peer an endpoint, with everything that does not change between requests.
    peers: Box<[HttpPeer]>,
    turns: Box<[usize]>,
    cursor: AtomicUsize,
    metrics: UpstreamMetrics,
}

impl Pool {
    /// A pool whose first turn is the first endpoint's.
    #[must_use]
    pub fn new(config: &UpstreamConfig, metrics: UpstreamMetrics) -> Self {
        let UpstreamConfig { name, endpoints, balance, timeouts } = config;
        let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let turns = match balance {
            Balance::RoundRobin => schedule::smooth(&weights),
        };
        let peers = endpoints.iter().map(|endpoint| {
            let mut peer = HttpPeer::new(endpoint.address, false, String::new());
            peer.options = options(*timeouts);
            peer
        });
        Self { name: name.clone(), peers: peers.collect(), turns, cursor: AtomicUsize::new(0), metrics }
    }

    /// The name that routes call it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is counted about it.
    #[must_use]
    pub const fn metrics(&self) -> &UpstreamMetrics {
        &self.metrics
    }

    /// Where an endpoint is.
    #[must_use]
    pub fn address(&self, place: usize) -> Option<&SocketAddr> {
        self.peers.get(place)?.address().as_inet()
    }

    /// The endpoint whose turn it is, by its place; another than `failed` if there is one.
    pub fn next_peer(&self, failed: Option<usize>) -> Option<(usize, &HttpPeer)> {
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed).checked_rem(self.turns.len())?;
        let mut places = self.turns.iter().cycle().skip(turn).take(self.turns.len());
        let next = places.next()?;
        let place = if Some(*next) == failed { places.find(|place| **place != *next).unwrap_or(next) } else { next };
        Some((*place, self.peers.get(*place)?))
    }
}

fn options(timeouts: TimeoutsConfig) -> PeerOptions {
    let TimeoutsConfig { connect, read, write, idle } = timeouts;
    let mut options = PeerOptions::new();
    options.connection_timeout = Some(connect);
    options.total_connection_timeout = Some(connect);
    options.read_timeout = Some(read);
    options.write_timeout = Some(write);
    options.idle_timeout = Some(idle);
    // A connection that stopped being HTTP would outlive the token that it was opened with.
    options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::Deny;
    options
}
