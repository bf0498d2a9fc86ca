//! The composition root: the only file that knows every part.
//!
//! Everything that can fail at start fails in [`App::bind`], before the process says that it serves: sockets are bound,
//! metrics registered, the HTTP client made. [`App::serve`] then runs until it is told to stop, and drains.

use std::{
    io, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, thread::available_parallelism, time::Duration,
};

use arc_swap::ArcSwap;
use cognigate_auth::{
    clock::{Clock, SystemClock},
    keys::fetch::{Fetcher, NoClient},
    metrics::AuthMetrics,
};
use pingora_core::{apps::http_app::HttpServer, server::configuration::ServerConf};
use pingora_proxy::{HttpProxy, http_proxy};
use prometheus::Registry;
use thiserror::Error;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    admin::{AdminService, token::AdminToken},
    config::{
        Files,
        model::{Config, ServerConfig},
    },
    drain::Drain,
    listener::{BindError, BoundListener, Counted},
    revocation::{
        RevocationError, Revocations,
        metrics::RevocationMetrics,
        redis::{self, RedisMetrics},
    },
    runtime::{DanglingUpstream, Runtime, Surroundings},
    service::{EdgeService, MAX_ATTEMPTS},
    telemetry::metrics::ProxyMetrics,
    watch::INTERVAL,
};

/// Unused upstream connections that are kept for each thread.
const IDLE_UPSTREAM_CONNECTIONS: usize = 1024;

/// How long finished tasks may take to be torn down.
const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// The program version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, or `unknown`.
pub const COMMIT: &str = env!("COGNIGATE_COMMIT");

