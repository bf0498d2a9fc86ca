//! The composition root: the only file that knows every part.
//!
//! Everything that can fail at start fails in [`App::bind`], before the process says that it serves: sockets are bound,
//! metrics registered, the HTTP client made. [`App::serve`] then runs until it is told to stop, and drains.

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, thread::available_parallelism, time::Duration};

use arc_swap::ArcSwap;
use cognigate_auth::{
    clock::SystemClock,
    keys::fetch::{Fetcher, NoClient},
    metrics::AuthMetrics,
};
use pingora_core::{apps::http_app::HttpServer, server::configuration::ServerConf};
use pingora_proxy::{HttpProxy, http_proxy};
use prometheus::Registry;
use thiserror::Error;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    admin::AdminService,
    config::model::{Config, ServerConfig},
    drain::Drain,
    listener::{BindError, BoundListener, Counted},
    runtime::{DanglingUpstream, Runtime, Surroundings},
    service::{EdgeService, MAX_ATTEMPTS},
    telemetry::metrics::ProxyMetrics,
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
    runtime: Arc<ArcSwap<Runtime>>,
    drain: Arc<Drain>,
    metrics: ProxyMetrics,
    registry: Registry,
    fetcher: Fetcher,
    threads: NonZeroUsize,
    shutdown_grace: Duration,
}

impl App {
    /// Makes everything that serving needs. Within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let registry = Registry::new();
        let metrics = ProxyMetrics::register(&registry, VERSION, COMMIT)?;
        let auth_metrics = AuthMetrics::register(&registry)?;
        let surroundings = Surroundings { clock: Arc::new(SystemClock), metrics: metrics.clone(), auth_metrics };
        let runtime = Runtime::build(config, &surroundings)?;
        let listeners: Result<_, _> =
            config.listeners.iter().map(|listener| BoundListener::bind(listener.address)).collect();
        Ok(Self {
            listeners: listeners?,
            admin: BoundListener::bind(config.admin.address)?,
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
        let (stop_admin, admin_stopped) = watch::channel(false);
        let address = admin_listener.address();
        let admin = AdminService::new(runtime, Arc::clone(&drain), registry);
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
