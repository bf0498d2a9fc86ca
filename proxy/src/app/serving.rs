//! A proxy that serves: what it does as it is told, from the first connection to the last.

mod ending;

use std::{num::NonZeroUsize, sync::Arc};

use arc_swap::ArcSwap;
use pingora_core::{apps::http_app::HttpServer, server::configuration::ServerConf};
use tokio::sync::watch;

use super::{
    App, StartError,
    background::{Background, Followed},
    doors::{self, Doors},
    threads,
};
use crate::{
    admin::AdminService,
    config::{Loaded, model::Config},
    drain::Drain,
    lifecycle::{
        descriptors,
        handover::{HandOverError, Predecessor, Program, Successor},
        inherited::Role,
        notify::{Notifier, State},
        signal::Order,
    },
    listener::{RunningListener, Service},
    reload::{self, ReloadError},
    revocation::shared::SharedRevocations,
    runtime::{Runtime, Surroundings},
    service::{Edge, EdgeService, MAX_ATTEMPTS, Server},
    telemetry::{log::with_causes, metrics::ProxyMetrics},
    watch::Watch,
};

/// Unused upstream connections that Pingora's proxy keeps for each thread. What is served directly has its own.
const IDLE_UPSTREAM_CONNECTIONS: usize = 1024;

/// Why something is to be done.
#[derive(Debug)]
enum Event {
    /// The file may have changed.
    Change,
    /// Something ended in the background.
    Lost,
    /// Somebody says so.
    Order(Order),
}

/// Why it stops.
enum Ending {
    /// Another process goes on.
    HandedOver(Successor),
    /// Something ended that must not.
    Lost,
    /// Somebody said so.
    Told,
}

/// Everything that runs.
pub(super) struct Serving {
    config: Config,
    file: Option<Watch>,
    /// Why the file was refused the last time.
    refused: Vec<String>,
    program: Option<Program>,
    notifier: Arc<Notifier>,
    runtime: Arc<ArcSwap<Runtime>>,
    surroundings: Surroundings,
    background: Background,
    revocations: SharedRevocations,
    drain: Arc<Drain>,
    doors: Doors,
    admin: Option<RunningListener>,
    stop_serving: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
}

