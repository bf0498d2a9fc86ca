//! Keeps the endpoints of one pool in order, beside the requests.
//!
//! - Each endpoint is checked on its own, so that one that is slow holds up no other; of a pool, at most 64 at a time.
//! - One that requests had ejected is asked when its time is over: with the check of the configuration, else whether it accepts
//!   connections. It returns if it passes, and stays out for longer if it does not. One that its checks have taken out as well
//!   is left to them.
//! - The addresses behind a name are asked for again whenever an answer has had its time. An endpoint whose address stays is
//!   left as it is.
//! - The log has a line for each change, and none for a check or a look-up that changes nothing.
//! - A check or a look-up that panics costs a line in the log, and begins anew after a pause: what one endpoint answers is no
//!   reason to stop serving the others.
//!
//! Goes on until it is dropped, and takes everything that it began with it.

mod restart;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore},
    task::{AbortHandle, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until},
};

use super::{
    discovery::{self, Discovery, MAX_ADDRESSES, Outcome},
    endpoint::Endpoint,
    health::{self, Streak},
    pool::Pool,
    probe::{self, Prober, Unwell},
    resolver::{ResolveError, Resolver},
};
use crate::{
    config::model::{DnsName, Endpoints, HealthCheckConfig, Probe, ResolverConfig, UpstreamConfig},
    telemetry::{log::with_causes, metrics::UpkeepMetrics},
};

/// How many endpoints of a pool are asked at a time. With a timeout of a second and nobody who answers, the 256 endpoints that a
/// name may have are through in four.
const MAX_PROBES: usize = 64;

/// What keepers ask with. One for all pools.
pub(crate) struct Instruments {
    prober: Prober,
    resolver: Resolver,
}

/// Keeps the endpoints of one pool in order.
pub(crate) struct Keeper {
    pool: Arc<Pool>,
    instruments: Arc<Instruments>,
    metrics: UpkeepMetrics,
    random: fastrand::Rng,
    permits: Arc<Semaphore>,
    attended: HashMap<SocketAddr, Attended>,
    /// Comes when the endpoints are others.
    changed: Arc<Notify>,
    tasks: JoinSet<()>,
}

/// An endpoint that is taken care of.
struct Attended {
    patient: Arc<Patient>,
    check: Option<AbortHandle>,
    comeback: Option<AbortHandle>,
}

/// What is needed to take care of one endpoint.
struct Patient {
    endpoint: Arc<Endpoint>,
    pool: Arc<Pool>,
    instruments: Arc<Instruments>,
    permits: Arc<Semaphore>,
    /// The `Host` of its checks.
    host: Box<str>,
    /// What its checks have come to.
    is_well: AtomicBool,
}

/// What looks after the name of a pool.
struct Scout {
    name: DnsName,
    pool: Arc<Pool>,
    instruments: Arc<Instruments>,
    metrics: UpkeepMetrics,
    changed: Arc<Notify>,
}

impl Instruments {
    /// Reads the authorities of the system.
    pub(crate) fn new(resolver: &ResolverConfig) -> Self {
        Self { prober: Prober::new(), resolver: Resolver::new(resolver) }
    }

    /// Resolves names like this from now on, and anew.
    pub(crate) fn reconfigure(&self, resolver: &ResolverConfig) {
        self.resolver.reconfigure(resolver);
    }
}

