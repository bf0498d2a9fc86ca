//! A key server has a bad day: while the proxy has keys, before it has any, and for so long that its keys grow too old.

use std::time::{Duration, Instant};

use e2e::pool::{KID, key};

use crate::{
    fault::Fault,
    report::Report,
    traffic::{REFUSED, SERVED, UNDECIDED},
    world::{Scene, Traffic, World},
};

/// Refreshes that must fail before an outage ends.
const FAILURES: u64 = 2;

/// Longer than so many refreshes take with the longest waits between them.
const LIMIT: Duration = Duration::from_secs(20);

/// How soon tokens must be served once the key server is well: what is left of a fetch that hangs, and the wait after the
/// third failure.
const RECOVERY: Duration = Duration::from_secs(9);

/// Keys older than this, in seconds, decide nothing in [`too_long`].
const MAX_STALE: u64 = 3;

/// The proxy has keys. Its clients notice nothing for as long as this.
pub(crate) fn while_running(fault: Fault, least: Duration) -> Report {
    let traffic = Traffic::new(SERVED, REFUSED).with_unknown_keys(REFUSED);
    let name = format!("key server {}", fault.name());
    Scene::start_ready(name, World::new("{ refresh: 1s }", ""), traffic).play(|scene| {
        let (failures, began) = (scene.refreshes("failure"), Instant::now());
        fault.befall(&scene.world);
        let is_over = |scene: &Scene| began.elapsed() >= least && scene.refreshes("failure") >= failures + FAILURES;
        scene.hold_readiness(200, LIMIT + least, is_over);
        let before = scene.refreshes("success");
        scene.world.heal([&key(KID)]);
        scene.hold_readiness(200, LIMIT, |scene| scene.refreshes("success") > before);
        scene.traffic.await_good(SERVED);
        String::new()
    })
}

/// The proxy starts without keys. What needs none is served, and the rest as soon as there are some.
pub(crate) fn at_start(fault: Fault) -> Report {
    let world = World::new("{}", "");
    fault.befall(&world);
    let traffic = Traffic::new(UNDECIDED, REFUSED | UNDECIDED).with_unknown_keys(REFUSED | UNDECIDED);
    Scene::start(format!("start, key server {}", fault.name()), world, traffic).play(|scene| {
        scene.hold_readiness(503, LIMIT, |scene| scene.refreshes("failure") >= FAILURES);
        let recovery = scene.recover();
        scene.require(recovery < RECOVERY, format!("ready {recovery:?} after the key server"));
        format!("ready {:.1} s after the key server", recovery.as_secs_f64())
    })
}

/// The keys grow older than they may. Then nothing can be decided, and nobody is told that his token is bad.
pub(crate) fn too_long() -> Report {
    let world = World::new(&format!("{{ refresh: 1s, max_stale: {MAX_STALE}s }}"), "");
    Scene::start_ready("keys older than max_stale", world, Traffic::new(SERVED, REFUSED)).play(|scene| {
        Fault::Status500.befall(&scene.world);
        let began = Instant::now();
        // The last fetch may have been one refresh ago, and its age is counted in whole seconds.
        scene.hold_readiness(200, LIMIT, |_| began.elapsed() > Duration::from_millis(MAX_STALE * 1000 - 2200));
        scene.traffic.expect_good(SERVED | UNDECIDED);
        scene.traffic.expect_bad(REFUSED | UNDECIDED);
        scene.traffic.await_good(UNDECIDED);
        let lasted = began.elapsed();
        scene.traffic.expect_good(UNDECIDED);
        scene.hold_readiness(503, LIMIT, |scene| scene.refreshes("failure") >= 2 * FAILURES);
        scene.traffic.await_good(UNDECIDED);
        scene.traffic.open.await_next(SERVED);
        scene.traffic.expect_good(UNDECIDED | SERVED);
        scene.world.heal([&key(KID)]);
        scene.proxy.wait_ready();
        scene.traffic.expect_good(SERVED);
        scene.traffic.expect_bad(REFUSED);
        scene.traffic.await_good(SERVED);
        scene.require(lasted < Duration::from_secs(MAX_STALE + 3), format!("stale keys decided for {lasted:?}"));
        format!("503 after {:.1} s", lasted.as_secs_f64())
    })
}
