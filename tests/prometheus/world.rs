//! A proxy with everything switched on, and traffic that makes everything happen to it that is counted.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use cognigate_auth::policy::TokenUse;
use e2e::{
    authority::Authority,
    client::{Client, Request, get, post},
    key_server::{KeyServer, document},
    pool::{CLIENT_ID, KID, Pool, key, now, strangers_key},
    process::{Directory, Proxy},
    redis::Redis,
    upstream::{Answer, REFUSING, Upstream},
};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_cognigate-e2e");

const POOL: Pool = Pool::new("eu-west-1_AbC123xyz");

const ADMIN_TOKEN: &str = "correct-horse-battery-staple";

/// Between two rounds of requests.
const PAUSE: Duration = Duration::from_millis(30);

/// After so many rounds the configuration is loaded anew, by turns a good one and one that is refused.
const ROUNDS_BETWEEN_RELOADS: u32 = 20;

/// What everything is in one configuration. `$NAME` is filled in as the world is made.
const CONFIG: &str = r#"
listeners:
  - address: 127.0.0.1:0
  - { address: 127.0.0.1:0, tls: { certificates: [{ cert: $DIRECTORY/api.crt, key: $DIRECTORY/api.key }] } }
admin: { address: 127.0.0.1:0, token_file: $DIRECTORY/token }
user_pools:
  main:
    id: $POOL
    client_ids: [$CLIENT]
    jwks_uri: "$KEYS"
    jwks: { refresh: 1s, state_file: $DIRECTORY/main.jwks }
upstreams:
  items:
    endpoints: ["$WELL", "$REFUSING"]
    health_check: { tcp: true, interval: 1s }
    outlier: { consecutive_failures: 1000 }
  failing: { endpoints: ["$FAILING", "$REFUSING"], outlier: { consecutive_failures: 2, eject_for: 100ms, max_ejected: 100% } }
  gone: { endpoints: ["$REFUSING"] }
  named: { dns: "localhost:$PORT" }
resolver: { max_ttl: 1s }
routes:
  - { match: { path: "/items/{proxy+}" }, auth: { user_pools: [main] }, upstream: items }
  - { match: { path: "/limited/{proxy+}" }, auth: { user_pools: [main] }, upstream: items, rate_limit: { by: sub, rate: 1/s } }
  - { match: { path: "/failing/{proxy+}" }, auth: none, upstream: failing }
  - { match: { path: "/gone/{proxy+}" }, auth: none, upstream: gone }
  - { match: { path: "/named/{proxy+}" }, auth: none, upstream: named }
forwarded: { trusted: [127.0.0.0/8] }
limits: { failed_auth_per_ip: 1/s }
revocation: { file: $DIRECTORY/revoked.yaml, state_file: $DIRECTORY/revocations, redis: $REDIS }
access_log: { path: $DIRECTORY/access.log }
tracing: { otlp: "http://$REFUSING", sample: 1, timeout: 100ms }
"#;

/// A proxy under traffic of every kind. Everything ends when it is dropped.
#[derive(Debug)]
pub(crate) struct World {
    is_over: Arc<AtomicBool>,
    traffic: Option<JoinHandle<()>>,
    proxy: Arc<Proxy>,
    _keys: KeyServer,
    _upstreams: [Upstream; 2],
    _redis: Redis,
    _directory: Directory,
}