impl Serving {
    /// Serves from now on. A process that takes over from another first gets all that it needs, and then lets the other step
    /// back; nothing, if it is told to stop before.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub(super) async fn begin(app: App, order: &mut impl AsyncFnMut() -> Order) -> Result<Option<Self>, StartError> {
        let App {
            config,
            listeners,
            tls,
            admin,
            admin_token,
            revocations,
            runtime,
            surroundings,
            registry,
            fetcher,
            file,
            predecessor,
            program,
            notifier,
        } = app;
        let (background, followed) =
            Background::begin(fetcher, &runtime.load(), &config.resolver, revocations, admin_token);
        let takes_over = predecessor.is_some();
        let prepared = prepare(predecessor, &runtime, &followed.revocations, &config);
        if unless_stopped(prepared, order, &mut None).await.is_none() {
            return Ok(None);
        }
        stamp(&surroundings);
        let drain = Arc::<Drain>::default();
        let (stop_serving, stopped) = watch::channel(false);
        let proxy = Arc::new(proxy(&runtime, &drain, &surroundings.metrics, threads(config.server)));
        let mut doors = Doors::new(proxy, Arc::clone(&drain), surroundings.metrics.clone(), stopped);
        doors.follow(doors::first_plan(&config, listeners, tls)).await?;
        let (stop_admin, admin_stopped) = watch::channel(false);
        let Followed { revocations, admin_token } = followed;
        let clock = Arc::clone(&surroundings.clock);
        let changed = revocations.clone();
        let service =
            AdminService::new(Arc::clone(&runtime), Arc::clone(&drain), registry, changed, clock, admin_token);
        let admin = admin.serve(Service::internal(HttpServer::new_app(service), admin_stopped))?;
        tracing::info!(listener = %"admin", address = %admin.address(), "listening");
        let serving = Self {
            config,
            file,
            refused: Vec::new(),
            program,
            notifier: Arc::new(notifier),
            runtime,
            surroundings,
            background,
            revocations,
            drain,
            doors,
            admin: Some(admin),
            stop_serving,
            stop_admin,
        };
        // The service manager is told about a process that takes over by the one before it.
        if !takes_over {
            serving.notifier.say(State::Ready);
        }
        Ok(Some(serving))
    }

    /// Who wants to know what the process does.
    pub(super) fn notifier(&self) -> Arc<Notifier> {
        Arc::clone(&self.notifier)
    }

    /// Does as it is told until it has stopped.
    ///
    /// # Errors
    ///
    /// [`StartError::Lost`]: it stopped for that.
    pub(super) async fn run(mut self, mut order: impl AsyncFnMut() -> Order) -> Result<(), StartError> {
        let ending = self.obey(&mut order).await;
        let (patience, outcome) = match ending {
            Ending::HandedOver(successor) => (self.step_back(successor).await, Ok(())),
            Ending::Told => (self.announce(&mut order).await, Ok(())),
            Ending::Lost => (self.announce(&mut order).await, Err(StartError::Lost)),
        };
        self.wind_down(patience, &mut order).await;
        outcome
    }

    /// Does as it is told until it is to stop.
    async fn obey(&mut self, order: &mut impl AsyncFnMut() -> Order) -> Ending {
        let mut later = None;
        loop {
            let event = match later.take() {
                Some(order) => Event::Order(order),
                None => self.next(order).await,
            };
            let is_change = matches!(event, Event::Change);
            let done = match event {
                Event::Lost => return Ending::Lost,
                Event::Order(Order::Stop) => return Ending::Told,
                Event::Order(Order::HandOver) => unless_stopped(self.succeed(), order, &mut later).await,
                Event::Change | Event::Order(Order::Reload) => {
                    unless_stopped(self.reload(is_change), order, &mut later).await.map(|()| None)
                }
            };
            match done {
                Some(Some(successor)) => return Ending::HandedOver(successor),
                Some(None) => {}
                None => return Ending::Told,
            }
        }
    }

    /// What is to be done next.
    async fn next(&mut self, order: &mut impl AsyncFnMut() -> Order) -> Event {
        let watch = self.file.as_mut().filter(|_| self.config.server.watch);
        let changed = async {
            match watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = order() => Event::Order(order),
            () = changed => Event::Change,
            () = self.background.lost() => Event::Lost,
        }
    }

    /// Loads the configuration anew, and says what came of it. A change of the file that is none is not mentioned.
    async fn reload(&mut self, is_change: bool) {
        let read = self.read().await;
        if is_change && self.is_known(&read) {
            return;
        }
        self.notifier.say(State::Reloading);
        let outcome = match read {
            Ok(loaded) => self.replace(loaded).await,
            Err(error) => Err(error),
        };
        // Whatever was made for a configuration that was refused, or is not needed any more.
        let Config { routes, upstreams, .. } = &self.config;
        self.surroundings.metrics.retain(
            |name| routes.iter().any(|route| *route.label == *name),
            |name| upstreams.iter().any(|upstream| *upstream.name == *name),
            |address| self.doors.addresses().any(|open| open.to_string() == address),
        );
        let reloads = &self.surroundings.metrics.reloads;
        match outcome {
            Ok(()) => {
                reloads.success.inc();
                self.refused.clear();
                stamp(&self.surroundings);
                tracing::info!("the configuration was loaded anew");
            }
            Err(error) => {
                reloads.failure.inc();
                reloads.is_last_successful.set(0);
                self.refused = error.lines();
                for line in &self.refused {
                    tracing::error!("the configuration is refused, the one before stays: {line}");
                }
            }
        }
        self.notifier.say(State::Ready);
    }

    async fn read(&self) -> Result<Loaded, ReloadError> {
        let file = self.file.as_ref().ok_or(ReloadError::NoFile)?;
        reload::read(file.path()).await
    }

    /// Whether the file says what is served, or what was refused the last time.
    fn is_known(&self, read: &Result<Loaded, ReloadError>) -> bool {
        match read {
            Ok(loaded) => self.refused.is_empty() && loaded.config == self.config,
            Err(error) => error.lines() == self.refused,
        }
    }

    /// Serves another configuration, or leaves everything as it is.
    async fn replace(&mut self, Loaded { config, files: _ }: Loaded) -> Result<(), ReloadError> {
        reload::check_fixed(&self.config, &config)?;
        let plan = self.doors.plan(&config).await?;
        let current = self.runtime.load_full();
        let mut runtime = reload::build(&config, &self.surroundings, &current).await?;
        self.background.refresh(&runtime, &config.resolver);
        reload::warm(&mut runtime, &current, &config).await;
        let runtime = Arc::new(runtime);
        self.runtime.store(Arc::clone(&runtime));
        self.background.let_go(&runtime);
        descriptors::warn_if_short(config.limits.connections);
        self.config = config;
        // The system may still have no descriptor left for what was bound.
        if let Err(error) = self.doors.follow(plan).await {
            tracing::error!("a listener is missing: {}", with_causes(&error));
        }
        Ok(())
    }

    /// A process that is ready to take over; nothing, if there is none, which the log says then.
    async fn succeed(&self) -> Option<Successor> {
        match self.try_succeed().await {
            Ok(successor) => successor,
            Err(error) => {
                tracing::error!("no hand-over, this process goes on: {}", with_causes(&error));
                None
            }
        }
    }

    async fn try_succeed(&self) -> Result<Option<Successor>, HandOverError> {
        let Some(program) = &self.program else {
            tracing::error!("no hand-over, this process goes on: it cannot be started anew");
            return Ok(None);
        };
        let admin = self.admin.iter().map(|admin| (Role::Admin, self.config.admin.address, admin.socket()));
        let sockets: Vec<_> = self.doors.handed().chain(admin).collect();
        let mut successor = Successor::start(program, &sockets)?;
        tracing::info!(pid = successor.id(), "started a process to hand over to");
        successor.ready().await?;
        Ok(Some(successor))
    }
}

