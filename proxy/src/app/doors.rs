//! The listeners of clients that are open, and how they follow a new configuration.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use tokio::{sync::watch, task::spawn_blocking};

use crate::{
    config::model::Config,
    drain::Drain,
    lifecycle::{handover::Handed, inherited::Role},
    listener::{BindError, BoundListener, RunningListener, Service, Settings, admission::Admission},
    reload::ReloadError,
    service::Server,
    telemetry::metrics::ProxyMetrics,
    tls::{
        TlsServer,
        load::{self, Servers},
        reload::follow,
    },
};

/// The listeners of clients.
pub(super) struct Doors {
    proxy: Arc<Server>,
    drain: Arc<Drain>,
    admission: Arc<Admission>,
    metrics: ProxyMetrics,
    closing: watch::Receiver<bool>,
    open: Vec<Door>,
}

/// One listener, and what the configuration calls it.
struct Door {
    configured: SocketAddr,
    listener: RunningListener,
}

/// A listener of a new configuration.
pub(super) enum Plan {
    /// It is open, at this place; what is asked of its connections may be something else.
    Keep(usize, Settings),
    /// It was bound for it.
    Open(SocketAddr, BoundListener, Settings),
}

/// What is asked of the connections of each listener, with its certificates.
pub(super) fn settings(config: &Config, tls: Servers) -> impl Iterator<Item = Settings> {
    let limits = (&config.limits).into();
    let listeners = config.listeners.iter().zip(tls);
    listeners.map(move |(listener, tls)| Settings { limits, tls, proxy_protocol: listener.proxy_protocol })
}

/// What is to be done with listeners that are bound already.
pub(super) fn first_plan(config: &Config, bound: Vec<BoundListener>, tls: Servers) -> Vec<Plan> {
    let addresses = config.listeners.iter().map(|listener| listener.address);
    let opened = addresses.zip(bound).zip(settings(config, tls));
    opened.map(|((address, bound), settings)| Plan::Open(address, bound, settings)).collect()
}

impl Doors {
    /// No listener yet. Connections are let go when `closing` says true.
    pub(super) fn new(
        proxy: Arc<Server>,
        drain: Arc<Drain>,
        metrics: ProxyMetrics,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self { proxy, drain, admission: Arc::default(), metrics, closing, open: Vec::new() }
    }

    /// What is to be done so that the listeners are those of another configuration: certificates are read, and addresses
    /// bound that are not yet. An address that is in both, as it is written, keeps its socket.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]: then nothing has changed.
    pub(super) async fn plan(&self, config: &Config) -> Result<Vec<Plan>, ReloadError> {
        let known = self.open.iter().filter_map(|door| Some((door.configured, door.listener.settings().tls.clone()?)));
        let known: HashMap<_, _> = known.collect();
        let read = config.clone();
        let tls = spawn_blocking(move || load::load(&read, |address| known.get(&address).cloned()));
        let tls = tls.await.map_err(|_| ReloadError::Interrupted)??;
        let mut places: Vec<_> = self.open.iter().map(|door| Some(door.configured)).collect();
        let settings = settings(config, tls);
        let plan = config.listeners.iter().zip(settings).map(|(listener, settings)| {
            let configured = listener.address;
            let place = places.iter().position(|place| *place == Some(configured));
            if let Some(taken) = place.and_then(|place| places.get_mut(place)) {
                *taken = None;
            }
            match place {
                Some(place) => Ok(Plan::Keep(place, settings)),
                None => Ok(Plan::Open(configured, BoundListener::bind(configured)?, settings)),
            }
        });
        plan.collect()
    }

    /// Opens what is new, and closes what nobody plans with. Connections that are there go on.
    ///
    /// # Errors
    ///
    /// The last fault of the system, if it had no descriptor left for one of them. The others are as planned.
    pub(super) async fn follow(&mut self, plan: Vec<Plan>) -> Result<(), BindError> {
        let mut before: Vec<_> = std::mem::take(&mut self.open).into_iter().map(Some).collect();
        let mut outcome = Ok(());
        for plan in plan {
            match plan {
                Plan::Keep(place, settings) => {
                    let door = before.get_mut(place).and_then(Option::take);
                    self.open.extend(door.inspect(|door| self.adjust(door, settings)));
                }
                Plan::Open(configured, bound, settings) => match self.serve(bound, settings) {
                    Ok(listener) => self.open.push(Door { configured, listener }),
                    Err(error) => outcome = Err(error),
                },
            }
        }
        close(before.into_iter().flatten()).await;
        outcome
    }

    fn serve(&self, bound: BoundListener, settings: Settings) -> Result<RunningListener, BindError> {
        let address = bound.address();
        let tls = settings.tls.clone();
        let service = Service {
            app: Arc::clone(&self.proxy),
            settings,
            admission: Arc::clone(&self.admission),
            drain: Arc::clone(&self.drain),
            metrics: Some((self.metrics.listener(&address.to_string()), self.metrics.clone())),
            closing: self.closing.clone(),
        };
        let listener = bound.serve(service)?;
        self.follow_certificates(address, tls.as_ref());
        tracing::info!(listener = %"http", %address, "listening");
        Ok(listener)
    }

    fn adjust(&self, door: &Door, settings: Settings) {
        let is_known = match (&door.listener.settings().tls, &settings.tls) {
            (Some(current), Some(new)) => Arc::ptr_eq(current, new),
            _ => false,
        };
        if !is_known {
            self.follow_certificates(door.listener.address(), settings.tls.as_ref());
        }
        door.listener.set(settings);
    }

    /// Takes over what changes in the files of certificates, until nobody serves with them any more.
    fn follow_certificates(&self, address: SocketAddr, tls: Option<&Arc<TlsServer>>) {
        if let Some(tls) = tls {
            let metrics = self.metrics.listener(&address.to_string()).certificates;
            tokio::spawn(follow(Arc::downgrade(tls), metrics));
        }
    }

    /// Where clients connect.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.open.iter().map(|door| door.listener.address())
    }

    /// The sockets, to hand them over.
    pub(super) fn handed(&self) -> impl Iterator<Item = Handed<'_>> {
        self.open.iter().map(|door| (Role::Http, door.configured, door.listener.socket()))
    }

    /// Takes no new connection any more.
    pub(super) async fn close(&mut self) {
        close(self.open.drain(..)).await;
    }
}

async fn close(doors: impl Iterator<Item = Door>) {
    for Door { listener, .. } in doors {
        let address = listener.address();
        listener.stop_accepting().await;
        tracing::info!(listener = %"http", %address, "closed");
    }
}
