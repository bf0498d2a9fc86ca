//! `upstreams` and `resolver`, usable: where requests go, how an endpoint is chosen, and how long it is trusted.

use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32},
    path::PathBuf,
    time::Duration,
};

use http::HeaderName;

/// One of `upstreams`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// The name that routes call it by: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub name: Box<str>,
    /// `endpoints` or `dns`: the servers behind it. No default, and not both.
    pub endpoints: Endpoints,
    /// `balance`: how a request chooses its endpoint. Default `round_robin`.
    pub balance: Balance,
    /// `health_check`: how endpoints are asked whether they are well. Default none: only requests tell.
    pub health_check: Option<HealthCheckConfig>,
    /// `outlier`: when an endpoint is left out for what it did to requests. Nothing, where `consecutive_failures` is 0.
    pub outlier: Option<OutlierConfig>,
    /// `timeouts`: how long an endpoint may take.
    pub timeouts: TimeoutsConfig,
    /// `retries`: how often a request may be tried once more, at another endpoint where there is one: any request, if no
    /// connection could be made, or if the endpoint said, in HTTP/2, that it did not begin with it; an idempotent one, if the
    /// connection that it was sent on had died unnoticed. Retries are at most a fifth of the requests. 0 to 5, default 1.
    pub retries: usize,
    /// `protocol`: what is spoken with the endpoints. Default `http1`.
    pub protocol: UpstreamProtocol,
    /// `tls`: how the endpoints prove who they are. Default: they are spoken to in clear text.
    pub tls: Option<UpstreamTlsConfig>,
}

/// The servers behind an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoints {
    /// `dns`: every address that a name has, each with weight 1; they follow the answers of the resolver.
    Discovered(DnsName),
    /// `endpoints`: these. At least one and at most 256, no address twice, not all with weight 0.
    Listed(Vec<EndpointConfig>),
}

/// `dns` of an upstream: `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsName {
    /// A host name, as RFC 1123 has them and underscores let pass, in lower case; without a dot at its end it is also looked for in the search domains of the system.
    pub host: Box<str>,
    /// From 1.
    pub port: NonZeroU16,
}

/// One of an upstream's `endpoints`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// `address`: an IP address and a port from 1. Names are not resolved. No default.
    pub address: SocketAddr,
    /// `weight`: its share of the requests, next to the other weights. 0 to 256, default 1; with 0 it gets none.
    pub weight: u32,
}

/// `balance` of an upstream: how a request chooses its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// `consistent_hash`, with `hash_on`: requests with the same key go to the same endpoint, as long as it is well.
    ConsistentHash(HashOn),
    /// `least_requests`: of two that are drawn, the one with fewer requests in flight, by weight.
    LeastRequests,
    /// `random`: any, by weight.
    Random,
    /// `round_robin`: one after the other, by weight.
    RoundRobin,
}

/// `hash_on` of an upstream: the key of a request. One that has none chooses by turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// `header:NAME`: the value of a request header.
    Header(HeaderName),
    /// `source_ip`: the address of the client.
    SourceIp,
    /// `sub`: the claim of the verified token.
    Sub,
}

/// `health_check` of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheckConfig {
    /// `path` or `tcp: true`: what is asked. No default.
    pub probe: Probe,
    /// `interval`: between two checks of an endpoint. 100 milliseconds to 1 hour, default 5 seconds.
    pub interval: Duration,
    /// `timeout`: for the whole of a check. 10 milliseconds to 1 minute, not more than `interval`; default 1 second.
    pub timeout: Duration,
    /// `healthy_after`: how many checks in a row bring an endpoint back. 1 to 100, default 2.
    pub healthy_after: NonZeroU32,
    /// `unhealthy_after`: how many failed checks in a row take it out. 1 to 100, default 3.
    pub unhealthy_after: NonZeroU32,
}

