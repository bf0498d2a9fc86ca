//! The configuration, usable: every value checked, every name resolved, every default filled in.
//!
//! Plain data. What a key means is said here; how it is written is in `file`, what it must obey in `convert`.

mod limits;
mod listener;
mod rate;
mod telemetry;
mod upstream;

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use cognigate_auth::{policy::Policy, pool::UserPool, token::TokenSources};
use http::HeaderName;
use ipnet::IpNet;

pub use self::{
    limits::LimitsConfig,
    listener::{CertificateConfig, ClientCertificates, ListenerConfig, TlsConfig},
    rate::{Rate, RateLimitBy, RateLimitConfig},
    telemetry::{AccessLogConfig, LogFormat, LogTarget, SampleRatio, TracingConfig},
    upstream::{
        Balance, DnsName, EndpointConfig, Endpoints, HashOn, HealthCheckConfig, OutlierConfig, Percent, Probe,
        ResolverConfig, StatusRange, TimeoutsConfig, UpstreamConfig, UpstreamProtocol, UpstreamTlsConfig,
    },
};
use super::{
    origin::Origin,
    pattern::{MethodSet, Rewrite, RouteMatch},
    redis::RedisAddress,
};

/// A whole configuration that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `listeners`: where requests arrive. At least one, no address twice.
    pub listeners: Vec<ListenerConfig>,
    /// `admin`: where the proxy is watched.
    pub admin: AdminConfig,
    /// `user_pools`: whose tokens are accepted, in the order of the file. No name and no issuer twice. May be empty where
    /// every route is open.
    pub user_pools: Vec<UserPool>,
    /// `state_file` of a pool's `jwks`, by the name of the pool: what keeps its last keys over a restart. No file twice.
    /// Default none: without its keys a pool decides nothing until they are fetched.
    pub jwks_state_files: BTreeMap<Box<str>, PathBuf>,
    /// `upstreams`: where requests go, in the order of the file. [`RouteConfig::upstream`] counts in it.
    pub upstreams: Vec<UpstreamConfig>,
    /// `resolver`: how the names of upstreams are resolved.
    pub resolver: ResolverConfig,
    /// `routes`: what is served. At least one, no two that match the same requests, no label twice.
    pub routes: Vec<RouteConfig>,
    /// `token`: where a request carries its token.
    pub token: TokenConfig,
    /// `forwarded`: who is believed about where a request came from.
    pub forwarded: ForwardedConfig,
    /// `identity`: what the upstream learns about the caller.
    pub identity: IdentityConfig,
    /// `token_cache`: what the verified tokens may occupy.
    pub token_cache: TokenCacheConfig,
    /// `revocation`: which tokens are refused although they are valid.
    pub revocation: RevocationConfig,
    /// `cors`: which pages of other origins may read responses. Default: the proxy adds and removes no CORS header.
    pub cors: Option<CorsConfig>,
    /// `responses`: how a refusal looks.
    pub responses: ResponsesConfig,
    /// `limits`: what a client may ask for, and how long it may take.
    pub limits: LimitsConfig,
    /// `access_log`: a line for each request. Default none.
    pub access_log: Option<AccessLogConfig>,
    /// `tracing`: where spans go. Default none are made.
    pub tracing: Option<TracingConfig>,
    /// `server`: the process.
    pub server: ServerConfig,
}

/// `admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// `address`: an IP address and a port, none of the listeners'. Port 0: one that the kernel chooses. Default
    /// `127.0.0.1:9090`.
    pub address: SocketAddr,
    /// `token_file`: where the bearer token is that whoever changes something shows. Default none: nothing can be changed.
    pub token_file: Option<PathBuf>,
}

/// One of `routes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// `name`: what metrics and logs call it. 1 to 128 characters, none of them a control character, not `none`. Default
    /// `METHODS host path`: `GET,POST api.example.com /items/{proxy+}`, with `*` for any method and nothing for any host.
    pub label: Box<str>,
    /// `match`: its requests. `host` and `methods`: any, where they are left out; `path` has no default.
    pub matches: RouteMatch,
    /// `auth`: what it asks of a caller; nothing where the file says `none`. No default: it is always said.
    pub auth: Option<Policy>,
    /// `upstream`: where its requests go, as an index into [`Config::upstreams`]. No default.
    pub upstream: usize,
    /// `rewrite`: the path that the upstream sees. Default: the path as it came.
    pub rewrite: Option<Rewrite>,
    /// `timeout`: for the whole request, from the end of its head to the end of the response. From 1 millisecond to 24 hours.
    /// Default: none, only the upstream's `timeouts` count. Not for a WebSocket that is open.
    pub timeout: Option<Duration>,
    /// `rate_limit`: how many requests each caller has. Default none: as many as it likes.
    pub rate_limit: Option<RateLimitConfig>,
}

/// `token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// `sources`: the headers and cookies that may carry it. At least one, none twice. Default the `authorization` header.
    pub sources: TokenSources,
    /// `forward`: whether the upstream sees it. Default true.
    pub forward: bool,
    /// `close_expired`: whether a WebSocket is closed when the token ends that it was opened with. Default true.
    pub close_expired: bool,
}

