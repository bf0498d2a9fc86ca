//! Shares revocations between processes through a Redis: a hash that holds them all, and a channel of the same name that tells
//! each change as it is made.
//!
//! - What holds of a subject is the [merge](super::change) of all that was heard of it, in Redis as in every process, so that
//!   it does not matter how often something is told, or when.
//! - A change that is made here is told at once, or as soon as there is a Redis to tell: it holds here meanwhile.
//! - Whoever connects first tells Redis all that it knows and then reads all of it, so that a process that was away catches
//!   up, and a Redis that comes back empty is filled again. What was removed is known for as long as it would have held, so
//!   that nobody brings it back by mistake.
//! - Once a second the version in Redis is compared with what was heard. If something was missed, all is told and read again.
//! - While Redis is away, what was known last holds. It is logged once, counted, and tried again and again.
//! - A list is not ready until Redis was read whole; if it cannot be read at the start, until then a list that was whole when
//!   the process ended, not too long ago, is taken for whole.
//!
//! Needs Redis 6: both commands and the channel go over one connection (RESP3), so that they have one order.

mod message;
mod record;
mod script;
mod session;

use std::{sync::Arc, time::Duration};

use cognigate_auth::clock::Clock;
use prometheus::{IntCounter, IntGauge, Registry};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    RedisError, TlsCertificates,
};
use thiserror::Error;
use tokio::sync::broadcast;

use self::{script::Scripts, session::Session};
use super::shared::{Changes, SharedRevocations};
use crate::{
    config::{model::RedisConfig, redis::RedisAddress, secret::Secret},
    telemetry::metrics::registered,
};

/// The first wait after a failure.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// The longest.
const LAST_RETRY: Duration = Duration::from_secs(5);

/// How far a wait may be off, either way, so that a fleet does not come back in step.
const SPREAD: f64 = 0.2;

/// The client cannot be made: most likely `ca` holds no certificate.
#[derive(Debug, Error)]
#[error("cannot make a client for the Redis of `revocation.redis`")]
pub struct NoClient(#[source] RedisError);

/// What is counted about the Redis.
#[derive(Clone, Debug)]
pub struct RedisMetrics {
    connected: IntGauge,
    failures: IntCounter,
    last_sync: IntGauge,
}

impl RedisMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// The registry's, if it holds metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| registered(registry, IntGauge::new(name, help)?);
        Ok(Self {
            connected: gauge(
                "cognigate_revocation_redis_connected",
                "Whether revocations are shared through Redis at this moment: 1, or 0.",
            )?,
            failures: registered(
                registry,
                IntCounter::new(
                    "cognigate_revocation_redis_failures_total",
                    "Connections to Redis that could not be made or broke.",
                )?,
            )?,
            last_sync: gauge(
                "cognigate_revocation_redis_last_sync_timestamp_seconds",
                "When all revocations in Redis were last read.",
            )?,
        })
    }
}

/// Keeps the revocations of this process and those in a Redis the same.
#[derive(Debug)]
pub struct Replication {
    client: Client,
    connection: AsyncConnectionConfig,
    key: Box<str>,
    /// Which Redis and which key, in words.
    place: String,
    /// What this process calls itself on the channel.
    origin: String,
    timeout: Duration,
    shared: SharedRevocations,
    /// What is changed here.
    local: broadcast::Receiver<Changes>,
    /// Whether what is known from before the start is enough if Redis cannot be asked. Until it was asked first.
    is_enough: bool,
    clock: Arc<dyn Clock>,
    metrics: RedisMetrics,
    random: fastrand::Rng,
    failures: u32,
}

impl Replication {
    /// A replication of `shared`, for [`run`](Self::run). Connects to nothing yet. `ca`: certificates in PEM.
    /// `is_enough`: the list may be used although Redis cannot be asked.
    ///
    /// # Errors
    ///
    /// [`NoClient`].
    pub fn new(
        config: &RedisConfig,
        password: Option<&Secret>,
        ca: Option<&[u8]>,
        shared: SharedRevocations,
        is_enough: bool,
        clock: Arc<dyn Clock>,
        metrics: RedisMetrics,
    ) -> Result<Self, NoClient> {
        let mut random = fastrand::Rng::new();
        let timeout = Some(config.timeout);
        Ok(Self {
            client: client(config, password, ca).map_err(NoClient)?,
            connection: AsyncConnectionConfig::new().set_connection_timeout(timeout).set_response_timeout(timeout),
            key: config.key.clone(),
            place: place(config),
            origin: format!("{:016x}{:016x}", random.u64(..), random.u64(..)),
            timeout: config.timeout,
            local: shared.subscribe(),
            is_enough,
            shared,
            clock,
            metrics,
            random,
            failures: 0,
        })
    }

    /// Replicates until it is dropped.
    pub async fn run(mut self) {
        let scripts = Scripts::new();
        loop {
            let lost = match Session::open(&mut self, &scripts).await {
                Ok(session) => session.serve().await,
                Err(error) => error,
            };
            self.do_with_what_there_is();
            self.note_loss(&lost);
            tokio::time::sleep(self.wait()).await;
        }
    }

    fn note_connection(&mut self) {
        self.failures = 0;
        self.is_enough = false;
        self.metrics.connected.set(1);
    }

    /// Takes the list for whole if it was, and Redis could not be asked since the start.
    fn do_with_what_there_is(&mut self) {
        if std::mem::take(&mut self.is_enough) {
            let revocations = self.shared.list().len();
            tracing::warn!(key = &*self.key, revocations, "revocations are those from before the start");
            self.shared.list().set_ready(true);
        }
    }

    fn note_loss(&mut self, error: &RedisError) {
        self.metrics.connected.set(0);
        self.metrics.failures.inc();
        if self.failures == 0 {
            let revocations = self.shared.list().len();
            tracing::warn!(key = &*self.key, %error, revocations, "revocations are not shared: what was known last holds");
        } else {
            tracing::debug!(key = &*self.key, %error, failures = self.failures, "revocations are still not shared");
        }
        self.failures = self.failures.saturating_add(1);
    }

    fn wait(&mut self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let wait = FIRST_RETRY.saturating_mul(1 << doublings).min(LAST_RETRY);
        wait.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * self.random.f64())
    }
}

/// Which Redis, and what of it.
#[must_use]
pub fn place(RedisConfig { address, key, .. }: &RedisConfig) -> String {
    let RedisAddress { is_tls, host, port, database } = address;
    let scheme = if *is_tls { "rediss" } else { "redis" };
    format!("{scheme}://{host}:{port}/{database} {key}")
}

fn client(config: &RedisConfig, password: Option<&Secret>, ca: Option<&[u8]>) -> Result<Client, RedisError> {
    let RedisConfig { address, ca: _, username, password_file: _, key: _, timeout: _ } = config;
    let host = address.host.to_string();
    let location = match address.is_tls {
        true => ConnectionAddr::TcpTls { host, port: address.port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host, address.port),
    };
    let mut settings = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(address.database.into())
        .set_lib_name("cognigate", env!("CARGO_PKG_VERSION"));
    if let Some(username) = username {
        settings = settings.set_username(username);
    }
    if let Some(password) = password {
        settings = settings.set_password(password.expose());
    }
    let info = location.into_connection_info()?.set_redis_settings(settings);
    match address.is_tls {
        true => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: ca.map(<[u8]>::to_vec) }),
        false => Client::open(info),
    }
}