/// What an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A `GET`, over the protocol and the TLS of the upstream.
    Http {
        /// `path`: what is asked for, beginning with `/`. Printable ASCII, at most 1024 bytes.
        path: Box<str>,
        /// `host`: the `Host` of the request. Default the server name of `tls`, the name of `dns`, or the address.
        host: Option<Box<str>>,
        /// `statuses`: which answers are good: `200`, `200-299`. At least one, none twice. Default 200 to 299.
        statuses: Box<[StatusRange]>,
        /// `body_contains`: what must stand in the first 64 KiB of the body. 1 to 256 bytes. Default: anything will do.
        body_contains: Option<Box<str>>,
    },
    /// Whether a connection can be made; with `tls`, whether the handshake succeeds.
    Tcp,
}

/// Statuses from one to another, both of them included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first; 100 to 599.
    pub first: u16,
    /// The last; not before the first.
    pub last: u16,
}

/// `outlier` of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierConfig {
    /// `consecutive_failures`: after how many in a row an endpoint is left out: connections that could not be made or broke
    /// off, answers that came too late, and those of `statuses`. 1 to 1000, default 5.
    pub consecutive_failures: NonZeroU32,
    /// `eject_for`: how long it is left out; the second time in a row twice as long, and so on up to ten times. 100
    /// milliseconds to 1 hour, default 30 seconds.
    pub eject_for: Duration,
    /// `max_ejected`: how many of the endpoints with a weight may be out at a time, rounded down; those that health checks took
    /// out count too. One may always be ejected while another is in rotation; the only one never is. Default 50 %.
    pub max_ejected: Percent,
    /// `statuses`: the answers that count as failures. None twice, may be empty. Default
    /// 500, 502, 503 and 504.
    pub statuses: Box<[StatusRange]>,
}

/// A share in whole percent, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(pub u8);

/// `timeouts` of an upstream. Each from 1 millisecond to 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutsConfig {
    /// `connect`: for the connection to be made. Default 1 second.
    pub connect: Duration,
    /// `read`: between two reads of the response. Default 30 seconds.
    pub read: Duration,
    /// `write`: for each write of the request. Default 30 seconds.
    pub write: Duration,
    /// `idle`: for which an unused connection is kept. Default 60 seconds.
    pub idle: Duration,
}

/// `protocol` of an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// `auto`: what the endpoint chooses of HTTP/2 and HTTP/1.1 in the TLS handshake (ALPN). Only with `tls`.
    Auto,
    /// `http1`: HTTP/1.1.
    #[default]
    Http1,
    /// `http2`: HTTP/2; without `tls` from the first byte ("prior knowledge").
    Http2,
}

/// `tls` of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTlsConfig {
    /// `server_name`: the name that every endpoint's certificate must have, and that is asked for (SNI). A host name or an IP
    /// address. No default: without one nothing could be verified.
    pub server_name: Box<str>,
    /// `ca`: a file with the authorities that the certificate may come from, PEM; those of the system are then not asked.
    /// Relative to the directory of the configuration file. Default: those of the system.
    pub ca: Option<PathBuf>,
}

/// `resolver`: how the names of upstreams are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverConfig {
    /// `servers`: the name servers that are asked, over UDP and, for long answers, TCP. At most 8, none twice. Default none:
    /// those of
    /// `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// `timeout`: for one question to one server. 100 milliseconds to 1 minute, default 2 seconds.
    pub timeout: Duration,
    /// `min_ttl`: an answer is asked for again when its time to live is over, but not sooner than this. 100 milliseconds to 1
    /// hour, default 1 second.
    pub min_ttl: Duration,
    /// `max_ttl`: and not later than this. Not less than `min_ttl`, at most 24 hours, default 1 minute.
    pub max_ttl: Duration,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        let (timeout, min_ttl, max_ttl) = (Duration::from_secs(2), Duration::from_secs(1), Duration::from_secs(60));
        Self { servers: Vec::new(), timeout, min_ttl, max_ttl }
    }
}
