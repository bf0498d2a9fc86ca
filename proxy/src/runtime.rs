//! The snapshot that requests are served with: routes, authorizer and upstreams that belong together.
//!
//! Built whole from a [`Config`], then published. A request keeps the one that it arrived under.

use std::{
    collections::HashSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::RandomState;
use cognigate_auth::{
    authorizer::{Authorizer, AuthorizerConfig},
    clock::Clock,
    keys::archive::KeyArchive,
    metrics::AuthMetrics,
    policy::Policy,
    revocation::RevocationList,
    token::TokenSources,
};
use http::Method;
use pingora_http::RequestHeader;

use crate::{
    config::{
        model::{AccessLogConfig, Config, Endpoints, LimitsConfig, RouteConfig, UpstreamConfig, UpstreamProtocol},
        pattern::Rewrite,
    },
    filter::{
        failed_auth::FailedAuth,
        forwarded::Forwarding,
        hygiene::{self, Target},
        identity::IdentityHeaders,
        rate::{self, RateLimit},
    },
    key_file::KeyFile,
    rate::RateLimiter,
    response::Responder,
    route::table::RouteTable,
    telemetry::{
        access_log::{AccessLog, CannotOpen, LogWriters},
        metrics::{NO_ROUTE, ProxyMetrics, RouteMetrics},
        trace::{RouteNames, Tracer},
    },
    tls::Fault,
    upstream::{figures::Pools, pool::Pool},
};

/// What requests are served with.
#[derive(Debug)]
pub struct Runtime {
    table: RouteTable,
    routes: Box<[Route]>,
    pools: Pools,
    /// Decides on tokens.
    pub authorizer: Authorizer,
    /// Where tokens are read from.
    pub token_sources: TokenSources,
    /// Whether upstreams see the token.
    pub forwards_token: bool,
    /// What upstreams learn about where a request came from.
    pub forwarding: Forwarding,
    /// What upstreams learn about the caller.
    pub identity_headers: IdentityHeaders,
    /// What a request may be.
    pub limits: LimitsConfig,
    /// Keeps the accounts of who is limited.
    pub rate_limiter: Arc<RateLimiter>,
    /// How many forged or garbled tokens may come from an address.
    pub failed_auth: Option<FailedAuth>,
    /// Whether a WebSocket ends with its token.
    pub closes_expired: bool,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What the proxy counts.
    pub metrics: ProxyMetrics,
    /// What makes spans of requests, if anybody wants them.
    pub tracer: Option<Tracer>,
    /// How requests are refused, and who may read responses.
    pub responder: Responder,
    /// Whether all upstreams speak HTTP/1.1 and nothing else.
    is_all_http1: bool,
    /// Where a line goes for each request.
    pub access_log: Option<AccessLog>,
    revocations: Arc<RevocationList>,
    /// What is counted about requests that match no route.
    pub unmatched: RouteMetrics,
    /// User pools that a proxy is ready without.
    excused: Box<[Box<str>]>,
}

/// What is done with the requests of a route.
#[derive(Debug)]
pub struct Route {
    /// What it asks of a caller; nothing on an open route.
    pub policy: Option<Arc<Policy>>,
    /// Where its requests go.
    pub upstream: Arc<Pool>,
    /// What is counted about it.
    pub metrics: RouteMetrics,
    /// What spans call it.
    pub names: Arc<RouteNames>,
    /// The path that the upstream sees; nothing where it is the path as it came.
    pub rewrite: Option<Rewrite>,
    /// How long a request may take in all.
    pub timeout: Option<Duration>,
    /// How many requests each caller has.
    pub rate_limit: Option<Box<RateLimit>>,
}

/// Why a configuration cannot be served although it was checked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no access log.
    #[error(transparent)]
    AccessLog(#[from] CannotOpen),
    /// What an upstream's authorities are read from is not good.
    #[error("upstreams.{upstream}.tls.ca: {fault}")]
    Authorities {
        /// The upstream's name.
        upstream: Box<str>,
        /// What is wrong.
        fault: Fault,
    },
    /// A fault of ours.
    #[error("a route names an upstream that does not exist")]
    DanglingUpstream,
}

/// What outlives a snapshot.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What the proxy counts.
    pub metrics: ProxyMetrics,
    /// What the authorizer counts.
    pub auth_metrics: AuthMetrics,
    /// What is revoked.
    pub revocations: Arc<RevocationList>,
    /// Everything that writes an access log.
    pub log_writers: LogWriters,
}

