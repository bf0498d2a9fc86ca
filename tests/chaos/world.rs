//! What a scenario happens to: a key server, an upstream, a proxy between them, and the traffic that everybody knows.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cognigate_auth::{local_pool::SigningKey, policy::TokenUse};
use e2e::{
    key_server::{KeyServer, document},
    pool::{CLIENT_ID, KID, Pool, key, now, strangers_key},
    process::{Directory, Proxy},
    upstream::Upstream,
    wait::PATIENCE,
};
use serde_json::json;

use crate::{
    report::{Report, message, percentile},
    traffic::{Class, Lane, REFUSED, SERVED, Token, UNDECIDED, Verdicts},
};

/// The proxy.
const BINARY: &str = env!("CARGO_BIN_EXE_cognigate-e2e");

/// The user pool whose tokens count.
pub(crate) const POOL: Pool = Pool::new("eu-west-1_AbC123xyz");

/// The time between two looks at what can only be asked for.
const GLANCE: Duration = Duration::from_millis(20);

/// The shortest time between two refreshes that can be configured, a second less a fifth. No scenario may lead to more.
const SHORTEST_WAIT: Duration = Duration::from_millis(800);

/// Fetches beside them: the first of each proxy, and for a key that nobody knows.
const SPARE_FETCHES: f64 = 3.0;

/// Everything around a proxy.
#[derive(Debug)]
pub(crate) struct World {
    /// Publishes the keys of the pool.
    pub(crate) keys: KeyServer,
    /// Publishes a stranger's key under the same name. Nobody asks it but by mistake.
    pub(crate) stranger: KeyServer,
    /// What the proxy stands in front of.
    pub(crate) upstream: Upstream,
    /// Holds the configuration's neighbours, such as `main.jwks`.
    pub(crate) directory: Directory,
    config: String,
}

impl World {
    /// A world in which all is well. `jwks` is the pool's, `more` whole lines of the configuration: YAML, in both of which
    /// `$DIRECTORY` stands for the directory.
    pub(crate) fn new(jwks: &str, more: &str) -> Self {
        let keys = KeyServer::start(document([&key(KID)]));
        let stranger = KeyServer::start(document([&strangers_key(KID)]));
        let (upstream, directory) = (Upstream::start(), Directory::new());
        let (id, uri, address) = (POOL.id(), keys.uri(), upstream.address());
        let admin = if more.contains("admin:") { "" } else { "admin: { address: 127.0.0.1:0 }" };
        let config = format!(
            r#"
listeners: [{{ address: 127.0.0.1:0 }}]
user_pools: {{ main: {{ id: {id}, client_ids: [{CLIENT_ID}], jwks_uri: "{uri}", jwks: {jwks} }} }}
upstreams: {{ items: {{ endpoints: ["{address}"] }} }}
routes:
  - {{ match: {{ path: "/items/{{proxy+}}" }}, auth: {{ user_pools: [main] }}, upstream: items }}
  - {{ match: {{ path: "/open/{{proxy+}}" }}, auth: none, upstream: items }}
{admin}
{more}
"#
        );
        let config = config.replace("$DIRECTORY", directory.path("").to_string_lossy().trim_end_matches('/'));
        Self { keys, stranger, upstream, directory, config }
    }

    /// Starts a proxy and waits until its listeners are bound.
    pub(crate) fn start_proxy(&self) -> Proxy {
        Proxy::start(BINARY, &self.config)
    }

    /// Makes the key server well again, with these keys.
    pub(crate) fn heal<'k>(&self, keys: impl IntoIterator<Item = &'k SigningKey>) {
        self.keys.publish(keys);
        self.keys.accept_connections();
    }

    /// How many requests of each class reached the upstream since the last call.
    pub(crate) fn arrivals(&self) -> BTreeMap<String, u64> {
        let mut arrivals = BTreeMap::new();
        for request in self.upstream.take_requests() {
            let class = request.target().rsplit('/').next().unwrap_or_default().to_owned();
            *arrivals.entry(class).or_default() += 1;
        }
        arrivals
    }
}

/// A number that nobody else gets.
fn next_number() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// The id of a token like no other.
pub(crate) fn next_jti() -> String {
    format!("b7a1d4c2-93e8-4f6d-8c5b-{:012x}", next_number())
}

/// An ID token that this key signs, like no other.
pub(crate) fn fresh_token(key: &SigningKey) -> String {
    POOL.token(key, TokenUse::Id, &json!({ "jti": next_jti() }))
}

/// Tokens that this key signs, each another.
pub(crate) fn fresh(kid: &str) -> Token {
    let key = key(kid);
    Token::fresh(move || fresh_token(&key))
}

/// A token whose key nobody publishes: one of the stranger's, under a name like no other.
pub(crate) fn unknown_key() -> Token {
    Token::fresh(|| POOL.token(&strangers_key(&format!("unknown-{}", next_number())), TokenUse::Id, &json!({})))
}

