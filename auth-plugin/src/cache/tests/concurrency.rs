//! Readers and writers of the same sets at the same time.

use std::thread;

use super::{fixture::Fixture, *};

const THREADS: usize = 4;
const ROUNDS: usize = 1_500;

#[test]
fn threads_find_what_they_asked_for_and_the_count_is_exact() {
    let fixture = Fixture::new();
    let cache = fixture.cache(2);
    let tokens: Vec<_> = (0..40).map(|id| fixture.token(id, 300 + 150 * (id % 12))).collect();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, fixture, tokens) = (&cache, &fixture, &tokens);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let token = &tokens[(round * (2 * thread + 1)) % tokens.len()];
                    match cache.find(RawToken::new(token)) {
                        Some(found) => assert!(found.is_of(RawToken::new(token)), "another token was found"),
                        None => cache.insert(fixture.entry(token, LATER), NOW),
                    }
                }
            });
        }
    });
    let entries = cache.sets.iter().flat_map(|set| &set.entries).filter(|way| way.load().is_some()).count();
    assert_eq!(usize::try_from(fixture.counts().0), Ok(entries));
    assert_eq!(fixture.counts().1, fixture.bytes_in(&cache));
    assert!(cache.sets.iter().all(|set| set.bytes() <= SET_BYTES));
    let mut distinct: Vec<_> =
        cache.sets.iter().flat_map(|set| &set.entries).filter_map(sync::Slot::load_full).collect();
    distinct.sort_by(|one, other| one.token.cmp(&other.token));
    distinct.dedup_by(|one, other| one.token == other.token);
    assert_eq!(distinct.len(), entries, "a token is in twice");
}

#[test]
fn a_newcomer_stays_while_every_entry_is_in_use_and_the_set_within_its_budget() {
    let fixture = Fixture::new();
    let cache = fixture.cache(1);
    // Five fit, so that room is made for bytes while ways are free.
    let token = |id| fixture.token(id, 2_200);
    let hot: Vec<_> = (0..5).map(token).collect();
    hot.iter().for_each(|token| cache.insert(fixture.entry(token, LATER), NOW));
    assert_eq!(fixture.counts().0, 5);
    thread::scope(|scope| {
        // Gone as soon as the writer has finished or failed.
        let writer = Arc::new(());
        for tokens in hot.chunks(3) {
            let (cache, fixture, writer) = (&cache, &fixture, Arc::downgrade(&writer));
            scope.spawn(move || {
                while writer.strong_count() > 0 {
                    for token in tokens {
                        cache.find(RawToken::new(token));
                    }
                    let bytes = fixture.counts().1;
                    assert!(bytes <= SET_BYTES as i64, "{bytes} bytes in one set");
                }
            });
        }
        for id in 5..2_000 {
            let token = if id % 3 == 0 { hot[id % hot.len()].clone() } else { token(id) };
            let entry = fixture.entry(&token, LATER);
            cache.insert(Arc::clone(&entry), NOW);
            let found = cache.find(RawToken::new(&token));
            assert!(found.is_some_and(|found| Arc::ptr_eq(&found, &entry)), "{id} was displaced by itself");
        }
    });
    assert_eq!((fixture.counts().0, fixture.counts().1), (5, fixture.bytes_in(&cache)));
}