/// Why nothing is served.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A fault of ours.
    #[error("the configuration does not fit together")]
    Config(#[from] DanglingUpstream),
    /// No key set can be fetched.
    #[error(transparent)]
    Fetcher(#[from] NoClient),
    /// A fault of ours.
    #[error("two metrics have one name")]
    Metrics(#[from] prometheus::Error),
    /// Revocations cannot be shared.
    #[error(transparent)]
    Redis(#[from] redis::NoClient),
    /// What is revoked cannot be told.
    #[error(transparent)]
    Revocations(#[from] RevocationError),
    /// The process cannot be told to stop.
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
    /// There are no threads to run on.
    #[error("cannot start threads")]
    Threads(#[source] io::Error),
}

/// A proxy whose sockets are bound and that is ready to serve.
#[derive(Debug)]
pub struct App {
    listeners: Vec<BoundListener>,
    admin: BoundListener,
    admin_token: Option<(Arc<AdminToken>, PathBuf)>,
    clock: Arc<dyn Clock>,
    revocations: Revocations,
    runtime: Arc<ArcSwap<Runtime>>,
    drain: Arc<Drain>,
    metrics: ProxyMetrics,
    registry: Registry,
    fetcher: Fetcher,
    threads: NonZeroUsize,
    shutdown_grace: Duration,
}

impl App {
    /// Makes everything that serving needs: of a configuration, and of what is in the files that it names. Within a Tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn bind(config: &Config, files: &Files) -> Result<Self, StartError> {
        let registry = Registry::new();
        let metrics = ProxyMetrics::register(&registry, VERSION, COMMIT)?;
        let auth_metrics = AuthMetrics::register(&registry)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let Files { admin_token, revocations, redis_password, redis_ca } = files;
        let revocation_metrics = RevocationMetrics::register(&registry)?;
        let mut revocations =
            Revocations::open(&config.revocation, revocations.as_ref(), Arc::clone(&clock), revocation_metrics)?;
        revocations.list().register(&registry)?;
        if let Some(redis) = &config.revocation.redis {
            let metrics = RedisMetrics::register(&registry)?;
            revocations.share(redis, redis_password.as_ref(), redis_ca.as_deref(), metrics)?;
        }
        let surroundings = Surroundings {
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            auth_metrics,
            revocations: Arc::clone(revocations.list()),
        };
        let runtime = Runtime::build(config, &surroundings, None)?;
        runtime.authorizer.restore_keys();
        let listeners: Result<_, _> =
            config.listeners.iter().map(|listener| BoundListener::bind(listener.address)).collect();
        Ok(Self {
            listeners: listeners?,
            admin: BoundListener::bind(config.admin.address)?,
            admin_token: admin_token.as_ref().map(AdminToken::new).map(Arc::new).zip(config.admin.token_file.clone()),
            clock,
            revocations,
            runtime: Arc::new(ArcSwap::from_pointee(runtime)),
            drain: Arc::default(),
            metrics,
            registry,
            fetcher: Fetcher::new()?,
            threads: threads(config.server),
            shutdown_grace: config.server.shutdown_grace,
        })
    }

    /// Where clients connect, in the order of the configuration.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().map(BoundListener::address)
    }

    /// What requests will be served with.
    #[must_use]
    pub fn runtime(&self) -> Arc<ArcSwap<Runtime>> {
        Arc::clone(&self.runtime)
    }

    /// Where the proxy is watched.
    #[must_use]
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Serves until `stop` is done; then takes no new connection and waits for the requests in flight, at most for the
    /// grace time. A stop that is asked for once more ends the wait.
    pub async fn serve(self, mut stop: impl AsyncFnMut()) {
        let Self {
            listeners,
            admin: admin_listener,
            admin_token,
            clock,
            revocations,
            runtime,
            drain,
            metrics,
            registry,
            fetcher,
            threads,
            shutdown_grace,
        } = self;
        let mut refreshers = JoinSet::new();
        for refresher in runtime.load().authorizer.refreshers(&fetcher) {
            refreshers.spawn(refresher.run());
        }
        let (stop_serving, stopped) = watch::channel(false);
        let proxy = Arc::new(proxy(&runtime, &drain, &metrics, threads));
        for listener in listeners {
            let address = listener.address();
            let open = metrics.listener(&address.to_string());
            listener.serve(Counted::new(Arc::clone(&proxy), open, Arc::clone(&drain)), stopped.clone());
            tracing::info!(listener = %"http", %address, "listening");
        }
        let shared = revocations.shared().clone();
        let mut followers = JoinSet::new();
        followers.spawn(revocations.run());
        let token = admin_token.map(|(token, path)| {
            followers.spawn(Arc::clone(&token).follow(path, INTERVAL));
            token
        });
        let (stop_admin, admin_stopped) = watch::channel(false);
        let address = admin_listener.address();
        let admin = AdminService::new(runtime, Arc::clone(&drain), registry, shared, clock, token);
        let admin = admin_listener.serve(HttpServer::new_app(admin), admin_stopped);
        tracing::info!(listener = %"admin", %address, "listening");

        stop().await;
        tracing::info!(connections = drain.connections(), "stopping");
        drain.begin();
        // Fails only if nothing serves any more.
        let _ = stop_serving.send(true);
        drained(&drain, shutdown_grace, stop).await;
        // The admin listener answers to the end, so that readiness can be seen to be gone.
        let _ = stop_admin.send(true);
        let _ = admin.await;
    }
}

/// Waits for the last connection, for `grace` to be over or for another stop, whichever is first.
async fn drained(drain: &Drain, grace: Duration, mut stop: impl AsyncFnMut()) {
    tokio::select! {
        () = drain.emptied() => tracing::info!("stopped"),
        () = tokio::time::sleep(grace) => {
            tracing::warn!(connections = drain.connections(), "stopped with requests in flight: shutdown_grace is over");
        }
        () = stop() => tracing::warn!(connections = drain.connections(), "stopped at once"),
    }
}

/// Runs `main` on as many threads as the configuration says, and leaves nothing behind.
///
/// # Errors
///
/// [`StartError::Threads`], or what `main` says.
pub fn on_threads<T>(config: ServerConfig, main: impl Future<Output = Result<T, StartError>>) -> Result<T, StartError> {
    let threads = threads(config).get();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(StartError::Threads)?;
    let outcome = runtime.block_on(main);
    runtime.shutdown_timeout(TEARDOWN_TIMEOUT);
    outcome
}

fn threads(config: ServerConfig) -> NonZeroUsize {
    config.threads.unwrap_or_else(|| available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

fn proxy(
    runtime: &Arc<ArcSwap<Runtime>>,
    drain: &Arc<Drain>,
    metrics: &ProxyMetrics,
    threads: NonZeroUsize,
) -> HttpProxy<EdgeService> {
    let conf = ServerConf {
        threads: threads.get(),
        max_retries: MAX_ATTEMPTS,
        upstream_keepalive_pool_size: IDLE_UPSTREAM_CONNECTIONS,
        ..ServerConf::default()
    };
    http_proxy(&Arc::new(conf), EdgeService::new(Arc::clone(runtime), Arc::clone(drain), metrics.clone()))
}
