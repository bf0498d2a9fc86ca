//! The proxy dies and starts again while nobody publishes its keys.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use cognigate_auth::local_pool::SigningKey;
use e2e::{
    pool::{KID, key, strangers_key},
    wait::eventually,
};
use serde_json::Value;

use crate::{
    fault::Fault,
    report::Report,
    traffic::{Class, REFUSED, SERVED, UNDECIDED},
    world::{Scene, Traffic, World, fresh},
};

/// The name of the key that is published after the outage.
const NEXT: &str = "key-2";

/// Where the proxy keeps its keys, in the directory of the world.
const STATE_FILE: &str = "main.jwks";

/// The pool's `jwks`, so that a state file is kept.
const KEPT: &str = "{ refresh: 1s, state_file: $DIRECTORY/main.jwks }";

/// The longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Fetches that must fail before an outage ends.
const FAILURES: u64 = 2;

/// What somebody did to the state file while no proxy ran.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tampering {
    /// Put a stranger's key into it, and let everybody write it.
    Forged,
    /// Cut it in half.
    Halved,
}

impl Tampering {
    /// Each of them.
    pub(crate) const ALL: [Self; 2] = [Self::Forged, Self::Halved];

    /// How the report calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forged => "state file that others may write",
            Self::Halved => "state file cut in half",
        }
    }

    fn befall(self, file: &Path) {
        let text = fs::read_to_string(file).unwrap_or_default();
        match self {
            Self::Forged => {
                let forged = text.replace(&modulus(&key(KID)), &modulus(&strangers_key(KID)));
                assert_ne!(forged, text, "the state file has the key");
                fs::write(file, forged).and_then(|()| fs::set_permissions(file, Permissions::from_mode(0o666)))
            }
            Self::Halved => fs::write(file, text.get(..text.len() / 2).unwrap_or_default()),
        }
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn modulus(key: &SigningKey) -> String {
    key.jwk().get("n").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A proxy that keeps its keys serves at once. What it kept does not outlive what is published in the end.
pub(crate) fn with_state_file() -> Report {
    let traffic = Traffic::new(SERVED, REFUSED).with_unknown_keys(REFUSED);
    Scene::start_ready("restart in an outage, with state_file", World::new(KEPT, ""), traffic).play(|scene| {
        let mode = await_state_file(scene);
        scene.require(mode == 0o600, format!("the mode of the state file is {mode:o}"));
        Fault::Dead.befall(&scene.world);
        scene.kill();
        let began = Instant::now();
        scene.begin_again();
        scene.hold_readiness(200, LIMIT, |_| true);
        scene.traffic.await_good(SERVED);
        let served = began.elapsed();
        scene.hold_readiness(200, LIMIT, |scene| scene.refreshes("failure") >= FAILURES);

        let next = Class::guarded("new-key", fresh(NEXT), REFUSED | SERVED);
        scene.add(&next);
        scene.traffic.expect_good(SERVED | REFUSED);
        scene.world.heal([&key(NEXT)]);
        next.await_next(SERVED);
        scene.traffic.await_good(REFUSED);
        next.expect(SERVED);
        scene.traffic.expect_good(REFUSED);
        (0..5).for_each(|_| scene.traffic.await_good(REFUSED));
        format!("serves {:.2} s after its start", served.as_secs_f64())
    })
}

/// A proxy that keeps nothing can decide nothing until the key server is back.
pub(crate) fn without_state_file() -> Report {
    without_keys("restart in an outage, without state_file".to_owned(), None)
}

/// Nor can one whose state file is not to be trusted.
pub(crate) fn with_tampered_file(tampering: Tampering) -> Report {
    without_keys(format!("restart, {}", tampering.name()), Some(tampering))
}

/// A proxy runs, dies, and finds no keys that it may trust when it starts again.
fn without_keys(name: String, tampering: Option<Tampering>) -> Report {
    let jwks = if tampering.is_some() { KEPT } else { "{ refresh: 1s }" };
    Scene::start_ready(name, World::new(jwks, ""), Traffic::new(SERVED, REFUSED)).play(|scene| {
        if tampering.is_some() {
            await_state_file(scene);
        }
        Fault::Dead.befall(&scene.world);
        scene.kill();
        tampering.into_iter().for_each(|tampering| tampering.befall(&scene.world.directory.path(STATE_FILE)));
        scene.traffic.expect_good(UNDECIDED);
        scene.traffic.expect_bad(REFUSED | UNDECIDED);
        scene.begin_again();
        scene.hold_readiness(503, LIMIT, |scene| scene.refreshes("failure") >= FAILURES);
        let recovery = scene.recover();
        format!("ready {:.1} s after the key server", recovery.as_secs_f64())
    })
}

/// Waits until the keys are kept. Returns the permissions of the file.
fn await_state_file(scene: &Scene) -> u32 {
    let file = scene.world.directory.path(STATE_FILE);
    eventually("a state file", || Some(fs::metadata(&file).ok()?.permissions().mode() & 0o777))
}
