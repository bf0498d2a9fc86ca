//! The cache against a plain map: it may forget, but never mistakes one token for another, lies about its size or grows.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{fixture::Fixture, *};

/// Small and large, with every fourth too large for a set.
const SIZES: [usize; 4] = [300, 1_500, 9_000, SET_BYTES];

#[derive(Clone, Debug)]
enum Step {
    Find(usize),
    Insert(usize, u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..48_usize).prop_map(Step::Find),
        4 => (0..48_usize, 1..50_u64).prop_map(|(id, life)| Step::Insert(id, life)),
        1 => (1..20_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cache_forgets_but_never_errs(steps in prop::collection::vec(step(), 1..150)) {
        let fixture = Fixture::new();
        let cache = fixture.cache(2);
        let mut model: HashMap<usize, Arc<VerifiedToken>> = HashMap::new();
        let mut now = 1_000;
        let token = |id: usize| fixture.token(id, SIZES[id % SIZES.len()]);
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Find(id) => {
                    if let Some(found) = cache.find(RawToken::new(&token(id))) {
                        prop_assert!(model.get(&id).is_some_and(|last| Arc::ptr_eq(last, &found)), "{} is not the last", id);
                    }
                }
                Step::Insert(id, life) => {
                    let (token, before) = (token(id), alive(&cache, &model, now));
                    let entry = fixture.entry(&token, now + life);
                    let is_known = cache.find(RawToken::new(&token)).is_some();
                    model.insert(id, Arc::clone(&entry));
                    cache.insert(Arc::clone(&entry), now);
                    let found = cache.find(RawToken::new(&token));
                    prop_assert_eq!(found.is_some(), entry.bytes <= SET_BYTES);
                    if is_known || entry.bytes > SET_BYTES {
                        prop_assert!(alive(&cache, &model, now) >= before, "{} needed no room", id);
                    }
                }
            }
            check_sizes(&fixture, &cache)?;
        }
    }
}

/// How many of the model's tokens are in the cache and not expired.
fn alive(cache: &TokenCache, model: &HashMap<usize, Arc<VerifiedToken>>, now: UnixSeconds) -> usize {
    let is_alive = |entry: &&Arc<VerifiedToken>| !entry.is_dead(now);
    let entries = model.values().filter(is_alive);
    entries.filter(|entry| cache.find(RawToken::new(&entry.token)).is_some()).count()
}

fn check_sizes(fixture: &Fixture, cache: &TokenCache) -> Result<(), TestCaseError> {
    let entries = cache.sets.iter().flat_map(|set| &set.entries).filter(|way| way.load().is_some()).count();
    let (counted, bytes, _) = fixture.counts();
    prop_assert_eq!(usize::try_from(counted), Ok(entries));
    prop_assert_eq!(bytes, fixture.bytes_in(cache));
    for set in &cache.sets {
        let bytes = set.bytes();
        prop_assert!(bytes <= SET_BYTES, "{} bytes in one set", bytes);
    }
    Ok(())
}