/// The traffic of every scenario.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// With good tokens of the pool's first key: one that is cached, and new ones.
    pub(crate) good: Vec<Arc<Class>>,
    /// To the open route.
    pub(crate) open: Arc<Class>,
    /// With tokens that are never good, whatever the key server does.
    pub(crate) bad: Vec<Arc<Class>>,
    /// With tokens that a stranger signed in the name of the pool's first key. Among `bad`.
    pub(crate) forged: Arc<Class>,
}

impl Traffic {
    /// Traffic of which the good is to be judged like this, and the bad like that.
    pub(crate) fn new(good: Verdicts, bad: Verdicts) -> Self {
        let cached = Token::Same(POOL.id_token(&json!({})));
        let forged = Token::Same(POOL.token(&strangers_key(KID), TokenUse::Id, &json!({})));
        let foreign = Pool::new("eu-west-1_Foreign").id_token(&json!({}));
        let client = POOL.id_token(&json!({ "aud": "another-client" }));
        let expired = POOL.id_token(&json!({ "iat": now() - 7200, "exp": now() - 3600 }));
        let altered = POOL.id_token(&json!({ "sub": "somebody" })).replacen('.', ".A", 1);
        let forged = Class::guarded("forged", forged, bad);
        let bad = [("foreign-pool", foreign), ("foreign-client", client), ("expired", expired), ("altered", altered)]
            .map(|(name, token)| Class::guarded(name, Token::Same(token), bad));
        Self {
            good: vec![Class::guarded("cached", cached, good), Class::guarded("fresh", fresh(KID), good)],
            open: Class::open("open", SERVED),
            bad: [Arc::clone(&forged), Class::guarded("no-token", Token::None, REFUSED)]
                .into_iter()
                .chain(bad)
                .collect(),
            forged,
        }
    }

    /// The same, and tokens whose keys nobody publishes.
    pub(crate) fn with_unknown_keys(mut self, right: Verdicts) -> Self {
        self.bad.push(Class::guarded("unknown-key", unknown_key(), right));
        self
    }

    /// Sends it: what must be served on connections of its own, so that no bad request delays it.
    pub(crate) fn start(&self, proxy: &Proxy) -> Vec<Lane> {
        let [cached, fresh] = self.good.as_slice() else { unreachable!("there are two") };
        let good = [cached, cached, cached, fresh, cached, cached, &self.open].map(Arc::clone).to_vec();
        vec![Lane::start(proxy.address(), good), Lane::start(proxy.address(), self.bad.clone())]
    }

    /// What is right for the good from now on.
    pub(crate) fn expect_good(&self, right: Verdicts) {
        self.good.iter().for_each(|class| class.expect(right));
    }

    /// What is right for the bad that carries a token from now on.
    pub(crate) fn expect_bad(&self, right: Verdicts) {
        self.bad.iter().filter(|class| class.name() != "no-token").for_each(|class| class.expect(right));
    }

    /// Waits until each class was judged like this once more.
    pub(crate) fn await_good(&self, verdict: Verdicts) {
        self.good.iter().for_each(|class| class.await_next(verdict));
    }

    fn classes(&self) -> impl Iterator<Item = &Arc<Class>> {
        self.good.iter().chain(&self.bad).chain([&self.open])
    }
}

/// A scenario that is under way.
#[derive(Debug)]
pub(crate) struct Scene {
    /// The traffic.
    pub(crate) traffic: Traffic,
    /// What the scenario adds to the traffic.
    pub(crate) others: Vec<Arc<Class>>,
    /// The connections. Without them nothing is sent.
    pub(crate) lanes: Vec<Lane>,
    /// The proxy.
    pub(crate) proxy: Proxy,
    /// Everything around it.
    pub(crate) world: World,
    name: String,
    started: Instant,
    /// Fetches of proxies that are gone.
    fetches: u64,
    faults: Vec<String>,
}

impl Scene {
    /// Starts a proxy in this world, and the traffic at once.
    pub(crate) fn start(name: impl Into<String>, world: World, traffic: Traffic) -> Self {
        let started = Instant::now();
        let proxy = world.start_proxy();
        let lanes = traffic.start(&proxy);
        let (name, faults) = (name.into(), Vec::new());
        Self { traffic, others: Vec::new(), lanes, proxy, world, name, started, fetches: 0, faults }
    }

    /// Starts a proxy in this world, and the traffic as soon as the proxy is ready.
    pub(crate) fn start_ready(name: impl Into<String>, world: World, traffic: Traffic) -> Self {
        let started = Instant::now();
        let proxy = world.start_proxy();
        proxy.wait_ready();
        let lanes = traffic.start(&proxy);
        let (name, faults) = (name.into(), Vec::new());
        let scene = Self { traffic, others: Vec::new(), lanes, proxy, world, name, started, fetches: 0, faults };
        scene.traffic.await_good(SERVED);
        scene
    }

