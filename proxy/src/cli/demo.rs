//! `cognigate demo`: the real proxy at work on loopback, without a file and without the network.
//!
//! A user pool of its own signs tokens and serves its keys, an upstream of its own echoes what reaches it, and between them
//! stands the proxy as `run` would start it. What it prints can be pasted into another terminal.

mod echo;
mod user_pool;
mod walkthrough;

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use cognigate_auth::{clock::SystemClock, local_pool::LocalPoolError};
use pingora_core::apps::http_app::HttpServer;
use pingora_timeout::timeout;
use thiserror::Error;
use tokio::sync::watch;

use self::{echo::EchoService, user_pool::DemoPool};
use super::{EXIT_BAD_CONFIG, EXIT_FAILURE, report};
use crate::{
    app::{self, App, Circumstances, StartError},
    config::{self, Files, Loaded, error::ConfigErrors, model::Config},
    lifecycle::signal::Signals,
    listener::{BindError, BoundListener, Service},
};

/// How long the proxy may take to fetch the pool's keys over loopback.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is asked whether it has.
const READY_INTERVAL: Duration = Duration::from_millis(10);

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// Where the proxy listens on loopback; its metrics are one port above. 0: ports that the kernel chooses
    #[arg(long, default_value_t = 8080, value_parser = clap::value_parser!(u16).range(..u16::MAX as i64))]
    port: u16,
}

/// Why there is no demo.
#[derive(Debug, Error)]
enum DemoError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("{0}")]
    Config(ConfigErrors),
    #[error("cannot print")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Pool(#[from] LocalPoolError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the keys were not fetched in time")]
    Unready,
}

/// What stands around the proxy, and the configuration that puts it there.
struct Stage {
    pool: DemoPool,
    keys: BoundListener,
    upstream: BoundListener,
    config: Config,
}

/// Runs the demo until the process is asked to stop. Says with what status to exit.
#[must_use]
pub fn run(arguments: &DemoArguments) -> u8 {
    let outcome = Stage::set(arguments.port).and_then(|stage| {
        let server = stage.config.server;
        app::on_threads(server, async { Ok(stage.play().await) })?
    });
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            report(&error);
            if matches!(error, DemoError::Config(_)) { EXIT_BAD_CONFIG } else { EXIT_FAILURE }
        }
    }
}

impl Stage {
    fn set(port: u16) -> Result<Self, DemoError> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (keys, upstream) = (BoundListener::bind(any_port)?, BoundListener::bind(any_port)?);
        let config = configuration(port, keys.address(), upstream.address());
        let config = config::parse("demo", &config).map_err(DemoError::Config)?;
        Ok(Self { pool: DemoPool::generate()?, keys, upstream, config })
    }

    async fn play(self) -> Result<(), DemoError> {
        let Self { pool, keys, upstream, config } = self;
        let (_stop, stopped) = watch::channel(false);
        let _keys = keys.serve(Service::internal(HttpServer::new_app(pool.key_service()), stopped.clone()))?;
        let _upstream = upstream.serve(Service::internal(HttpServer::new_app(EchoService), stopped))?;

        let mut signals = Signals::listen().map_err(StartError::Signals)?;
        let app = App::bind(Loaded { config, files: Files::default() }, Circumstances::default())?;
        let lines = walkthrough::lines(&pool, app.addresses().next(), app.admin_address(), &SystemClock)?;
        let runtime = app.runtime();
        let is_ready = move || runtime.load().pools_missing_keys().next().is_none();
        let serving = app.serve(async || signals.next().await);
        tokio::pin!(serving);
        tokio::select! {
            outcome = &mut serving => return Ok(outcome?),
            ready = timeout(READY_TIMEOUT, until(is_ready)) => ready.map_err(|_| DemoError::Unready)?,
        }
        io::stdout().write_all(lines.as_bytes())?;
        Ok(serving.await?)
    }
}

async fn until(is_ready: impl Fn() -> bool) {
    let mut ticks = tokio::time::interval(READY_INTERVAL);
    while !is_ready() {
        ticks.tick().await;
    }
}

/// The configuration of the demo: as a user would write it, but for a pool whose keys are on loopback.
fn configuration(port: u16, keys: SocketAddr, upstream: SocketAddr) -> String {
    let admin_port = if port == 0 { 0 } else { port + 1 };
    let (pool_id, client_id) = (user_pool::POOL_ID, user_pool::CLIENT_ID);
    format!(
        r#"
listeners: [{{ address: "127.0.0.1:{port}" }}]
admin: {{ address: "127.0.0.1:{admin_port}" }}
user_pools:
  demo: {{ id: {pool_id}, client_ids: [{client_id}], jwks_uri: "http://{keys}/jwks.json" }}
upstreams:
  echo: {{ endpoints: ["{upstream}"] }}
routes:
  - match: {{ path: "/items/{{proxy+}}" }}
    auth: {{ user_pools: [demo], token: id }}
    upstream: echo
  - match: {{ path: "/admin/{{proxy+}}" }}
    auth: {{ user_pools: [demo], token: id, groups_any: [admins] }}
    upstream: echo
  - match: {{ path: "/public/{{proxy+}}" }}
    auth: none
    upstream: echo
identity:
  headers: {{ x-cognito-sub: sub, x-cognito-email: email, x-cognito-groups: "cognito:groups" }}
"#
    )
}
