//! What a drill happens to: nginx servers, a proxy in front of them, and somebody whose token is good.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use e2e::{
    client::{Request, request},
    key_server::{KeyServer, document},
    pool::{CLIENT_ID, KID, Pool, key},
    process::Proxy,
    wait::eventually,
};
use serde_json::json;

use crate::{
    load::{Load, pause},
    nginx::Nginx,
    report::Report,
};

const BINARY: &str = env!("CARGO_BIN_EXE_cognigate-e2e");

const POOL: Pool = Pool::new("eu-west-1_AbC123xyz");

/// How long traffic is undisturbed before a trouble, and after it.
const CALM: Duration = Duration::from_millis(500);

/// The times that the promises about waiting follow from.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// How soon an endpoint that is well again has to be back: two checks, half a second apart, and as much again.
pub(crate) const RECOVERY: Duration = Duration::from_secs(3);

/// Servers, and a proxy in front of them.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Dropped first.
    pub(crate) proxy: Proxy,
    pub(crate) servers: Vec<Nginx>,
    _keys: KeyServer,
}

impl Stage {
    /// Three servers behind one upstream. `more` goes into its configuration: YAML.
    #[track_caller]
    pub(crate) fn start(more: &str) -> Self {
        let servers: Vec<_> = (0..3).map(|_| Nginx::start()).collect();
        let addresses: Vec<_> = servers.iter().map(|server| format!("\"{}\"", server.address())).collect();
        let stage = Self::serve(servers, &format!("endpoints: [{}]\n    {more}", addresses.join(", ")), "");
        for server in &stage.servers {
            stage.await_rotation(server.address(), true);
        }
        stage
    }

    /// A proxy in front of these servers. `upstream` and `more` are lines of the configuration.
    #[track_caller]
    pub(crate) fn serve(servers: Vec<Nginx>, upstream: &str, more: &str) -> Self {
        let keys = KeyServer::start(document([&key(KID)]));
        let config = format!(
            r#"
listeners: [{{ address: 127.0.0.1:0 }}]
admin: {{ address: 127.0.0.1:0 }}
user_pools: {{ main: {{ id: {}, client_ids: [{CLIENT_ID}], jwks_uri: "{}" }} }}
routes: [{{ match: {{ path: "/{{path+}}" }}, auth: {{ user_pools: [main] }}, upstream: servers }}]
{more}
upstreams:
  servers:
    timeouts: {{ connect: 500ms, read: {}ms }}
    {upstream}
"#,
            POOL.id(),
            keys.uri(),
            READ_TIMEOUT.as_millis()
        );
        let proxy = Proxy::start(BINARY, &config);
        proxy.wait_ready();
        Self { proxy, servers, _keys: keys }
    }

    /// A request of somebody whose token is good.
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        request(method, path).token(&POOL.id_token(&json!({})))
    }

    /// Starts clients that ask for an item again and again, and lets them for a while.
    pub(crate) fn load(&self, method: &str) -> Load {
        let load = Load::start(self.proxy.address(), &self.request(method, "/items/1"));
        pause(CALM);
        load
    }

    /// Waits until an endpoint is in rotation, or out of it. Says when that was seen.
    #[track_caller]
    pub(crate) fn await_rotation(&self, endpoint: SocketAddr, is_in: bool) -> Instant {
        let endpoint = endpoint.to_string();
        let labels = [("upstream", "servers"), ("endpoint", endpoint.as_str())];
        let is_there = || {
            let metrics = self.proxy.metrics();
            let mut found = metrics.series("cognigate_upstream_endpoint_healthy");
            let found =
                found.find(|(all, _)| labels.iter().all(|(label, value)| all.get(*label).is_some_and(|v| v == value)));
            (found?.1 == f64::from(u8::from(is_in))).then(Instant::now)
        };
        eventually(if is_in { "in rotation" } else { "out of rotation" }, is_there)
    }

    /// Lets the traffic go on for a while, ends it, and adds it up.
    pub(crate) fn finish(&self, report: &mut Report, load: Load) {
        pause(CALM);
        let samples = load.stop();
        report.take(samples, self.proxy.metrics().sum("cognigate_upstream_retries_total", &[]));
    }
}
