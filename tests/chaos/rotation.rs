//! Keys come and go while tokens of both are under way.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    report::Report,
    traffic::{Class, REFUSED, SERVED},
    world::{Scene, Traffic, World, fresh, unknown_key},
};
use e2e::{
    client::Client,
    pool::{KID, key, strangers_key},
};

/// The name of the key that comes.
const NEXT: &str = "key-2";

/// Tokens of the new key that arrive at the same moment, before any other.
const FIRST_TOKENS: u64 = 8;

/// The time between two fetches for keys that nobody knows.
const FETCH_INTERVAL: Duration = Duration::from_secs(10);

/// How long a key may count after it was withdrawn, where keys are refreshed every second: the longest wait and a fetch.
const GRACE: Duration = Duration::from_secs(4);

/// A new key is published beside the old one, and signs; then the old one goes. No refresh is due in all that time.
pub(crate) fn live() -> Report {
    let world = World::new("{ refresh: 1h }", "");
    Scene::start_ready("live rotation", world, Traffic::new(SERVED, REFUSED)).play(|scene| {
        scene.world.keys.publish([&key(KID), &key(NEXT)]);
        let began = Instant::now();
        ask_first_tokens(scene);
        let fetches = scene.world.keys.fetches().len();
        scene.require(fetches == 2, format!("{fetches} fetches for the first tokens of the new key"));
        let new = Class::guarded("new-key", fresh(NEXT), SERVED);
        scene.add(&new);
        new.await_next(SERVED);

        scene.world.keys.publish([&key(NEXT)]);
        scene.traffic.expect_good(SERVED | REFUSED);
        // Nothing but a token of a key that is not known leads to a fetch now, and that not before its time.
        scene.add(&Class::guarded("unknown-key", unknown_key(), REFUSED));
        scene.hold_readiness(200, FETCH_INTERVAL * 2, |scene| scene.world.keys.fetches().len() > fetches);
        scene.traffic.await_good(REFUSED);
        scene.traffic.expect_good(REFUSED);
        let gap = began.elapsed();
        scene.require(gap > FETCH_INTERVAL - FETCH_INTERVAL / 20, format!("fetched again after {gap:?}"));
        (0..10).for_each(|_| scene.traffic.await_good(REFUSED));
        new.await_next(SERVED);
        format!("first {FIRST_TOKENS} tokens of the new key served")
    })
}

/// The first tokens of the new key, all at once, each on a connection of its own.
fn ask_first_tokens(scene: &mut Scene) {
    let (class, proxy) = (Class::guarded("first-token", fresh(NEXT), SERVED), scene.proxy.address());
    thread::scope(|scope| {
        for _ in 0..FIRST_TOKENS {
            scope.spawn(|| class.ask(&mut Client::connect(proxy)));
        }
    });
    let served = class.tally().served;
    scene.require(served == FIRST_TOKENS, format!("{served} of {FIRST_TOKENS} first tokens of the new key are served"));
    scene.others.push(class);
}

/// A key is withdrawn. Its tokens go with it, those in the cache too.
pub(crate) fn withdrawn() -> Report {
    Scene::start_ready("key withdrawn", World::new("{ refresh: 1s }", ""), Traffic::new(SERVED, REFUSED)).play(
        |scene| {
            let next = Class::guarded("new-key", fresh(NEXT), REFUSED | SERVED);
            scene.add(&next);
            scene.traffic.expect_good(SERVED | REFUSED);
            scene.world.keys.publish([&key(NEXT)]);
            let lasted = await_refused(scene);
            next.expect(SERVED);
            (0..10).for_each(|_| next.await_next(SERVED));
            format!("refused {:.1} s after it was withdrawn", lasted.as_secs_f64())
        },
    )
}

/// A key comes back under its name with other material: another key, whose tokens count at once and the old ones never.
pub(crate) fn other_material() -> Report {
    Scene::start_ready("same kid, other material", World::new("{ refresh: 1s }", ""), Traffic::new(SERVED, REFUSED))
        .play(|scene| {
            scene.traffic.expect_good(SERVED | REFUSED);
            scene.traffic.forged.expect(SERVED | REFUSED);
            scene.world.keys.publish([&strangers_key(KID)]);
            let lasted = await_refused(scene);
            // What was forged is signed by the real key now.
            scene.traffic.forged.expect(SERVED);
            (0..10).for_each(|_| scene.traffic.forged.await_next(SERVED));
            format!("refused {:.1} s after the change", lasted.as_secs_f64())
        })
}

/// Waits until the tokens of the first key are refused, which must then go on.
fn await_refused(scene: &mut Scene) -> Duration {
    let began = Instant::now();
    scene.traffic.await_good(REFUSED);
    let lasted = began.elapsed();
    scene.traffic.expect_good(REFUSED);
    (0..10).for_each(|_| scene.traffic.await_good(REFUSED));
    scene.require(lasted < GRACE, format!("tokens of the old key counted for {lasted:?}"));
    lasted
}
