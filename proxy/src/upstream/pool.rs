//! Hot path: no lock, no I/O, no info log.
//!
//! A named set of endpoints that serve the same thing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer, Peer, PeerOptions};

use crate::{
    config::model::{Balance, TimeoutsConfig, UpstreamConfig, UpstreamProtocol, UpstreamTlsConfig},
    telemetry::metrics::UpstreamMetrics,
    tls::Fault,
    upstream::{schedule, trust::Authorities},
};

/// Requests at a time on one HTTP/2 connection to an endpoint: what most servers allow. One that allows fewer says so.
const MAX_H2_STREAMS: usize = 100;

/// How often an HTTP/2 connection is asked whether anyone is still there.
const H2_PING_INTERVAL: Duration = Duration::from_secs(30);

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
    ///
    /// # Errors
    ///
    /// What is wrong with the file of its authorities.
    pub fn new(config: &UpstreamConfig, metrics: UpstreamMetrics) -> Result<Self, Fault> {
        let UpstreamConfig { name, endpoints, balance, timeouts, protocol, tls } = config;
        let authorities = tls.as_ref().and_then(|tls| tls.ca.as_deref()).map(Authorities::load).transpose()?;
        let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let turns = match balance {
            Balance::RoundRobin => schedule::smooth(&weights),
        };
        let peers = endpoints.iter().map(|endpoint| {
            let server_name = tls.as_ref().map(|UpstreamTlsConfig { server_name, .. }| server_name.to_string());
            let mut peer = HttpPeer::new(endpoint.address, tls.is_some(), server_name.unwrap_or_default());
            peer.options = options(*timeouts, *protocol);
            if let Some(Authorities { certificates, group }) = &authorities {
                peer.options.ca = Some(Arc::clone(certificates));
                peer.group_key = *group;
            }
            peer
        });
        Ok(Self { name: name.clone(), peers: peers.collect(), turns, cursor: AtomicUsize::new(0), metrics })
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

fn options(timeouts: TimeoutsConfig, protocol: UpstreamProtocol) -> PeerOptions {
    let TimeoutsConfig { connect, read, write, idle } = timeouts;
    let mut options = PeerOptions::new();
    options.connection_timeout = Some(connect);
    options.total_connection_timeout = Some(connect);
    options.read_timeout = Some(read);
    options.write_timeout = Some(write);
    options.idle_timeout = Some(idle);
    match protocol {
        UpstreamProtocol::Auto => options.set_http_version(2, 1),
        UpstreamProtocol::Http1 => options.set_http_version(1, 1),
        UpstreamProtocol::Http2 => options.set_http_version(2, 2),
    }
    options.max_h2_streams = MAX_H2_STREAMS;
    options.h2_ping_interval = Some(H2_PING_INTERVAL);
    // Allowed for the requests that ask for a WebSocket, one by one.
    options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::Deny;
    options
}