impl Runtime {
    /// Builds a snapshot, within a Tokio runtime. It takes over what `previous` knows and still is true: keys, and the tasks that
    /// refresh them, verified tokens, and what requests have told of the endpoints of upstreams; and what exports spans, where that is to go on as before.
    ///
    /// # Errors
    ///
    /// [`BuildError`].
    pub fn build(config: &Config, surroundings: &Surroundings, previous: Option<&Self>) -> Result<Self, BuildError> {
        let Surroundings { clock, metrics, auth_metrics, revocations, log_writers } = surroundings;
        let pools: Result<Vec<_>, _> =
            config.upstreams.iter().map(|upstream| pool(upstream, metrics, previous)).collect();
        let pools = pools?;
        let mut policies = HashSet::new();
        let routes = config.routes.iter().map(|route| Route::build(route, &mut policies, &pools, metrics));
        let routes: Result<_, _> = routes.collect();
        let (identity_headers, forwarded_claims) = IdentityHeaders::new(&config.identity);
        let authorizer = AuthorizerConfig {
            user_pools: config.user_pools.clone(),
            forwarded_claims,
            cache_max_bytes: config.token_cache.max_bytes,
            revocations: Arc::clone(revocations),
            key_archives: config
                .jwks_state_files
                .iter()
                .map(|(name, path)| (name.clone(), key_archive(path)))
                .collect(),
        };
        Ok(Self {
            table: RouteTable::build(config.routes.iter().map(|route| &route.matches)),
            routes: routes?,
            pools: pools.into(),
            authorizer: match previous {
                Some(previous) => previous.authorizer.succeed(authorizer),
                None => Authorizer::new(authorizer, Arc::clone(clock), auth_metrics.clone()),
            },
            token_sources: config.token.sources.clone(),
            forwards_token: config.token.forward,
            forwarding: Forwarding::new(&config.forwarded.trusted),
            identity_headers,
            limits: config.limits,
            rate_limiter: rate_limiter(&config.limits, metrics, previous),
            failed_auth: failed_auth(&config.limits, metrics, previous),
            closes_expired: config.token.close_expired,
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
            tracer: tracer(config, surroundings, previous),
            responder: Responder::new(config.responses.profile, config.cors.as_ref(), told(config)),
            // The last that can fail: what is refused leaves no file behind.
            access_log: access_log(config.access_log.as_ref(), metrics, log_writers, previous)?,
            revocations: Arc::clone(revocations),
            is_all_http1: config.upstreams.iter().all(|upstream| upstream.protocol == UpstreamProtocol::Http1),
            unmatched: metrics.route(NO_ROUTE),
            excused: Box::default(),
        })
    }

    /// The route of a request, as an index for [`route`](Self::route).
    #[must_use]
    pub fn find_route(&self, target: &Target<'_>, method: &Method) -> Option<usize> {
        self.table.find(target.host, &target.path, method)
    }

    /// Whether a request goes to no upstream that may speak HTTP/2.
    #[must_use]
    pub fn stays_with_http1(&self, request: &RequestHeader) -> bool {
        let route = || self.find_route(&hygiene::check(request).ok()?, &request.method);
        self.is_all_http1 || route().and_then(|route| self.route(route)).is_none_or(|route| route.upstream.is_http1())
    }

    /// A route that [`find_route`](Self::find_route) found.
    #[must_use]
    pub fn route(&self, index: usize) -> Option<&Route> {
        self.routes.get(index)
    }

    /// Where requests go: one for each of the configuration's upstreams, whether a route uses it or not.
    #[must_use]
    pub const fn pools(&self) -> &Pools {
        &self.pools
    }

    /// The pools that a route asks for and that cannot decide at this moment, but for those that were
    /// [excused](Self::excuse).
    pub fn pools_missing_keys(&self) -> impl Iterator<Item = &str> {
        let is_excused = |name: &str| self.excused.iter().any(|excused| **excused == *name);
        self.authorizer.pools_without_keys().filter(move |name| self.is_needed(name) && !is_excused(name))
    }

    /// Does not wait for the keys of these pools: routes that ask for one refuse with 503 until they come, and the others
    /// are served.
    pub fn excuse(&mut self, user_pools: impl IntoIterator<Item = Box<str>>) {
        self.excused = user_pools.into_iter().collect();
    }

    /// Whether what is revoked is known: until it is, no token is let through.
    #[must_use]
    pub fn knows_revocations(&self) -> bool {
        self.revocations.is_ready()
    }

    fn is_needed(&self, user_pool: &str) -> bool {
        let mut policies = self.routes.iter().filter_map(|route| route.policy.as_ref());
        policies.any(|policy| policy.user_pools.iter().any(|name| **name == *user_pool))
    }
}

/// What makes spans, if the configuration asks for them.
fn tracer(config: &Config, surroundings: &Surroundings, previous: Option<&Runtime>) -> Option<Tracer> {
    let config = config.tracing.as_ref()?;
    let running = previous.and_then(|previous| previous.tracer.clone());
    if let Some(tracer) = running.filter(|tracer| tracer.config() == config) {
        return Some(tracer);
    }
    Some(Tracer::begin(config, Arc::clone(&surroundings.clock), surroundings.metrics.spans.clone()))
}

