//! Hot path: no lock, no I/O, no info log.
//!
//! A named set of endpoints that serve the same thing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer, PeerOptions};
use tokio::{sync::Notify, time::Instant};

use super::{
    balance::Balancer,
    endpoint::{Endpoint, Lease},
    outlier::{Standing, Tally},
    retry::Budget,
    trust::Authorities,
};
use crate::{
    config::model::{Endpoints, TimeoutsConfig, UpstreamConfig, UpstreamProtocol, UpstreamTlsConfig},
    telemetry::{metrics::UpstreamMetrics, sampler::Sampler},
    tls::Fault,
};

/// Requests at a time on one HTTP/2 connection to an endpoint: what most servers allow. One that allows fewer says so.
const MAX_H2_STREAMS: usize = 100;

/// How often an HTTP/2 connection is asked whether anyone is still there.
const H2_PING_INTERVAL: Duration = Duration::from_secs(30);

/// The endpoints of an upstream, and what is known of them.
#[derive(Debug)]
pub struct Pool {
    config: UpstreamConfig,
    authorities: Option<Authorities>,
    members: ArcSwap<Members>,
    tally: Arc<Tally>,
    budget: Budget,
    failures: Sampler,
    metrics: UpstreamMetrics,
    /// Told when an endpoint was ejected: somebody has to bring it back.
    pub ejected: Notify,
}

/// The endpoints of an upstream at one moment, and how one of them is chosen.
#[derive(Debug)]
pub struct Members {
    endpoints: Box<[Arc<Endpoint>]>,
    balancer: Balancer,
}

/// What became of a request at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint did not do its part.
    Failure,
    /// It did.
    Success,
}

impl Pool {
    /// A pool whose endpoints are all in rotation. Those that are discovered are still to come.
    ///
    /// # Errors
    ///
    /// What is wrong with the file of its authorities.
    pub fn new(config: &UpstreamConfig, metrics: UpstreamMetrics) -> Result<Self, Fault> {
        let pool = Self {
            config: config.clone(),
            authorities: authorities(config)?,
            members: ArcSwap::from_pointee(Members::new(config, Box::default())),
            tally: Arc::default(),
            budget: Budget::new(),
            failures: Sampler::new(Instant::now()),
            metrics,
            ejected: Notify::new(),
        };
        if let Endpoints::Listed(listed) = &config.endpoints {
            pool.publish(listed.iter().map(|listed| pool.endpoint(listed.address, listed.weight)).collect());
        }
        Ok(pool)
    }

    /// The name that routes call it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What it was made of.
    #[must_use]
    pub const fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    /// Whether nothing but HTTP/1.1 is spoken with its endpoints.
    #[must_use]
    pub fn is_http1(&self) -> bool {
        self.config.protocol == UpstreamProtocol::Http1
    }

    /// What is counted about it.
    #[must_use]
    pub const fn metrics(&self) -> &UpstreamMetrics {
        &self.metrics
    }

    /// Its endpoints at this moment.
    #[must_use]
    pub fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// Whether it was made of this, down to what is in the file of its authorities.
    ///
    /// # Errors
    ///
    /// What is wrong with that file now.
    pub fn is_made_of(&self, config: &UpstreamConfig) -> Result<bool, Fault> {
        let group = |authorities: &Option<Authorities>| authorities.as_ref().map(|authorities| authorities.group);
        Ok(self.config == *config && group(&self.authorities) == group(&authorities(config)?))
    }

    /// Has the endpoints at these addresses from now on, each with weight 1. What stays keeps what is known of it, and its
    /// requests; what leaves gets no more of them. One task at a time.
    pub fn replace(&self, addresses: &[SocketAddr]) {
        let current = self.members.load_full();
        let mut addresses = addresses.to_vec();
        addresses.sort_unstable();
        addresses.dedup();
        let (staying, leaving): (Vec<_>, Vec<_>) =
            current.endpoints.iter().partition(|endpoint| addresses.binary_search(&endpoint.address()).is_ok());
        if leaving.is_empty() && staying.len() == addresses.len() {
            return;
        }
        let known = |address| staying.iter().find(|endpoint| endpoint.address() == address).copied().map(Arc::clone);
        let endpoints =
            addresses.into_iter().map(|address| known(address).unwrap_or_else(|| self.endpoint(address, 1)));
        let endpoints = endpoints.collect();
        leaving.into_iter().for_each(|endpoint| endpoint.retire());
        self.publish(endpoints);
    }

