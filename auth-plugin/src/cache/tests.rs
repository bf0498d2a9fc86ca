//! What is found, what makes room, what is counted.

mod concurrency;
mod fixture;
mod flood;
mod model;
mod publication;

use fixture::{Fixture, LATER, NOW};

use super::*;

const USUAL_BYTES: usize = 1_259;

#[test]
fn a_token_is_found_by_all_of_its_bytes() {
    let fixture = Fixture::new();
    let cache = fixture.cache(4);
    let token = fixture.token(1, USUAL_BYTES);
    cache.insert(fixture.entry(&token, LATER), NOW);

    assert_eq!(cache.find(RawToken::new(&token)).unwrap().identity().sub(), "user-1");
    for at in 0..token.len() {
        let mut other = token.clone();
        other[at] ^= 1;
        assert!(cache.find(RawToken::new(&other)).is_none(), "byte {at} changed");
    }
    let longer = [b"a", &*token].concat();
    for other in [&token[1..], &token[..token.len() - 1], &token[token.len() - INDEX_BYTES..], &longer, b""] {
        assert!(cache.find(RawToken::new(other)).is_none(), "{} bytes", other.len());
    }
}

#[test]
fn tokens_of_one_signature_tail_are_kept_apart() {
    let fixture = Fixture::new();
    let cache = fixture.cache(4);
    let token = fixture.token(1, USUAL_BYTES);
    let twin = [b"b", &token[1..]].concat();
    cache.insert(fixture.entry(&token, LATER), NOW);
    assert!(cache.find(RawToken::new(&twin)).is_none());

    cache.insert(fixture.entry_of("twin", &twin, LATER), NOW);
    assert_eq!(cache.find(RawToken::new(&token)).unwrap().identity().sub(), "user-1");
    assert_eq!(cache.find(RawToken::new(&twin)).unwrap().identity().sub(), "twin");
}

#[test]
fn the_longest_unused_makes_room() {
    let fixture = Fixture::new();
    let cache = fixture.cache(1);
    let tokens = fixture.fill(&cache, 8);
    for used in [0, 1, 2, 4, 5, 6, 7] {
        assert!(cache.find(RawToken::new(&tokens[used])).is_some());
    }
    // The hand takes away what protects 0, 1 and 2 on its way to 3, then goes on to 4 to 7 and finds 0 unprotected.
    for (newcomer, victim) in [(8, 3), (9, 0), (10, 1)] {
        let token = fixture.token(newcomer, 600);
        cache.insert(fixture.entry(&token, LATER), NOW);
        assert!(cache.find(RawToken::new(&token)).is_some(), "{newcomer} is in");
        assert!(cache.find(RawToken::new(&tokens[victim])).is_none(), "{victim} is out");
    }
    assert_eq!(fixture.counts(), (8, fixture.bytes_in(&cache), 3));
}

#[test]
fn the_dead_make_room_first() {
    for (case, kill) in
        [("expired", Fixture::expire as fn(&Fixture, &TokenCache, &[u8])), ("its key gone", Fixture::revoke_key)]
    {
        let fixture = Fixture::new();
        let cache = fixture.cache(1);
        let tokens = fixture.fill(&cache, 8);
        kill(&fixture, &cache, &tokens[5]);
        for token in &tokens {
            assert!(cache.find(RawToken::new(token)).is_some(), "{case}: the dead are still found");
        }
        let token = fixture.token(8, 600);
        cache.insert(fixture.entry(&token, LATER), NOW);
        for (id, token) in (0..).zip(&tokens) {
            assert_eq!(cache.find(RawToken::new(token)).is_some(), id != 5, "{case}: {id}");
        }
    }
}

#[test]
fn a_large_entry_makes_as_much_room_as_it_takes() {
    let fixture = Fixture::new();
    let cache = fixture.cache(1);
    fixture.fill(&cache, 8);
    for (size, left) in [(4_000, 8), (7_000, 4), (600, 4), (13_600, 1)] {
        let token = fixture.token(size, size);
        cache.insert(fixture.entry(&token, LATER), NOW);
        assert!(cache.find(RawToken::new(&token)).is_some(), "{size}: the newcomer is in");
        assert!(fixture.bytes_in(&cache) <= SET_BYTES as i64, "{size}: over budget");
        assert_eq!(fixture.counts().0, left, "{size}: {}", fixture.bytes_in(&cache));
    }
}

#[test]
fn what_no_set_can_hold_is_not_remembered_and_displaces_nothing() {
    let fixture = Fixture::new();
    let cache = fixture.cache(1);
    let tokens = fixture.fill(&cache, 8);
    let token = fixture.token(8, SET_BYTES);
    cache.insert(fixture.entry(&token, LATER), NOW);
    assert!(cache.find(RawToken::new(&token)).is_none());
    assert!(tokens.iter().all(|token| cache.find(RawToken::new(token)).is_some()));
    assert_eq!(fixture.counts().2, 0);
}

#[test]
fn a_token_that_comes_again_takes_its_own_place() {
    let fixture = Fixture::new();
    let cache = fixture.cache(1);
    let tokens = fixture.fill(&cache, 8);
    let before = fixture.counts();
    let again = fixture.entry(&tokens[6], LATER);
    cache.insert(Arc::clone(&again), NOW);
    assert!(Arc::ptr_eq(&cache.find(RawToken::new(&tokens[6])).unwrap(), &again));
    assert!(tokens.iter().all(|token| cache.find(RawToken::new(token)).is_some()));
    assert_eq!(fixture.counts(), before);
}

#[test]
fn the_gauges_forget_a_cache_that_is_dropped() {
    let fixture = Fixture::new();
    let (old, new) = (fixture.cache(2), fixture.cache(2));
    fixture.fill(&old, 5);
    fixture.fill(&new, 3);
    assert_eq!(fixture.counts(), (8, fixture.bytes_in(&old) + fixture.bytes_in(&new), 0));
    drop(old);
    assert_eq!(fixture.counts(), (3, fixture.bytes_in(&new), 0));
}

#[test]
fn the_whole_is_within_its_bytes() {
    for max_bytes in [1, MIN_CACHE_BYTES, 1 << 20, 64 << 20, (64 << 20) + 1] {
        let cache = TokenCache::new(max_bytes, Fixture::new().metrics);
        let most = cache.sets.len() * (SET_BYTES + size_of::<Set>());
        assert!(most <= max_bytes.max(MIN_CACHE_BYTES), "{max_bytes}: up to {most}");
        assert!(!cache.sets.is_empty(), "{max_bytes}");
    }
}

#[test]
fn a_set_holds_eight_usual_tokens() {
    let fixture = Fixture::new();
    let entry = fixture.entry(&fixture.token(1, USUAL_BYTES), LATER);
    assert!(WAYS * entry.bytes <= SET_BYTES, "one takes {}", entry.bytes);
}

#[test]
fn debug_prints_no_byte_of_a_token() {
    let fixture = Fixture::new();
    let entry = fixture.entry_of("someone", b"header.payload.signature", LATER);
    let text = format!("{entry:?} {:?}", fixture.cache(3));
    assert!(text.contains("token_bytes: 24") && text.contains("TokenCache(3 sets)"), "{text}");
    for part in ["header", "payload", "signature"] {
        assert!(!text.contains(part), "{part} in {text}");
    }
}