/// The log of before, if it is the same; else the one that the configuration names.
fn access_log(
    config: Option<&AccessLogConfig>,
    metrics: &ProxyMetrics,
    writers: &LogWriters,
    previous: Option<&Runtime>,
) -> Result<Option<AccessLog>, BuildError> {
    let Some(config) = config else { return Ok(None) };
    if let Some(log) = previous.and_then(|previous| previous.access_log.as_ref()).filter(|log| log.config() == config) {
        return Ok(Some(log.clone()));
    }
    Ok(Some(AccessLog::open(config, metrics.access_log.clone(), writers)?))
}

/// That of before, with what everybody owes, if it has the same size; else a new one.
fn rate_limiter(limits: &LimitsConfig, metrics: &ProxyMetrics, previous: Option<&Runtime>) -> Arc<RateLimiter> {
    let before = previous.map(|previous| &previous.rate_limiter);
    let fresh = || {
        let metrics = metrics.rate_limits.clone();
        Arc::new(RateLimiter::new(limits.rate_limit_keys, RandomState::new(), Instant::now(), metrics))
    };
    before.filter(|before| before.capacity() == limits.rate_limit_keys).map_or_else(fresh, Arc::clone)
}

/// The limit on forged tokens, with what everybody owes, if there is to be one.
fn failed_auth(limits: &LimitsConfig, metrics: &ProxyMetrics, previous: Option<&Runtime>) -> Option<FailedAuth> {
    let before = previous.and_then(|previous| previous.failed_auth.as_ref());
    limits.failed_auth_per_ip.map(|rate| FailedAuth::new(rate, &metrics.rate_limits, before))
}

/// What responses say of limits, if any route has one.
fn told(config: &Config) -> &'static [&'static str] {
    if config.routes.iter().any(|route| route.rate_limit.is_some()) { &rate::FIELDS } else { &[] }
}

fn key_archive(path: &Path) -> Arc<dyn KeyArchive> {
    Arc::new(KeyFile::new(path))
}

impl Route {
    /// Routes that ask for the same ask by one of the `policies`: a thousand copies of it would be in nobody's cache.
    fn build(
        config: &RouteConfig,
        policies: &mut HashSet<Arc<Policy>>,
        pools: &[Arc<Pool>],
        metrics: &ProxyMetrics,
    ) -> Result<Self, BuildError> {
        let RouteConfig { label, matches, auth, upstream, rewrite, timeout, rate_limit } = config;
        let upstream = pools.get(*upstream).map(Arc::clone).ok_or(BuildError::DanglingUpstream)?;
        let path = matches.path.to_string().into();
        Ok(Self {
            metrics: if auth.is_some() { metrics.route(label).guarded() } else { metrics.route(label).open() },
            policy: auth.as_ref().map(|policy| shared(policy, policies)),
            names: Arc::new(RouteNames { label: label.clone(), path, upstream: upstream.name().into() }),
            upstream,
            rewrite: rewrite.clone(),
            timeout: *timeout,
            rate_limit: rate_limit.map(|rate_limit| RateLimit::new(rate_limit, label).into()),
        })
    }
}

fn shared(policy: &Policy, policies: &mut HashSet<Arc<Policy>>) -> Arc<Policy> {
    if let Some(same) = policies.get(policy) {
        return Arc::clone(same);
    }
    let policy = Arc::new(policy.clone());
    policies.insert(Arc::clone(&policy));
    policy
}

/// The pool of before, with all that is known of its endpoints, if it was made of the same; else a new one. One whose endpoints
/// are found by the same name as before begins with the addresses of before: nobody may answer for the name just now.
fn pool(config: &UpstreamConfig, metrics: &ProxyMetrics, previous: Option<&Runtime>) -> Result<Arc<Pool>, BuildError> {
    let refused = |fault| BuildError::Authorities { upstream: config.name.clone(), fault };
    let before = previous.and_then(|previous| previous.pools.iter().find(|before| *before.name() == *config.name));
    if let Some(before) = before
        && before.is_made_of(config).map_err(refused)?
    {
        return Ok(Arc::clone(before));
    }
    let pool = Pool::new(config, metrics.upstream(&config.name)).map_err(refused)?;
    let is_of_same_name = |before: &&Arc<Pool>| match config.endpoints {
        Endpoints::Discovered(_) => before.config().endpoints == config.endpoints,
        Endpoints::Listed(_) => false,
    };
    if let Some(before) = before.filter(is_of_same_name) {
        pool.replace(&before.members().addresses());
    }
    Ok(Arc::new(pool))
}
