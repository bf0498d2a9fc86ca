//! What the keys are as time passes and fetches fail. No fetch is made.

use prometheus::Registry;

use super::*;
use crate::{
    authorizer::{Authorizer, AuthorizerConfig},
    clock::FixedClock,
    local_pool::{self, SigningKey},
    metrics::AuthMetrics,
    pool::{ClientRule, JwksPolicy, UserPool},
};

const NOW: UnixSeconds = 1_700_000_000;
const YEAR: u64 = 365 * 24 * 3600;
const MAX_STALE: u64 = 3_600;

/// The refresher of one pool, and everything around it.
struct Scene {
    authorizer: Authorizer,
    refresher: Refresher,
    clock: Arc<FixedClock>,
    registry: Registry,
    document: String,
}

impl Scene {
    fn new() -> Self {
        let issuer = "http://127.0.0.1:1/pool".parse().unwrap();
        let mut pool = UserPool::new("main", issuer, ClientRule::Any).unwrap();
        pool.jwks = JwksPolicy { max_stale: Duration::from_secs(MAX_STALE), ..JwksPolicy::default() };
        let config = AuthorizerConfig { user_pools: vec![pool], ..AuthorizerConfig::default() };
        let (clock, registry) = (Arc::new(FixedClock::at(NOW)), Registry::new());
        let metrics = AuthMetrics::register(&registry).unwrap();
        let authorizer = Authorizer::new(config, Arc::clone(&clock) as Arc<dyn Clock>, metrics);
        let refresher = authorizer.refreshers(&Fetcher::new().unwrap()).next().unwrap();
        let document = local_pool::jwks([&SigningKey::generate("a").unwrap()]);
        Self { authorizer, refresher, clock, registry, document }
    }

    /// What happens when a fetch succeeds. Returns the wait.
    fn succeed(&mut self) -> Duration {
        self.authorizer.import_keys("main", self.document.as_bytes()).unwrap();
        self.refresher.settle(Ok(()))
    }

    /// What happens when a fetch fails. Returns the wait.
    fn fail(&mut self) -> Duration {
        self.refresher.settle(Err(UnusableDocument::NoUsableKey { found: 0 }.into()))
    }

    /// The state that is exported.
    fn state(&self) -> String {
        let families = self.registry.gather();
        let states = families.iter().find(|family| family.name() == "cognigate_jwks_state").unwrap();
        let current = states.get_metric().iter().filter(|metric| metric.get_gauge().get_value() == 1.0);
        let labels = current.map(|metric| metric.get_label().iter().find(|label| label.name() == "state").unwrap());
        labels.map(|label| label.value()).collect::<Vec<_>>().join(" and ")
    }

    fn is_ready(&self) -> bool {
        self.authorizer.pools_without_keys().next().is_none()
    }
}

#[test]
fn keys_are_missing_fresh_stale_and_expired() {
    let mut scene = Scene::new();
    assert_eq!((scene.state().as_str(), scene.is_ready()), ("missing", false));
    assert!(scene.fail() < Duration::from_secs(2), "without keys every second counts");
    assert_eq!(scene.state(), "missing");
    assert!(scene.succeed() >= Duration::from_secs(240));
    assert_eq!((scene.state().as_str(), scene.is_ready()), ("fresh", true));
    assert!(!scene.refresher.has_aged());
}

#[test]
fn the_moment_of_expiry_is_noticed_once() {
    let mut scene = Scene::new();
    scene.succeed();
    assert!(scene.fail() >= Duration::from_secs(12), "with keys nothing is urgent");
    assert_eq!((scene.state().as_str(), scene.is_ready()), ("stale", true));
    scene.clock.set(NOW + MAX_STALE);
    assert!(!scene.refresher.has_aged());
    assert_eq!(scene.refresher.time_to_look(), Duration::from_secs(1), "the moment is awaited");
    scene.clock.set(NOW + MAX_STALE + 1);
    assert!(scene.refresher.has_aged(), "fetched at once");
    assert_eq!((scene.state().as_str(), scene.is_ready()), ("expired", false));
    assert!(!scene.refresher.has_aged(), "and not again and again");
    assert_eq!(scene.refresher.time_to_look(), LOOK);
}

#[test]
fn without_keys_that_decide_every_second_counts_again() {
    let mut scene = Scene::new();
    scene.succeed();
    scene.clock.set(NOW + MAX_STALE + 1);
    assert!(scene.refresher.has_aged());
    assert!(scene.fail() < Duration::from_secs(2), "as urgent as at the start");
    assert_eq!(scene.state(), "expired");
    scene.succeed();
    assert_eq!((scene.state().as_str(), scene.is_ready()), ("fresh", true));
}

#[test]
fn keys_that_expire_while_nobody_looks_are_expired_after_the_next_failure() {
    let mut scene = Scene::new();
    scene.succeed();
    scene.clock.set(NOW + YEAR);
    scene.fail();
    assert_eq!(scene.state(), "expired");
}

#[test]
fn keys_of_the_future_count_from_when_the_clock_was_set_back() {
    let mut scene = Scene::new();
    scene.clock.set(NOW + YEAR);
    scene.succeed();
    scene.clock.set(NOW);
    assert!(scene.refresher.has_aged(), "fetched at once");
    assert_eq!(
        (scene.state().as_str(), scene.is_ready()),
        ("stale", true),
        "and valid tokens are not refused meanwhile"
    );
    assert!(!scene.refresher.has_aged());
    scene.clock.set(NOW + MAX_STALE);
    assert!(scene.is_ready());
    scene.clock.set(NOW + MAX_STALE + 1);
    assert!(!scene.is_ready(), "they do not live for a year");
}

#[test]
fn a_clock_that_is_corrected_a_little_changes_nothing() {
    let mut scene = Scene::new();
    scene.succeed();
    scene.clock.set(NOW - 300);
    assert!(!scene.refresher.has_aged());
    scene.clock.set(NOW - 301);
    assert!(scene.refresher.has_aged());
}

#[test]
fn a_rotation_is_counted_and_names_the_keys() {
    let scene = Scene::new();
    let key = SigningKey::generate("b").unwrap();
    let set = |keys: &[&SigningKey], before: Option<&KeySet>| {
        KeySet::parse(local_pool::jwks(keys.iter().copied()).as_bytes(), NOW, before).unwrap()
    };
    let source = &scene.refresher.source;
    let first = set(&[&key], None);
    report_rotation(source, None, &first);
    report_rotation(source, Some(&first), &set(&[&key], Some(&first)));
    assert_eq!(source.metrics.rotations.get(), 0);
    let renamed = key.renamed("c");
    let second = set(&[&key, &renamed], Some(&first));
    report_rotation(source, Some(&first), &second);
    assert_eq!(source.metrics.rotations.get(), 1);
    assert_eq!((second.kids_beyond(&first), first.kids_beyond(&second)), (vec!["c"], vec![]));
    report_rotation(source, Some(&second), &first);
    assert_eq!(source.metrics.rotations.get(), 2);
}