impl World {
    /// Starts everything.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let directory = Directory::new();
        directory.write("token", ADMIN_TOKEN);
        directory.write("revoked.yaml", "revocations: [{ origin_jti: revoked-in-the-file }]\n");
        Authority::new("monitoring").server(&["localhost"]).write(&directory, "api");
        let (keys, redis) = (KeyServer::start(document([&key(KID)])), Redis::start(&[]));
        let [well, failing] = [Upstream::start(), Upstream::start()];
        failing.answer(Answer::json(500, "{}"));
        let config = CONFIG
            .replace("$DIRECTORY", directory.path("").to_string_lossy().trim_end_matches('/'))
            .replace("$POOL", POOL.id())
            .replace("$CLIENT", CLIENT_ID)
            .replace("$KEYS", &keys.uri())
            .replace("$WELL", &well.address().to_string())
            .replace("$PORT", &well.address().port().to_string())
            .replace("$FAILING", &failing.address().to_string())
            .replace("$REFUSING", REFUSING)
            .replace("$REDIS", &redis.section());
        let proxy = Arc::new(Proxy::start(BINARY, &config));
        proxy.wait_ready();
        let is_over = Arc::new(AtomicBool::new(false));
        let traffic = Traffic { proxy: Arc::clone(&proxy), config, token: POOL.id_token(&json!({})), round: 0 };
        let traffic = Some(traffic.start(Arc::clone(&is_over)));
        let _upstreams = [well, failing];
        Self { is_over, traffic, proxy, _keys: keys, _upstreams, _redis: redis, _directory: directory }
    }

    /// Where the proxy tells its metrics.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.proxy.admin_address()
    }

    /// What the proxy tells there.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        self.proxy.admin("/metrics").text().to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // What went wrong there shows in what is missing.
        drop(self.traffic.take().map(JoinHandle::join));
    }
}

/// Rounds of requests, each of another kind. How they are answered is not looked at.
struct Traffic {
    proxy: Arc<Proxy>,
    config: String,
    /// The same in each round, so that it is in the cache.
    token: String,
    round: u32,
}

impl Traffic {
    fn start(mut self, is_over: Arc<AtomicBool>) -> JoinHandle<()> {
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                self.requests();
                self.changes();
                self.round += 1;
                thread::park_timeout(PAUSE);
            }
        })
    }

    fn requests(&self) {
        let fresh = POOL.id_token(&json!({ "jti": format!("fresh-{}", self.round) }));
        let expired = POOL.id_token(&json!({ "exp": now().saturating_sub(60) }));
        let revoked = POOL.id_token(&json!({ "origin_jti": "revoked-in-the-file" }));
        let forged = POOL.token(&strangers_key(KID), TokenUse::Id, &json!({ "jti": self.round }));
        let stranger = |request: Request| request.header("X-Forwarded-For", "203.0.113.9");
        for request in [
            get("/items/1").token(&self.token),
            get("/items/1").token(&fresh),
            post("/items/1").token(&self.token).body("{}"),
            get("/items/1").token(&expired),
            get("/items/1").token(&revoked),
            stranger(get("/items/1").token(&forged)),
            get("/items/1"),
            get("/items/../1"),
            get("/nowhere"),
            get("/limited/1").token(&self.token),
            get("/failing/1"),
            get("/gone/1"),
            get("/named/1"),
        ] {
            // On connections of their own: some end with their answer.
            drop(Client::try_connect(self.proxy.address()).and_then(|mut client| client.try_ask(&request)));
        }
    }

    /// What is done to a proxy, beside requests.
    fn changes(&self) {
        let revocation = post("/revocations").header("authorization", format!("Bearer {ADMIN_TOKEN}"));
        let revocation = revocation.header("content-type", "application/json");
        let entry = json!({ "jti": format!("revoked-{}", self.round) }).to_string();
        drop(
            Client::try_connect(self.proxy.admin_address())
                .and_then(|mut client| client.try_ask(&revocation.body(entry))),
        );
        if let Some(secure) = self.proxy.addresses().get(1) {
            // No handshake of TLS.
            drop(TcpStream::connect(secure).and_then(|mut stream| stream.write_all(b"GET / HTTP/1.1\r\n\r\n")));
        }
        if self.round.is_multiple_of(ROUNDS_BETWEEN_RELOADS) {
            let is_good = (self.round / ROUNDS_BETWEEN_RELOADS).is_multiple_of(2);
            self.proxy.rewrite(if is_good { &self.config } else { "routes: nonsense" });
            self.proxy.signal("HUP");
        }
    }
}