    /// Adds a class to the traffic, on a connection of its own.
    pub(crate) fn add(&mut self, class: &Arc<Class>) {
        self.others.push(Arc::clone(class));
        self.resume(class);
    }

    /// Sends a class again that was added before the proxy was killed.
    pub(crate) fn resume(&mut self, class: &Arc<Class>) {
        self.lanes.push(Lane::start(self.proxy.address(), vec![Arc::clone(class)]));
    }

    /// Kills the proxy. [`begin_again`](Self::begin_again) starts another one.
    pub(crate) fn kill(&mut self) {
        self.lanes.clear();
        self.fetches += self.counted("cognigate_jwks_refreshes_total", &[]);
        self.proxy.signal("KILL");
        let is_gone = self.proxy.wait_exit(PATIENCE).is_some();
        self.require(is_gone, "the proxy survives");
    }

    /// Starts another proxy, and the traffic at once.
    pub(crate) fn begin_again(&mut self) {
        self.proxy = self.world.start_proxy();
        self.lanes = self.traffic.start(&self.proxy);
    }

    /// How often the proxy could, or could not, fetch keys.
    pub(crate) fn refreshes(&self, result: &str) -> u64 {
        self.counted("cognigate_jwks_refreshes_total", &[("result", result)])
    }

    /// Ends a time without keys, in which nobody can be decided on: the key server is well again. Says how long the proxy took
    /// to be ready; good tokens are served from then on, and bad ones refused.
    pub(crate) fn recover(&mut self) -> Duration {
        self.traffic.await_good(UNDECIDED);
        self.traffic.open.await_next(SERVED);
        self.traffic.expect_good(UNDECIDED | SERVED);
        self.world.heal([&key(KID)]);
        let healed = Instant::now();
        self.proxy.wait_ready();
        let recovery = healed.elapsed();
        self.traffic.expect_good(SERVED);
        self.traffic.expect_bad(REFUSED);
        self.traffic.await_good(SERVED);
        self.traffic.forged.await_next(REFUSED);
        recovery
    }

    /// Waits until this holds, and looks at the same time that `/readyz` goes on answering like this.
    pub(crate) fn hold_readiness(&mut self, status: u16, limit: Duration, mut until: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + limit;
        loop {
            let found = self.proxy.admin("/readyz");
            if found.status != status {
                self.faults.push(format!("readyz: {} {}", found.status, found.text().trim()));
                return;
            }
            if until(self) {
                return;
            }
            if Instant::now() > deadline {
                self.faults.push(format!("what was waited for did not happen within {limit:?}"));
                return;
            }
            thread::park_timeout(GLANCE);
        }
    }

    /// Notes a fault unless this holds.
    pub(crate) fn require(&mut self, holds: bool, fault: impl Into<String>) {
        if !holds {
            self.faults.push(fault.into());
        }
    }

    /// Lets this happen, ends the traffic and adds everything up. `story` says in the end what was special; what it waits
    /// for in vain is a fault like any other.
    pub(crate) fn play(mut self, story: impl FnOnce(&mut Self) -> String) -> Report {
        let note = catch_unwind(AssertUnwindSafe(|| story(&mut self))).unwrap_or_else(|panic| {
            self.faults.push(message(&*panic));
            String::new()
        });
        self.finish(note)
    }

    fn finish(mut self, note: String) -> Report {
        self.lanes.clear();
        let seconds = self.started.elapsed().as_secs_f64();
        let asked = self.fetches + self.counted("cognigate_jwks_refreshes_total", &[]);
        let mut report = Report { seconds, fetches: asked, note, ..Report::new(self.name) };
        let mut arrivals = self.world.arrivals();
        let mut latencies = Vec::new();
        for class in self.traffic.classes().chain(&self.others) {
            let tally = class.tally();
            let arrived = arrivals.remove(class.name()).unwrap_or_default();
            if arrived != tally.served {
                report.wrong_acceptances += arrived.saturating_sub(tally.served);
                report.faults.push(format!("{}: {} served, {arrived} arrived", class.name(), tally.served));
            }
            report.add(&tally);
            latencies.extend(tally.latencies);
        }
        if !arrivals.is_empty() {
            report.faults.push(format!("at the upstream: {arrivals:?}"));
        }
        let strays = self.world.stranger.fetches().len();
        if strays > 0 {
            report.faults.push(format!("the stranger was asked {strays} times"));
        }
        let most = seconds / SHORTEST_WAIT.as_secs_f64() + SPARE_FETCHES;
        report.require(asked as f64 <= most, || format!("{asked} fetches in {seconds:.1} s"));
        report.p99 = percentile(&mut latencies, 99);
        report.faults.extend(self.faults);
        report
    }

    fn counted(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        whole(self.proxy.metrics().sum(name, labels))
    }
}

/// A counter's value.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole, positive and small")]
pub(crate) fn whole(count: f64) -> u64 {
    count as u64
}