/// `forwarded`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardedConfig {
    /// `trusted`: networks of proxies whose `X-Forwarded-*` are believed. Default none.
    pub trusted: Vec<IpNet>,
}

/// `identity`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityConfig {
    /// `headers`: the request headers that are set from claims, in the order of the file. Default none.
    pub headers: Vec<IdentityHeader>,
    /// `client_certificate_headers`: the request headers that are set from the client's certificate, in the order of the
    /// file. Names as those of `headers`, and none of theirs. Default none.
    pub client_certificate_headers: Vec<CertificateHeader>,
}

/// A request header that says something verified about the client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateHeader {
    /// Its name.
    pub name: HeaderName,
    /// What it says.
    pub field: CertificateField,
}

/// What a header can say about a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateField {
    /// `subject`: its subject, as RFC 4514 writes it.
    Subject,
    /// `san`: its alternative names, as `dns:`, `email:`, `ip:` or `uri:` and the name, joined by commas.
    SubjectAltNames,
}

/// A request header that says something verified about the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeader {
    /// Its name. Not one that steers the connection or that carries a credential; no two alike once `_` reads as `-`.
    pub name: HeaderName,
    /// The claim that is its value: `sub`, `cognito:groups`. Not empty.
    pub claim: Box<str>,
}

/// `token_cache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenCacheConfig {
    /// `max_bytes`: the most that verified tokens may occupy, in bytes. Default 64 MiB; from 64 KiB to 64 GiB, or 0: off.
    pub max_bytes: usize,
}

/// `revocation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationConfig {
    /// `file`: a list of revocations, which is read again when it changes. Default none.
    pub file: Option<PathBuf>,
    /// `state_file`: what keeps the revocations of the admin listener and of Redis over a restart. Default none: they are
    /// forgotten with the process.
    pub state_file: Option<PathBuf>,
    /// `max_entries`: the most revocations that are kept, of all sources together. Default 1,000,000; 1 to 16,777,216.
    pub max_entries: usize,
    /// `redis`: what shares revocations with other processes. Default none.
    pub redis: Option<RedisConfig>,
}

/// `redis` of `revocation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// `url`: where it is. No default.
    pub address: RedisAddress,
    /// `ca`: the certificates (PEM) of the authorities that vouch for it, none else then. With TLS only. Default those of
    /// the system.
    pub ca: Option<PathBuf>,
    /// `username`: who logs in. 1 to 128 printable characters. Only with a password. Default the user `default` of Redis.
    pub username: Option<Box<str>>,
    /// `password_file`: where the password is. Default none: nobody logs in.
    pub password_file: Option<PathBuf>,
    /// `key`: what the key and the channel are called that all processes of a group share. 1 to 128 printable characters.
    /// Default `cognigate:revocations`.
    pub key: Box<str>,
    /// `timeout`: for a connection to be made, and for each answer. 100 milliseconds to 10 seconds, default 1 second.
    pub timeout: Duration,
}

/// `cors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsConfig {
    /// `allow_origins`: whose pages may read responses. At least one, none twice. No default.
    pub allow_origins: AllowedOrigins,
    /// `allow_methods`: the methods that pages may use. Default: every one that a route can name.
    pub allow_methods: MethodSet,
    /// `allow_headers`: the request headers that pages may set. None twice; may be empty. No default.
    pub allow_headers: Vec<HeaderName>,
    /// `expose_headers`: the response headers that pages may read, beside those that every page may. Default none.
    pub expose_headers: Vec<HeaderName>,
    /// `allow_credentials`: whether pages may send cookies. Not with every origin. Default false.
    pub allow_credentials: bool,
    /// `max_age`: how long a browser may remember the answer to a preflight. Whole seconds, at most 24 hours, default 10
    /// minutes.
    pub max_age: Duration,
}

/// Whose pages may read responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// `*`: everybody's.
    Any,
    /// Those of these origins.
    Listed(Vec<Origin>),
}

/// `responses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponsesConfig {
    /// `profile`: whose refusals look like ours. Default `rfc6750`.
    pub profile: Profile,
}

/// Whose refusals look like ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `aws-http`: those of an API Gateway HTTP API with a JWT authorizer.
    AwsHttp,
    /// `aws-rest`: those of an API Gateway REST API with a `COGNITO_USER_POOLS` authorizer.
    AwsRest,
    /// `rfc6750`: as RFC 6750 section 3 has them.
    Rfc6750,
}

/// `server`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// `threads`: how many serve requests. At most 1024; nothing, where the file says 0 or does not say: one a core.
    pub threads: Option<NonZeroUsize>,
    /// `shutdown_grace`: how long requests may go on after a stop was asked for. Default 30 seconds, at most 1 hour.
    pub shutdown_grace: Duration,
    /// `drain_delay`: how long connections are still accepted after a stop was asked for and readiness turned 503, so that
    /// load balancers notice. Comes before `shutdown_grace`. Default 0, at most 1 hour.
    pub drain_delay: Duration,
    /// `watch`: whether a change of the file loads it, as SIGHUP does. Default true.
    pub watch: bool,
}
