//! The snapshot that requests are served with: routes, authorizer and upstreams that belong together.
//!
//! Built whole from a [`Config`], then published. A request keeps the one that it arrived under.

use std::{path::Path, sync::Arc, time::Duration};

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
use prometheus::IntCounter;

use crate::{
    config::{
        model::{Config, LimitsConfig, RouteConfig, UpstreamConfig},
        pattern::Rewrite,
    },
    filter::{forwarded::Forwarding, hygiene::Target, identity::IdentityHeaders},
    key_file::KeyFile,
    response::Responder,
    route::table::RouteTable,
    telemetry::metrics::{DecisionMetrics, NO_ROUTE, ProxyMetrics, RequestMetrics},
    tls::Fault,
    upstream::pool::Pool,
};

/// What requests are served with.
#[derive(Debug)]
pub struct Runtime {
    table: RouteTable,
    routes: Box<[Route]>,
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
    /// Whether a WebSocket ends with its token.
    pub closes_expired: bool,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What the proxy counts.
    pub metrics: ProxyMetrics,
    /// How requests are refused, and who may read responses.
    pub responder: Responder,
    revocations: Arc<RevocationList>,
    /// What is counted about requests that match no route.
    pub unmatched: RequestMetrics,
    /// User pools that a proxy is ready without.
    excused: Box<[Box<str>]>,
}

/// What is done with the requests of a route.
#[derive(Debug)]
pub struct Route {
    /// Who may use it.
    pub access: Access,
    /// Where its requests go.
    pub upstream: Arc<Pool>,
    /// What is counted about it.
    pub requests: RequestMetrics,
    /// The path that the upstream sees; nothing where it is the path as it came.
    pub rewrite: Option<Rewrite>,
    /// How long a request may take in all.
    pub timeout: Option<Duration>,
}

/// Who may use a route.
#[derive(Debug)]
pub enum Access {
    /// Callers that meet a policy.
    Guarded {
        /// What is asked of them.
        policy: Policy,
        /// What was decided.
        decisions: DecisionMetrics,
    },
    /// Everyone.
    Open {
        /// How many came.
        decisions: IntCounter,
    },
}

/// Why a configuration cannot be served although it was checked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BuildError {
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
}

impl Runtime {
    /// Builds a snapshot. It takes over what `previous` knows and still is true: keys, and the tasks that refresh them, and
    /// verified tokens.
    ///
    /// # Errors
    ///
    /// [`BuildError`].
    pub fn build(config: &Config, surroundings: &Surroundings, previous: Option<&Self>) -> Result<Self, BuildError> {
        let Surroundings { clock, metrics, auth_metrics, revocations } = surroundings;
        let pools: Result<Vec<_>, _> = config.upstreams.iter().map(|upstream| pool(upstream, metrics)).collect();
        let pools = pools?;
        let routes: Result<_, _> = config.routes.iter().map(|route| Route::build(route, &pools, metrics)).collect();
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
            authorizer: match previous {
                Some(previous) => previous.authorizer.succeed(authorizer),
                None => Authorizer::new(authorizer, Arc::clone(clock), auth_metrics.clone()),
            },
            token_sources: config.token.sources.clone(),
            forwards_token: config.token.forward,
            forwarding: Forwarding::new(&config.forwarded.trusted),
            identity_headers,
            limits: config.limits,
            closes_expired: config.token.close_expired,
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
            responder: Responder::new(config.responses.profile, config.cors.as_ref()),
            revocations: Arc::clone(revocations),
            unmatched: metrics.requests(NO_ROUTE),
            excused: Box::default(),
        })
    }

    /// The route of a request, as an index for [`route`](Self::route).
    #[must_use]
    pub fn find_route(&self, target: &Target<'_>, method: &Method) -> Option<usize> {
        self.table.find(target.host, &target.path, method)
    }

    /// A route that [`find_route`](Self::find_route) found.
    #[must_use]
    pub fn route(&self, index: usize) -> Option<&Route> {
        self.routes.get(index)
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
        let mut policies = self.routes.iter().filter_map(Route::policy);
        policies.any(|policy| policy.user_pools.iter().any(|name| **name == *user_pool))
    }
}

fn key_archive(path: &Path) -> Arc<dyn KeyArchive> {
    Arc::new(KeyFile::new(path))
}

impl Route {
    fn build(config: &RouteConfig, pools: &[Arc<Pool>], metrics: &ProxyMetrics) -> Result<Self, BuildError> {
        let RouteConfig { label, matches: _, auth, upstream, rewrite, timeout } = config;
        Ok(Self {
            access: Access::build(auth.as_ref(), label, metrics),
            upstream: pools.get(*upstream).map(Arc::clone).ok_or(BuildError::DanglingUpstream)?,
            requests: metrics.requests(label),
            rewrite: rewrite.clone(),
            timeout: *timeout,
        })
    }

    /// What it asks of a caller; nothing on an open route.
    #[must_use]
    pub const fn policy(&self) -> Option<&Policy> {
        match &self.access {
            Access::Guarded { policy, .. } => Some(policy),
            Access::Open { .. } => None,
        }
    }
}

impl Access {
    fn build(auth: Option<&Policy>, label: &str, metrics: &ProxyMetrics) -> Self {
        match auth {
            Some(policy) => Self::Guarded { policy: policy.clone(), decisions: metrics.decisions(label) },
            None => Self::Open { decisions: metrics.open_decisions(label) },
        }
    }
}

fn pool(config: &UpstreamConfig, metrics: &ProxyMetrics) -> Result<Arc<Pool>, BuildError> {
    let pool = Pool::new(config, metrics.upstream(&config.name));
    pool.map(Arc::new).map_err(|fault| BuildError::Authorities { upstream: config.name.clone(), fault })
}
