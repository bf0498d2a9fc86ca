//! One thing after the other: every verdict has one right answer.

use std::{collections::BTreeMap, env, sync::Arc};

use cognigate_auth::cache::MIN_CACHE_BYTES;

use crate::{change::Change, gate::Gate, model::State, world::World};

const SEEDS: [u64; 4] = [1, 2, 3, 4];
const STEPS: usize = 30_000;

/// One step in so many is a change, the others are requests.
const CHANGE_EVERY: usize = 20;

/// After a request that is refused it is looked whether something came into the cache, once in so many.
const LOOK_EVERY: usize = 50;

/// Why a verified token may be refused: it is remembered all the same.
const GRANTS: [&str; 2] = ["group_missing", "scope_missing"];

#[test]
fn whatever_happens_a_remembered_token_gets_the_verdict_of_a_new_one() {
    let seeds = env::var("COGNIGATE_TEST_SEED").map_or(SEEDS.to_vec(), |seed| vec![seed.parse().unwrap()]);
    let runs: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = seeds.iter().map(|seed| scope.spawn(|| run(*seed))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut hits, mut misses, mut evictions) = (0, 0, 0);
    for run in runs {
        run.verdicts.into_iter().for_each(|(verdict, times)| *verdicts.entry(verdict).or_default() += times);
        (hits, misses, evictions) = (hits + run.hits, misses + run.misses, evictions + run.evictions);
    }
    println!("{} steps: {hits} hits, {misses} misses, {evictions} evictions, {verdicts:?}", seeds.len() * STEPS);
    assert!(hits > misses / 2, "{hits} hits in {misses} misses: the cache is hardly used");
    assert!(evictions > 0);
    for verdict in [
        "client_not_allowed",
        "group_missing",
        "issuer_unknown",
        "keys_unavailable",
        "kid_unknown",
        "ok",
        "scope_missing",
        "signature_invalid",
        "token_expired",
        "token_not_yet_valid",
        "token_revoked",
        "token_use_mismatch",
    ] {
        assert!(verdicts.get(verdict).is_some_and(|times| *times > 20), "{verdict} was hardly met");
    }
}

#[derive(Default)]
struct Run {
    verdicts: BTreeMap<String, usize>,
    hits: u64,
    misses: u64,
    evictions: u64,
}

fn run(seed: u64) -> Run {
    let mut rng = fastrand::Rng::with_seed(seed);
    let world = Arc::new(World::new(&mut rng));
    let mut state = State::new(MIN_CACHE_BYTES);
    let gate = Gate::new(&world, &state);
    let (mut history, mut run) = (Vec::new(), Run::default());
    let mut apply = |state: &mut State, change: Change| {
        state.apply(&change);
        gate.apply(&change);
        history.push(change);
        history.len()
    };
    let mut changes = Change::first().map(|change| apply(&mut state, change)).last();
    for step in 0..STEPS {
        if rng.usize(..CHANGE_EVERY) == 0 {
            let change = Change::any(&mut rng, &world, &state);
            changes = Some(apply(&mut state, change));
            continue;
        }
        let (token, policy) = (world.any_token(&mut rng), &world.policies[rng.usize(..world.policies.len())]);
        let expected = state.verdict(token, policy);
        let word = expected.split(':').next().unwrap_or_default();
        let is_looked_at = rng.usize(..LOOK_EVERY) == 0 && word != "ok" && !GRANTS.contains(&word);
        let before = is_looked_at.then(|| gate.cache_metric("entries"));
        let verdict = gate.verdict(token, policy);
        assert_eq!(verdict, expected, "COGNIGATE_TEST_SEED={seed}, step {step}, change {changes:?}, {state:#?}");
        let after = is_looked_at.then(|| gate.cache_metric("entries"));
        assert_eq!(before, after, "COGNIGATE_TEST_SEED={seed}, step {step}: {word} has changed the cache");
        *run.verdicts.entry(word.to_owned()).or_default() += 1;
    }
    [run.hits, run.misses, run.evictions] =
        ["hits_total", "misses_total", "evictions_total"].map(|name| gate.cache_metric(name));
    assert_eq!(gate.close(), [0, 0], "COGNIGATE_TEST_SEED={seed}");
    run
}