/// What `work` comes to; nothing, if there is an order to stop before that. Other orders are kept for later.
async fn unless_stopped<T>(
    work: impl Future<Output = T>,
    order: &mut impl AsyncFnMut() -> Order,
    later: &mut Option<Order>,
) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = stop_order(order, later) => None,
    }
}

/// Waits for an order to stop, whatever else comes before.
async fn stopped(order: &mut impl AsyncFnMut() -> Order) {
    stop_order(order, &mut None).await;
}

/// Waits for an order to stop. Another is kept for later: one of each kind is enough, and a hand-over reloads.
async fn stop_order(order: &mut impl AsyncFnMut() -> Order, later: &mut Option<Order>) {
    loop {
        match order().await {
            Order::Stop => return,
            Order::HandOver => *later = Some(Order::HandOver),
            Order::Reload => *later = later.or(Some(Order::Reload)),
        }
    }
}

/// Whether a snapshot has the keys that its routes need, and knows what is revoked.
fn is_prepared(runtime: &Runtime) -> bool {
    runtime.pools_missing_keys().next().is_none() && runtime.knows_revocations()
}

/// Keeps revocations where the process before this one kept them until now. If that fails, they hold all the same.
async fn claim(revocations: &SharedRevocations, config: &Config) {
    let Some(path) = &config.revocation.state_file else { return };
    if let Err(error) = revocations.claim(path.clone()).await {
        tracing::error!("revocations are not saved any more: {}", with_causes(&error));
    }
}

/// Gets what is waited for before the first request.
async fn prepare(
    predecessor: Option<Predecessor>,
    runtime: &ArcSwap<Runtime>,
    revocations: &SharedRevocations,
    config: &Config,
) {
    reload::await_addresses(&runtime.load_full(), None, &config.resolver).await;
    if let Some(predecessor) = predecessor {
        take_over(predecessor, runtime, revocations, config).await;
    }
}

/// Gets what routes need while the other process serves, however long that one waits; then lets it step back.
async fn take_over(
    predecessor: Predecessor,
    runtime: &ArcSwap<Runtime>,
    revocations: &SharedRevocations,
    config: &Config,
) {
    let ready = reload::until(|| is_prepared(&runtime.load()));
    if let Err(error) = predecessor.relieve(ready).await {
        tracing::warn!(%error, "the process before this one does not answer");
    }
    claim(revocations, config).await;
}

/// Notes that the configuration that is served was loaded now.
fn stamp(surroundings: &Surroundings) {
    let now = i64::try_from(surroundings.clock.now()).unwrap_or(i64::MAX);
    surroundings.metrics.reloads.last_success.set(now);
    surroundings.metrics.reloads.is_last_successful.set(1);
}

fn proxy(runtime: &Arc<ArcSwap<Runtime>>, drain: &Arc<Drain>, metrics: &ProxyMetrics, threads: NonZeroUsize) -> Server {
    let conf = ServerConf {
        threads: threads.get(),
        max_retries: MAX_ATTEMPTS,
        upstream_keepalive_pool_size: IDLE_UPSTREAM_CONNECTIONS,
        ..ServerConf::default()
    };
    let service = EdgeService::new(Arc::clone(runtime), Arc::clone(drain), metrics.clone());
    Server::new(Edge::new(service, &Arc::new(conf)))
}