    /// Chooses the endpoint of a request: of those in rotation one that was not `tried`, or else any. One whose trial is under
    /// way comes after all others: it may be well, and without it the request would be refused. `key` is what the request is
    /// told from others by, where the upstream asks for that. Nothing, if no endpoint is in rotation.
    #[must_use]
    pub fn choose(&self, key: Option<u64>, tried: &[SocketAddr]) -> Option<Lease> {
        let (members, is_retry) = (self.members.load(), !tried.is_empty());
        let is_new = |endpoint: &Endpoint| !tried.contains(&endpoint.address());
        let is_open = |endpoint: &Endpoint| endpoint.is_open() && is_new(endpoint);
        let is_available = |endpoint: &Endpoint| endpoint.is_available() && is_new(endpoint);
        let lease = members.lease(key, is_retry, is_open).or_else(|| members.lease(key, is_retry, Endpoint::is_open));
        lease.or_else(|| {
            let chosen = members.choose(key, is_retry, is_available);
            chosen.or_else(|| members.choose(key, is_retry, Endpoint::is_available)).map(Lease::take_anyway)
        })
    }

    /// Takes down what became of a request at an endpoint.
    pub fn settle(&self, lease: &Lease, outcome: Outcome) {
        let endpoint = lease.endpoint();
        let ejected = match outcome {
            Outcome::Failure => lease.fail(Instant::now()),
            Outcome::Success => {
                lease.succeed();
                None
            }
        };
        if let Some(duration) = ejected {
            self.metrics.ejections.inc();
            self.ejected.notify_one();
            tracing::warn!(upstream = self.name(), endpoint = %endpoint.address(), ?duration, "endpoint ejected");
        }
    }

    /// Puts into the budget of retries what a request is worth.
    pub fn fund_retries(&self) {
        self.budget.deposit();
    }

    /// Takes a retry out of the budget, and counts it if there is none.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        let is_paid = self.budget.withdraw();
        if !is_paid {
            self.metrics.retries_denied.inc();
        }
        is_paid
    }

    /// Whether a request that failed gets a line in the log now; then how many did not since the last one.
    #[must_use]
    pub fn admit_line(&self) -> Option<u64> {
        self.failures.admit(Instant::now())
    }

    fn publish(&self, endpoints: Box<[Arc<Endpoint>]>) {
        let with_share = endpoints.iter().filter(|endpoint| endpoint.weight() > 0).count();
        self.tally.limit(with_share, self.config.outlier.as_ref());
        self.pardon(&endpoints);
        self.members.store(Arc::new(Members::new(&self.config, endpoints)));
    }

    /// Takes endpoints back until no more are ejected than may be of so many, the one first whose time is over first.
    fn pardon(&self, endpoints: &[Arc<Endpoint>]) {
        while self.tally.is_exceeded() {
            let ejected = endpoints.iter().filter_map(|endpoint| Some((endpoint.ejected_until()?, endpoint)));
            let Some((_, first)) = ejected.min_by_key(|(until, _)| *until) else { return };
            first.readmit();
        }
    }

    fn endpoint(&self, address: SocketAddr, weight: u32) -> Arc<Endpoint> {
        let UpstreamConfig { timeouts, protocol, tls, outlier, .. } = &self.config;
        let server_name = tls.as_ref().map(|UpstreamTlsConfig { server_name, .. }| server_name.to_string());
        let mut peer = HttpPeer::new(address, tls.is_some(), server_name.unwrap_or_default());
        peer.options = options(*timeouts, *protocol);
        if let Some(Authorities { certificates, group }) = &self.authorities {
            peer.options.ca = Some(Arc::clone(certificates));
            peer.group_key = *group;
        }
        Arc::new(Endpoint::new(address, weight, peer, Standing::new(outlier.as_ref(), weight > 0, &self.tally)))
    }
}

impl Members {
    fn new(config: &UpstreamConfig, endpoints: Box<[Arc<Endpoint>]>) -> Self {
        let shares: Vec<_> = endpoints.iter().map(|endpoint| (endpoint.address(), endpoint.weight())).collect();
        Self { endpoints, balancer: Balancer::new(&config.balance, &shares, fastrand::u64(..)) }
    }

    /// Every one, in rotation or not.
    #[must_use]
    pub const fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Where they are.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.endpoints.iter().map(|endpoint| endpoint.address()).collect()
    }

    /// One that may be chosen, and is not taken from under our hands as its trial begins.
    fn lease(&self, key: Option<u64>, is_retry: bool, may_be: impl Fn(&Endpoint) -> bool) -> Option<Lease> {
        for _ in 0..self.endpoints.len() {
            let lease = Lease::take(self.choose(key, is_retry, &may_be)?);
            if lease.is_some() {
                return lease;
            }
        }
        None
    }

    fn choose(&self, key: Option<u64>, is_retry: bool, may_be: impl Fn(&Endpoint) -> bool) -> Option<&Arc<Endpoint>> {
        let may_be = |place: usize| self.endpoints.get(place).is_some_and(|endpoint| may_be(endpoint));
        let in_flight = |place: usize| self.endpoints.get(place).map_or(usize::MAX, |endpoint| endpoint.in_flight());
        self.endpoints.get(self.balancer.choose(key, is_retry, may_be, in_flight)?)
    }
}

fn authorities(config: &UpstreamConfig) -> Result<Option<Authorities>, Fault> {
    let file = config.tls.as_ref().and_then(|tls| tls.ca.as_deref());
    file.map(Authorities::load).transpose()
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

#[cfg(test)]
mod tests;
