//! The proxy with everything around it: what most tests start from.

use std::collections::BTreeMap;

use crate::{
    client::{Client, Request, Response},
    key_server::{KeyServer, document},
    pool::{CLIENT_ID, KID, Pool, key},
    process::Proxy,
    upstream::Upstream,
    wait::eventually,
};

/// The sections of the configuration that a test does not set itself.
const SECTIONS: [(&str, &str); 5] = [
    ("listeners", "[{ address: 127.0.0.1:0 }]"),
    ("admin", "{ address: 127.0.0.1:0 }"),
    ("user_pools", "{ main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: \"$KEYS\" } }"),
    ("upstreams", "{ items: { endpoints: [\"$UPSTREAM\"] } }"),
    (
        "routes",
        r#"
  - match: { path: "/items/{proxy+}" }
    auth: { user_pools: [main] }
    upstream: items
  - match: { path: "/open/{proxy+}" }
    auth: none
    upstream: items"#,
    ),
];

/// A proxy, the user pool that it trusts and the upstream that it stands in front of.
#[derive(Debug)]
pub struct Edge {
    /// The proxy. Dropped first, so that nothing around it fails while it runs.
    pub proxy: Proxy,
    /// Behind the upstream `items`.
    pub upstream: Upstream,
    /// Where the proxy finds the keys of the user pool `main`.
    pub keys: KeyServer,
    /// Behind the user pool `main`.
    pub pool: Pool,
    config: String,
}

impl Edge {
    /// Starts everything and waits until the proxy is ready. Each of `sections` is a top-level key of the configuration
    /// and its value: YAML, in which `$POOL`, `$CLIENT`, `$KEYS` and `$UPSTREAM` stand for the pool's id, its app client,
    /// the address of its keys and the address of the upstream. Without sections there are two routes: `/items/{proxy+}`
    /// asks for an ID token, `/open/{proxy+}` for nothing.
    #[track_caller]
    pub fn start(binary: &str, sections: &[(&str, &str)]) -> Self {
        Self::start_logging(binary, "info", sections)
    }

    /// The same, with `log` in `COGNIGATE_LOG`.
    #[track_caller]
    pub fn start_logging(binary: &str, log: &str, sections: &[(&str, &str)]) -> Self {
        let edge = Self::launch_logging(binary, log, KeyServer::start(document([&key(KID)])), sections);
        edge.proxy.wait_ready();
        edge
    }

    /// Starts everything with these keys, and waits only until the listeners are bound.
    #[track_caller]
    pub fn launch(binary: &str, keys: KeyServer, sections: &[(&str, &str)]) -> Self {
        Self::launch_logging(binary, "info", keys, sections)
    }

    #[track_caller]
    fn launch_logging(binary: &str, log: &str, keys: KeyServer, sections: &[(&str, &str)]) -> Self {
        let (upstream, pool) = (Upstream::start(), Pool::new("eu-west-1_AbC123xyz"));
        let config = configuration(sections, pool, &keys, &upstream);
        Self { proxy: Proxy::start_logging(binary, log, &config), upstream, keys, pool, config }
    }

    /// Another proxy with the same configuration in front of the same upstream. Waits only until its listeners are bound.
    #[track_caller]
    pub fn twin(&self, binary: &str) -> Proxy {
        Proxy::start(binary, &self.config)
    }

    /// Puts a configuration with these sections in the place of the file. The proxy has not read it yet.
    pub fn rewrite(&self, sections: &[(&str, &str)]) {
        self.proxy.rewrite(&configuration(sections, self.pool, &self.keys, &self.upstream));
    }

    /// Has the proxy load a configuration with these sections, and waits until it has.
    #[track_caller]
    pub fn reload(&self, sections: &[(&str, &str)]) {
        let loaded = || self.proxy.metrics().sum("cognigate_config_reloads_total", &[("result", "success")]);
        let before = loaded();
        self.rewrite(sections);
        self.proxy.signal("HUP");
        eventually("loaded anew", || (loaded() > before).then_some(()));
    }

    /// Waits until the proxy has the keys of `main`. It may still not be ready: other pools may have none.
    #[track_caller]
    pub fn wait_keys(&self) {
        let labels = [("user_pool", "main"), ("result", "success")];
        let is_fetched = || self.proxy.metrics().sum("cognigate_jwks_refreshes_total", &labels) > 0.0;
        eventually("the keys of main", || is_fetched().then_some(()));
    }

    /// A connection to the proxy.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.proxy.address())
    }

    /// Sends a request on a connection of its own.
    #[track_caller]
    pub fn ask(&self, request: &Request) -> Response {
        self.client().ask(request)
    }
}

fn configuration(sections: &[(&str, &str)], pool: Pool, keys: &KeyServer, upstream: &Upstream) -> String {
    let sections: BTreeMap<_, _> = SECTIONS.iter().chain(sections).copied().collect();
    let config: String = sections.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    config
        .replace("$POOL", pool.id())
        .replace("$CLIENT", CLIENT_ID)
        .replace("$KEYS", &keys.uri())
        .replace("$UPSTREAM", &upstream.address().to_string())
}