impl Keeper {
    /// A keeper that has not begun.
    pub(crate) fn new(
        pool: Arc<Pool>,
        instruments: Arc<Instruments>,
        metrics: UpkeepMetrics,
        random: fastrand::Rng,
    ) -> Self {
        Self {
            pool,
            instruments,
            metrics,
            random,
            permits: Arc::new(Semaphore::new(MAX_PROBES)),
            attended: HashMap::new(),
            changed: Arc::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Goes on for as long as it is wanted.
    ///
    /// # Errors
    ///
    /// A fault of ours, which is not one check's or one look-up's.
    pub(crate) async fn run(mut self) -> Result<(), JoinError> {
        self.begin_discovery();
        let (pool, changed) = (Arc::clone(&self.pool), Arc::clone(&self.changed));
        loop {
            self.attend();
            tokio::select! {
                () = pool.ejected.notified() => {}
                () = changed.notified() => {}
                Some(ended) = self.tasks.join_next() => match ended {
                    Err(error) if !error.is_cancelled() => return Err(error),
                    Ok(()) | Err(_) => {}
                },
            }
        }
    }

    fn begin_discovery(&mut self) {
        if let Endpoints::Discovered(name) = &self.pool.config().endpoints {
            let scout = Arc::new(Scout {
                name: name.clone(),
                pool: Arc::clone(&self.pool),
                instruments: Arc::clone(&self.instruments),
                metrics: self.metrics.clone(),
                changed: Arc::clone(&self.changed),
            });
            let (pool, mut random) = (Arc::clone(&self.pool), self.random.fork());
            let look_up = move || Arc::clone(&scout).run(random.fork());
            self.tasks.spawn(restart::whenever_it_panics(pool, look_up));
        }
    }

    /// Takes care of the endpoints that there are, and of no other.
    fn attend(&mut self) {
        let members = self.pool.members();
        let is_there = |attended: &Attended| members.endpoints().iter().any(|there| attended.is_of(there));
        self.attended.retain(|_, attended| is_there(attended));
        for endpoint in members.endpoints() {
            self.admit(endpoint);
            if endpoint.ejected_until().is_some() {
                self.begin_comeback(endpoint.address());
            }
        }
    }

    /// Begins the checks of an endpoint that is new.
    fn admit(&mut self, endpoint: &Arc<Endpoint>) {
        if self.attended.contains_key(&endpoint.address()) {
            return;
        }
        let config = self.pool.config();
        let patient = Arc::new(Patient {
            endpoint: Arc::clone(endpoint),
            pool: Arc::clone(&self.pool),
            instruments: Arc::clone(&self.instruments),
            permits: Arc::clone(&self.permits),
            host: probe::host(config, endpoint.address()),
            is_well: AtomicBool::new(true),
        });
        let check = config.health_check.clone().map(|config| {
            let (patient, metrics, mut random) = (Arc::clone(&patient), self.metrics.clone(), self.random.fork());
            let check = move || Arc::clone(&patient).check(config.clone(), metrics.clone(), random.fork());
            self.tasks.spawn(restart::whenever_it_panics(Arc::clone(&self.pool), check))
        });
        self.attended.insert(endpoint.address(), Attended { patient, check, comeback: None });
    }

    /// Sees to the return of an endpoint that was ejected, unless somebody does.
    fn begin_comeback(&mut self, address: SocketAddr) {
        let Some(attended) = self.attended.get_mut(&address) else { return };
        // One that is just ending is noticed when it has ended.
        if attended.comeback.as_ref().is_none_or(AbortHandle::is_finished) {
            let patient = Arc::clone(&attended.patient);
            let come_back = move || Arc::clone(&patient).come_back();
            let task = restart::whenever_it_panics(Arc::clone(&self.pool), come_back);
            attended.comeback = Some(self.tasks.spawn(task));
        }
    }
}

impl Attended {
    fn is_of(&self, endpoint: &Arc<Endpoint>) -> bool {
        Arc::ptr_eq(&self.patient.endpoint, endpoint)
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        for task in [&self.check, &self.comeback].into_iter().flatten() {
            task.abort();
        }
    }
}

impl Patient {
    /// Checks it again and again.
    async fn check(self: Arc<Self>, config: HealthCheckConfig, metrics: UpkeepMetrics, mut random: fastrand::Rng) {
        let mut streak = Streak::new(&config, self.is_well.load(Ordering::Relaxed));
        let mut is_first = true;
        loop {
            let begun = Instant::now();
            let asked = self.ask(&config.probe, config.timeout).await;
            metrics.checks.count(asked.is_ok());
            match streak.note(asked.is_ok()) {
                Some(turn) => self.turn(turn, asked.err()),
                None => {
                    tracing::debug!(upstream = self.upstream(), endpoint = %self.endpoint.address(), ?asked, "checked")
                }
            }
            sleep_until(begun + health::wait(config.interval, is_first, random.f64())).await;
            is_first = false;
        }
    }

    /// Takes it out or brings it back, and says so.
    fn turn(&self, turn: health::Turn, cause: Option<Unwell>) {
        let (upstream, endpoint) = (self.upstream(), self.endpoint.address());
        let is_well = turn == health::Turn::Back;
        self.is_well.store(is_well, Ordering::Relaxed);
        self.endpoint.mark_checked(is_well);
        match cause {
            Some(cause) => {
                tracing::warn!(upstream, %endpoint, %cause, "the endpoint fails its health checks: it gets no requests")
            }
            None => tracing::info!(upstream, %endpoint, "the endpoint passes its health checks again"),
        }
    }

    /// Asks it, when its time is over, until it is not ejected any more.
    async fn come_back(self: Arc<Self>) {
        while let Some(until) = self.endpoint.ejected_until() {
            sleep_until(until).await;
            let (upstream, endpoint) = (self.upstream(), self.endpoint.address());
            if !self.is_well.load(Ordering::Relaxed) {
                tracing::debug!(upstream, %endpoint, "left to its health checks");
                self.endpoint.readmit();
                continue;
            }
            let UpstreamConfig { health_check, timeouts, .. } = self.pool.config();
            let (probe, limit) =
                health_check.as_ref().map_or((&Probe::Tcp, timeouts.connect), |check| (&check.probe, check.timeout));
            match self.ask(probe, limit).await {
                Ok(()) => {
                    tracing::info!(upstream, %endpoint, "the endpoint answers again: its next request decides");
                    self.endpoint.readmit();
                }
                Err(cause) => {
                    tracing::debug!(upstream, %endpoint, %cause, "the endpoint stays ejected");
                    self.endpoint.extend_ejection(Instant::now());
                }
            }
        }
    }

    async fn ask(&self, probe: &Probe, limit: Duration) -> Result<(), Unwell> {
        // Fails only if it were closed, which nobody does.
        let _permit = self.permits.acquire().await.ok();
        self.instruments.prober.ask(self.endpoint.peer(), probe, &self.host, limit).await
    }

    fn upstream(&self) -> &str {
        &self.pool.config().name
    }
}

impl Scout {
    /// Looks the name up again and again.
    async fn run(self: Arc<Self>, mut random: fastrand::Rng) {
        let resolver = &self.instruments.resolver;
        let mut discovery = Discovery::new(&self.name, self.pool.members().addresses());
        loop {
            let reconfigured = resolver.reconfigured();
            let found = resolver.look_up(&self.name.host).await;
            let outcome = discovery.note(found.as_ref().ok(), &resolver.config(), random.f64());
            self.metrics.resolutions.count(outcome.is_answered);
            if outcome.is_changed {
                self.pool.replace(discovery.known());
                self.changed.notify_one();
            }
            self.tell(&outcome, found.err(), &discovery);
            tokio::select! {
                () = sleep(outcome.wait) => {}
                () = reconfigured => {}
            }
        }
    }

    /// Says what is new.
    fn tell(&self, outcome: &Outcome, error: Option<ResolveError>, discovery: &Discovery) {
        let (upstream, name, known) = (&*self.pool.config().name, &*self.name.host, discovery.known());
        let Outcome { wait, is_answered: _, is_changed, turn, left_out } = outcome;
        match turn {
            Some(discovery::Turn::Back) => tracing::info!(upstream, name, "the name is resolved again"),
            Some(discovery::Turn::Out) => {
                let cause = error.map_or_else(|| ResolveError::NoAddress.to_string(), |error| with_causes(&error));
                let addresses = known.len();
                tracing::warn!(
                    upstream,
                    name,
                    cause,
                    addresses,
                    "the name is not resolved: the addresses before it stay"
                );
            }
            None => tracing::debug!(upstream, name, ?wait, "looked up"),
        }
        if *is_changed {
            tracing::info!(upstream, name, ?known, "the name has other addresses");
        }
        if let Some(left_out) = left_out {
            tracing::warn!(
                upstream,
                name,
                left_out,
                "the name has more than {MAX_ADDRESSES} addresses: the rest gets no requests"
            );
        }
    }
}
