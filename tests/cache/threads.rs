//! Everything at once: threads that rotate keys, revoke and reload while others ask.
//!
//! Changes take turns, and each is noted before it begins and after it has ended. A verdict must be that of a state that
//! held between the beginning and the end of its call. A call that lasts over several changes may see each part of the
//! world at another of these moments: its keys as they were, its revocations as they have become.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use cognigate_auth::{policy::Policy, revocation::SubjectKind};

use crate::{
    change::Change,
    gate::Gate,
    model::{State, View},
    world::{Token, World},
};

const READERS: u64 = 3;
const CALLS: usize = 12_000;

/// A reader lets a change happen after so many calls, whoever has the next turn.
const CALLS_A_CHANGE: usize = 15;

const CACHE_BYTES: usize = 1 << 18;

type Changer = fn(&mut fastrand::Rng, &World, &State) -> Change;

/// What each of the other threads does.
const CHANGERS: [Changer; 3] = [
    |rng, _, state| Change::keys(rng, state),
    Change::revocation,
    |rng, _, state| if rng.u8(..3) == 0 { Change::configuration(rng, state) } else { Change::clock(rng, state) },
];

#[test]
fn a_verdict_is_right_for_a_moment_of_its_call() {
    let mut rng = fastrand::Rng::with_seed(5);
    let world = Arc::new(World::new(&mut rng));
    let scene = Scene::new(world);
    let (permits, changes) = sync_channel(1);
    // Gone with the last changer, so that no reader waits for one that failed.
    let changes = Arc::new(Mutex::new(changes));
    let explained = thread::scope(|scope| {
        for (seed, changer) in (100..).zip(CHANGERS) {
            let (scene, changes) = (&scene, Arc::clone(&changes));
            scope.spawn(move || scene.change_whenever(&changes, changer, seed));
        }
        drop(changes);
        let readers: Vec<_> = (0..READERS)
            .map(|seed| {
                let (scene, permits) = (&scene, permits.clone());
                scope.spawn(move || scene.read(&permits, seed))
            })
            .collect();
        // The changers end with the last reader's permits.
        drop(permits);
        readers.into_iter().map(|reader| reader.join().unwrap()).reduce(Explained::plus).unwrap()
    });
    let Scene { gate, states, .. } = scene;
    let (states, hits) = (lock(&states).len(), gate.cache_metric("hits_total"));
    println!("{explained:?}, {states} states, {hits} hits");
    assert!(states > 500, "{states} states");
    assert!(explained.during_changes > 100, "{explained:?}");
    assert!(hits > READERS * CALLS as u64 / 5, "{hits} hits");
    assert_eq!(gate.close(), [0, 0]);
}

struct Scene {
    world: Arc<World>,
    gate: Gate,
    /// Every state that ever held, in order. Locked by a changer for the length of a change's note only.
    states: Mutex<Vec<Arc<State>>>,
    /// The last change that has begun, and the last that has ended.
    begun: AtomicUsize,
    ended: AtomicUsize,
    turn: Mutex<()>,
}

/// Verdicts, by what they were explained with.
#[derive(Clone, Copy, Debug, Default)]
struct Explained {
    /// Nothing changed during the call.
    at_rest: usize,
    /// One of the states that held during the call.
    during_changes: usize,
    /// Parts of several of them.
    by_parts: usize,
}

impl Explained {
    fn plus(self, other: Self) -> Self {
        Self {
            at_rest: self.at_rest + other.at_rest,
            during_changes: self.during_changes + other.during_changes,
            by_parts: self.by_parts + other.by_parts,
        }
    }
}

impl Scene {
    fn new(world: Arc<World>) -> Self {
        let state = State::new(CACHE_BYTES);
        let scene = Self {
            gate: Gate::new(&world, &state),
            world,
            states: Mutex::new(vec![Arc::new(state)]),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            turn: Mutex::default(),
        };
        for change in Change::first() {
            scene.change(|_| change);
        }
        scene
    }

    fn change_whenever(&self, changes: &Mutex<Receiver<()>>, changer: Changer, seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        loop {
            let permit = lock(changes).recv();
            if permit.is_err() {
                return;
            }
            self.change(|state| changer(&mut rng, &self.world, state));
        }
    }

    fn change(&self, choose: impl FnOnce(&State) -> Change) {
        let _turn = lock(&self.turn);
        let mut states = lock(&self.states);
        let mut state = states.last().map(|state| State::clone(state)).unwrap();
        let change = choose(&state);
        state.apply(&change);
        states.push(Arc::new(state));
        let number = states.len() - 1;
        drop(states);
        self.begun.store(number, Ordering::SeqCst);
        self.gate.apply(&change);
        self.ended.store(number, Ordering::SeqCst);
    }

    fn read(&self, permits: &SyncSender<()>, seed: u64) -> Explained {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut explained = Explained::default();
        for call in 0..CALLS {
            let token = self.world.any_token(&mut rng);
            let policy = &self.world.policies[rng.usize(..self.world.policies.len())];
            let first = self.ended.load(Ordering::SeqCst);
            let verdict = self.gate.verdict(token, policy);
            let last = self.begun.load(Ordering::SeqCst);
            self.explain(first..=last, token, policy, &verdict, &mut explained);
            if call % CALLS_A_CHANGE == 0 {
                // Waits while another change is due. Fails if every changer did, and so the test.
                let _ = permits.send(());
            }
        }
        explained
    }

    fn explain(
        &self,
        during: RangeInclusive<usize>,
        token: &Token,
        policy: &Policy,
        verdict: &str,
        explained: &mut Explained,
    ) {
        let states = lock(&self.states)[during.clone()].to_vec();
        let is_right = |state: &Arc<State>| state.verdict(token, policy) == verdict;
        let count = match (states.len(), states.iter().any(is_right)) {
            (1, true) => &mut explained.at_rest,
            (_, true) => &mut explained.during_changes,
            (3.., false) if is_right_in_parts(&states, token, policy, verdict) => &mut explained.by_parts,
            (_, false) => panic!("{verdict:?} was right at no moment of {during:?}: {states:#?}"),
        };
        *count += 1;
    }
}

/// Whether the verdict is right for a world whose parts are from any of these states.
fn is_right_in_parts(states: &[Arc<State>], token: &Token, policy: &Policy, verdict: &str) -> bool {
    let pool = |state: &State| state.pools[token.pool].clone();
    let clients = distinct(states, |state| (state.forwarded, pool(state).map(|pool| pool.clients)));
    let clocks = distinct(states, |state| state.now);
    let keys = distinct(states, |state| pool(state).and_then(|pool| pool.keys));
    let revoked = SubjectKind::ALL.map(|kind| distinct(states, |state| state.revokes(kind, token)));
    let [jti, origin_jti, sub] = &revoked;
    let parts = [&clients, &clocks, &keys, jti, origin_jti, sub];
    (0..parts.iter().map(|part| part.len()).product()).any(|mut number: usize| {
        let [configured, clock, keys, jti, origin_jti, sub] = parts.map(|part| {
            let state = part[number % part.len()];
            number /= part.len();
            state
        });
        let view = View { configured, clock, keys, revoked: [jti, origin_jti, sub] };
        view.verdict(token, policy) == verdict
    })
}

/// The first of each states that have a part in common.
fn distinct<T: PartialEq>(states: &[Arc<State>], part: impl Fn(&State) -> T) -> Vec<&State> {
    let mut seen: Vec<(T, &State)> = Vec::new();
    for state in states {
        let part = part(state);
        if seen.iter().all(|(other, _)| *other != part) {
            seen.push((part, state));
        }
    }
    seen.into_iter().map(|(_, state)| state).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
