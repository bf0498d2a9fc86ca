//! The composition root: the only file that knows every part.
//!
//! Everything that can fail at start fails in [`App::bind`], before the process says that it serves: sockets are bound or
//! inherited, metrics registered, the HTTP client made. [`App::serve`] then runs until it is told to stop, and drains.

mod background;
mod doors;
mod keepers;
mod serving;

use std::{
    io, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, thread::available_parallelism, time::Duration,
};

use arc_swap::ArcSwap;
use cognigate_auth::{
    clock::{Clock, SystemClock},
    keys::fetch::{Fetcher, NoClient},
    metrics::AuthMetrics,
};
use prometheus::Registry;
use thiserror::Error;

use self::serving::Serving;
use crate::{
    admin::token::AdminToken,
    config::{
        Files, Loaded,
        model::{Config, ServerConfig},
    },
    lifecycle::{
        descriptors,
        handover::{Predecessor, Program},
        inherited::{InheritError, Inherited, Role},
        notify::Notifier,
        signal::Order,
    },
    listener::{BindError, BoundListener},
    revocation::{
        RevocationError, Revocations,
        metrics::RevocationMetrics,
        redis::{self, RedisMetrics},
    },
    runtime::{BuildError, Runtime, Surroundings},
    telemetry::{access_log::LogWriters, metrics::ProxyMetrics},
    tls::load::{self, Servers, TlsErrors},
    upstream::figures,
    watch::Watch,
};

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
    /// The configuration cannot be served although it was checked.
    #[error(transparent)]
    Config(#[from] BuildError),
    /// No key set can be fetched.
    #[error(transparent)]
    Fetcher(#[from] NoClient),
    /// A socket that was passed to the process cannot be served.
    #[error(transparent)]
    Inherited(#[from] InheritError),
    /// A fault of ours: something ended that goes on as long as the proxy serves. The log says what.
    #[error("a task in the background was lost")]
    Lost,
    /// A fault of ours.
    #[error("two metrics have one name")]
    Metrics(#[from] prometheus::Error),
    /// How the process was started cannot be found out.
    #[error("cannot find the program of this process")]
    Program(#[source] io::Error),
    /// Revocations cannot be shared.
    #[error(transparent)]
    Redis(#[from] redis::NoClient),
    /// What is revoked cannot be told.
    #[error(transparent)]
    Revocations(#[from] RevocationError),
    /// The process cannot be told to stop.
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
    /// The files of a listener's `tls` cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsErrors),
    /// There are no threads to run on.
    #[error("cannot start threads")]
    Threads(#[source] io::Error),
}

/// What an app finds around it. Without any of it, it serves one configuration until it is told to stop.
#[derive(Debug, Default)]
pub struct Circumstances {
    /// The file that the configuration is from.
    pub file: Option<Watch>,
    /// Sockets that are there already.
    pub inherited: Inherited,
    /// How another process is started that takes over.
    pub program: Option<Program>,
    /// Who wants to know what the process does.
    pub notifier: Notifier,
    /// Everything that writes an access log: whoever ends the process waits for it last.
    pub log_writers: LogWriters,
}

/// A proxy whose sockets are bound and that is ready to serve.
#[derive(Debug)]
pub struct App {
    config: Config,
    listeners: Vec<BoundListener>,
    tls: Servers,
    admin: BoundListener,
    admin_token: Option<(Arc<AdminToken>, PathBuf)>,
    revocations: Revocations,
    runtime: Arc<ArcSwap<Runtime>>,
    surroundings: Surroundings,
    registry: Registry,
    fetcher: Fetcher,
    file: Option<Watch>,
    predecessor: Option<Predecessor>,
    program: Option<Program>,
    notifier: Notifier,
}

impl App {
    /// Makes everything that serving needs: of a configuration, and of what is in the files that it names. Within a Tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn bind(loaded: Loaded, circumstances: Circumstances) -> Result<Self, StartError> {
        let Loaded { config, files } = loaded;
        let Circumstances { file, mut inherited, program, notifier, log_writers } = circumstances;
        let registry = Registry::new();
        let metrics = ProxyMetrics::register(&registry, VERSION, COMMIT)?;
        let auth_metrics = AuthMetrics::register(&registry)?;
        let tls = load::load(&config, |_| None)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let revocations = revocations(&config, &files, inherited.takes_over(), &clock, &registry)?;
        let surroundings =
            Surroundings { clock, metrics, auth_metrics, revocations: Arc::clone(revocations.list()), log_writers };
        let runtime = Runtime::build(&config, &surroundings, None)?;
        runtime.authorizer.restore_keys();
        let runtime = Arc::new(ArcSwap::from_pointee(runtime));
        let served = Arc::clone(&runtime);
        figures::register(&registry, move || Arc::clone(served.load().pools()))?;
        load::warn_of_expired(&tls, surroundings.clock.now());
        let mut bound = |role, address| match inherited.take(role, address) {
            Some(socket) => BoundListener::adopt(socket),
            None => BoundListener::bind(address),
        };
        let listeners = config.listeners.iter().map(|listener| bound(Role::Http, listener.address));
        let listeners = listeners.collect::<Result<_, _>>()?;
        let admin = bound(Role::Admin, config.admin.address)?;
        let admin_token = files.admin_token.as_ref().map(AdminToken::new).map(Arc::new);
        Ok(Self {
            listeners,
            tls,
            admin,
            admin_token: admin_token.zip(config.admin.token_file.clone()),
            revocations,
            runtime,
            surroundings,
            registry,
            fetcher: Fetcher::new()?,
            file,
            predecessor: inherited.settle()?,
            program,
            notifier,
            config,
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

    /// Serves, and does as it is told, until it has stopped: then it takes no new connection and waits for the requests in
    /// flight, at most for the grace time. `order` is cancel safe; a second order to stop ends the wait.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn serve(self, mut order: impl AsyncFnMut() -> Order) -> Result<(), StartError> {
        descriptors::raise();
        descriptors::warn_if_short(self.config.limits.connections);
        let log_writers = self.surroundings.log_writers.clone();
        let mut order = async move || {
            let order = order().await;
            if order == Order::Reload {
                // Whoever renames the log says so, whatever becomes of the order: also to a process that stops.
                log_writers.reopen();
            }
            order
        };
        let Some(serving) = Box::pin(Serving::begin(self, &mut order)).await? else { return Ok(()) };
        let notifier = serving.notifier();
        tokio::select! {
            stopped = Box::pin(serving.run(order)) => stopped,
            () = notifier.keep_watchdog() => Ok(()),
        }
    }
}

/// What is revoked, and what it comes from.
fn revocations(
    config: &Config,
    files: &Files,
    takes_over: bool,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
) -> Result<Revocations, StartError> {
    let Files { admin_token: _, revocations, redis_password, redis_ca } = files;
    let metrics = RevocationMetrics::register(registry)?;
    let mut opened =
        Revocations::open(&config.revocation, revocations.as_ref(), takes_over, Arc::clone(clock), metrics)?;
    opened.list().register(registry)?;
    if let Some(redis) = &config.revocation.redis {
        let metrics = RedisMetrics::register(registry)?;
        opened.share(redis, redis_password.as_ref(), redis_ca.as_deref(), metrics)?;
    }
    Ok(opened)
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
