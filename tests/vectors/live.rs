//! The vectors through a running proxy, over sockets: what the client sees, what is counted, what reaches the upstream.

use std::collections::BTreeMap;

use e2e::{
    client::{self, Client, Response},
    key_server::KeyServer,
    metrics::Metrics,
    process::{Directory, Proxy},
    upstream::{Answer, Upstream},
    wait::eventually,
};

use crate::{
    table::{Request, Sources, TABLE, Vector, assert_none},
    verdict::Counted,
    world::{self, POOLS_OF_MAIN_KEYS},
};

/// The proxy.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_cognigate-e2e");

/// Where verdicts are counted. Nothing else of the metrics is read, which is long to read.
const COUNTERS: [&str; 2] = ["cognigate_auth_decisions_total", "cognigate_rejected_requests_total"];

/// A proxy that has the keys of every pool but `cold`, and everything around it.
struct Edge {
    proxy: Proxy,
    upstream: Upstream,
    _keys: [KeyServer; 2],
    _directory: Directory,
}

impl Edge {
    fn start(sources: Sources) -> Self {
        let keys = [world::main_keys(), world::other_keys()].map(|keys| KeyServer::start(Answer::json(200, &keys)));
        let upstream = Upstream::start();
        let address = upstream.address().to_string();
        let directory = Directory::new();
        let revoked = directory.write("revoked.yaml", &world::revocation_file()).display().to_string();
        let proxy = Proxy::start(BINARY, &world::config(sources, &keys[0].uri(), &keys[1].uri(), &address, &revoked));
        let edge = Self { proxy, upstream, _keys: keys, _directory: directory };
        eventually("the keys", || edge.has_keys().then_some(()));
        edge
    }

    fn has_keys(&self) -> bool {
        let metrics = self.proxy.metrics();
        let is_fetched = |pool: &&str| {
            metrics.sum("cognigate_jwks_refreshes_total", &[("user_pool", *pool), ("result", "success")]) > 0.0
        };
        POOLS_OF_MAIN_KEYS.iter().chain(&["other"]).all(is_fetched)
    }

    fn counts(&self) -> Counts {
        let text = self.proxy.admin("/metrics");
        let lines = text.text().lines().filter(|line| COUNTERS.iter().any(|name| line.starts_with(name)));
        Counts::of(&Metrics::parse(&lines.collect::<Vec<_>>().join("\n")))
    }

    /// What is wrong about the answer to a vector. `counts` are those before it, and then those after it.
    fn faults(&self, vector: &Vector, counts: &mut Counts) -> Vec<String> {
        let verdict = vector.verdict;
        let response = Client::connect(self.proxy.address()).ask(&request(vector));
        let before = std::mem::replace(counts, self.counts());
        let passed = self.upstream.take_requests().len();
        let mut faults = Vec::new();
        if response.status != verdict.status {
            faults.push(format!("status {}", response.status));
        }
        if !has_challenge(&response, verdict.challenge().as_deref()) {
            faults.push(format!("challenge {:?}", response.header("www-authenticate")));
        }
        if passed != usize::from(verdict.is_admitted()) {
            faults.push(format!("{passed} requests for the upstream"));
        }
        let counted = counts.since(&before);
        if counted != expected_count(vector) {
            faults.push(format!("counted {counted:?}"));
        }
        faults
    }
}

fn request(vector: &Vector) -> client::Request {
    let Request { method, target: _, host, fields, sources: _ } = &vector.request;
    let request = client::request(*method, vector.target());
    let request = match host {
        Some(host) => request.host(*host),
        None => request.without_host(),
    };
    fields.iter().fold(request, |request, (name, value)| request.header(*name, value))
}

/// What follows the reason depends on the route: the scopes that it asks for.
fn has_challenge(response: &Response, expected: Option<&str>) -> bool {
    match (response.header("www-authenticate"), expected) {
        (Some(found), Some(expected)) => {
            found.strip_prefix(expected).is_some_and(|rest| rest.is_empty() || rest.starts_with(", scope=\""))
        }
        (found, expected) => found == expected,
    }
}

/// Verdicts so far, by route and reason; those that no route gave are under none.
struct Counts(BTreeMap<(String, String), f64>);

impl Counts {
    fn of(metrics: &Metrics) -> Self {
        let series = COUNTERS.into_iter().flat_map(|name| metrics.series(name));
        let label = |labels: &e2e::metrics::Labels, name| labels.get(name).cloned().unwrap_or_default();
        Self(series.map(|(labels, count)| ((label(labels, "route"), label(labels, "reason")), count)).collect())
    }

    /// What was counted since, as `route reason count`.
    fn since(&self, before: &Self) -> Vec<String> {
        let counted = self.0.iter().map(|(key, count)| (key, count - before.0.get(key).copied().unwrap_or_default()));
        let counted = counted.filter(|(_, count)| *count != 0.0);
        counted.map(|((route, reason), count)| format!("{route} {reason} {count}")).collect()
    }
}

fn expected_count(vector: &Vector) -> Vec<String> {
    let reason = vector.verdict.reason;
    match vector.verdict.counted() {
        Counted::Decided => vec![format!("{} {reason} 1", vector.route)],
        Counted::Rejected => vec![format!(" {reason} 1")],
        Counted::Unmatched => Vec::new(),
    }
}

#[test]
fn the_proxy_answers_each_vector_by_its_verdict_cached_or_not() {
    let mut failures = Vec::new();
    let mut count = 0;
    for sources in [Sources::CookieAndHeader, Sources::Header] {
        let edge = Edge::start(sources);
        let mut counts = edge.counts();
        for vector in TABLE.iter().filter(|vector| vector.request.sources == sources && vector.is_for_proxy()) {
            count += 1;
            for round in 1..=2 {
                let faults = edge.faults(vector, &mut counts);
                if !faults.is_empty() {
                    failures.push(format!("{vector}, found in round {round}: {}", faults.join(", ")));
                }
            }
        }
        let hits = edge.proxy.metrics().sum("cognigate_token_cache_hits_total", &[]);
        assert!(hits > 0.0, "no token was remembered");
    }
    assert_none(&failures);
    assert!(count >= 600, "only {count} vectors are for the proxy");
}
