//! How a set is published, in every order that its threads can take turns in: the very source of the set, compiled over a
//! model checker's atomics, which also hand out every stale value that the memory order allows.
//!
//! Stood in for is what this crate does not own. [`Slot`](sync::Slot) promises no more than `ArcSwapOption` does: what is
//! loaded was published by then, and whoever loads it sees what its publisher saw. Entries are few and small, so that the
//! orders can be counted.

#[expect(clippy::duplicate_mod, reason = "the code under test is the code that is shipped")]
#[path = "../insert.rs"]
mod insert;
#[expect(clippy::duplicate_mod, reason = "the code under test is the code that is shipped")]
#[path = "../set.rs"]
mod set;
mod sync;

use std::sync::Arc;

use loom::{
    model::Builder,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};
use prometheus::Registry;

use self::set::Set;
use crate::{
    clock::UnixSeconds,
    metrics::{AuthMetrics, CacheMetrics},
    token::RawToken,
};

const WAYS: usize = 2;
const SET_BYTES: usize = 2;

/// How often a thread's turn is taken away in one order: some fifteen thousand orders in all, in about two seconds.
const PREEMPTIONS: usize = 3;

const NOW: UnixSeconds = 1_000;
const A: Kind = Kind { token: "a", tag: 7, bytes: 1 };
const B: Kind = Kind { token: "b", tag: 8, bytes: 1 };
const C: Kind = Kind { token: "c", tag: 9, bytes: 1 };
const LARGE: Kind = Kind { token: "large", tag: 10, bytes: SET_BYTES };

#[derive(Clone, Copy)]
struct Kind {
    token: &'static str,
    tag: u32,
    bytes: usize,
}

/// A token that was verified, in two parts that are written one after the other in no order that binds a reader.
struct VerifiedToken {
    kind: Kind,
    key: AtomicU32,
    claims: AtomicU32,
}

impl VerifiedToken {
    fn bytes(&self) -> usize {
        self.kind.bytes
    }

    fn token(&self) -> RawToken<'_> {
        RawToken::new(self.kind.token.as_bytes())
    }

    fn touch(&self) {}

    fn is_of(&self, token: RawToken<'_>) -> bool {
        self.kind.token.as_bytes() == token.as_bytes()
    }

    fn is_dead(&self, _: UnixSeconds) -> bool {
        false
    }
}

/// A set, and the account that it is kept in.
struct World {
    set: Set,
    metrics: CacheMetrics,
}

impl World {
    fn with(kinds: &[Kind]) -> Arc<Self> {
        let metrics = AuthMetrics::register(&Registry::new()).unwrap().cache;
        let world = Self { set: Set::default(), metrics };
        kinds.iter().for_each(|kind| world.insert(*kind, 1));
        Arc::new(world)
    }

    fn insert(&self, kind: Kind, key: u32) {
        let entry = VerifiedToken { kind, key: AtomicU32::new(0), claims: AtomicU32::new(0) };
        entry.key.store(key, Ordering::Relaxed);
        entry.claims.store(key, Ordering::Relaxed);
        self.set.insert(Arc::new(entry), kind.tag, NOW, &self.metrics);
    }

    /// The number of the key of this token's entry, which is checked to be its own and whole.
    fn find(&self, kind: Kind) -> Option<u32> {
        let found = self.set.find(RawToken::new(kind.token.as_bytes()), kind.tag)?;
        assert_eq!(found.kind.token, kind.token, "another token was found");
        let parts = [&found.key, &found.claims].map(|part| part.load(Ordering::Relaxed));
        assert!(parts[0] != 0 && parts[0] == parts[1], "half an entry was found: {parts:?}");
        Some(parts[0])
    }

    /// Checks, while nothing else runs, that the set is within its budget, the account is true and no token is in twice.
    fn check(&self) {
        let mut tokens: Vec<_> = self.set.entries.iter().filter_map(|slot| Some(slot.load().as_ref()?.kind)).collect();
        let bytes: usize = tokens.iter().map(|kind| kind.bytes).sum();
        assert!(bytes <= SET_BYTES, "{bytes} bytes in the set");
        assert_eq!(self.counts(), (tokens.len(), bytes), "entries and bytes in the account");
        let entries = tokens.len();
        tokens.sort_by_key(|kind| kind.token);
        tokens.dedup_by_key(|kind| kind.token);
        assert_eq!(tokens.len(), entries, "a token is in twice");
    }

    /// The counted entries and bytes.
    fn counts(&self) -> (usize, usize) {
        [&self.metrics.entries, &self.metrics.bytes].map(|gauge| usize::try_from(gauge.get()).unwrap()).into()
    }
}

/// Runs a scene in every order that takes a turn away from a thread [`PREEMPTIONS`] times at most.
fn in_every_order(scene: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(scene);
}

#[test]
fn a_reader_gets_whole_entries_of_its_own_token() {
    for tags in [[7, 8, 9], [7, 7, 7]] {
        in_every_order(move || {
            let [a, b, c] = [(A, 0), (B, 1), (C, 2)].map(|(kind, at)| Kind { tag: tags[at], ..kind });
            let world = World::with(&[a]);
            let writer = thread::spawn({
                let world = Arc::clone(&world);
                move || [b, c, a].into_iter().for_each(|kind| world.insert(kind, 2))
            });
            for kind in [c, a] {
                world.find(kind);
            }
            writer.join().unwrap();
            world.check();
            assert_eq!(world.find(a), Some(2));
        });
    }
}

#[test]
fn writers_of_one_set_keep_its_budget_and_the_account() {
    in_every_order(|| {
        let world = World::with(&[A]);
        let writers = [[B, LARGE], [A, C]].map(|kinds| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                for kind in kinds {
                    world.insert(kind, 2);
                    let (entries, bytes) = world.counts();
                    assert!(entries <= WAYS && bytes <= SET_BYTES, "{entries} entries of {bytes} bytes");
                }
            })
        });
        for kind in [LARGE, A] {
            world.find(kind);
        }
        for writer in writers {
            writer.join().unwrap();
        }
        world.check();
        world.set.clear(&world.metrics);
        assert_eq!(world.counts(), (0, 0));
    });
}

#[test]
fn what_was_inserted_is_found_while_there_is_room() {
    in_every_order(|| {
        let world = World::with(&[]);
        let writers = [A, B].map(|kind| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.insert(kind, 1);
                assert_eq!(world.find(kind), Some(1), "{} is lost", kind.token);
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!([A, B].map(|kind| world.find(kind)), [Some(1), Some(1)]);
        world.check();
    });
}

#[test]
fn who_sees_the_tag_sees_the_entry() {
    in_every_order(|| {
        let world = World::with(&[]);
        let writer = thread::spawn({
            let world = Arc::clone(&world);
            move || world.insert(A, 1)
        });
        // Without an order of its own, so that it is the set's that makes the entry seen.
        if world.set.tags[0].load(Ordering::Relaxed) == A.tag {
            assert_eq!(world.find(A), Some(1));
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_replaced_entry_is_not_found_again() {
    in_every_order(|| {
        let world = World::with(&[B, A]);
        let is_replaced = Arc::new(AtomicBool::new(false));
        let writer = thread::spawn({
            let (world, is_replaced) = (Arc::clone(&world), Arc::clone(&is_replaced));
            move || {
                world.insert(A, 2);
                is_replaced.store(true, Ordering::Release);
            }
        });
        let is_old_allowed = !is_replaced.load(Ordering::Acquire);
        let key = world.find(A);
        assert!(key == Some(2) || key == Some(1) && is_old_allowed, "{key:?}");
        writer.join().unwrap();
        assert_eq!((world.find(A), world.find(B)), (Some(2), Some(1)));
        world.check();
    });
}

#[test]
fn writers_of_one_token_leave_one_entry() {
    in_every_order(|| {
        let world = World::with(&[B]);
        let writers = [2, 3].map(|key| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.insert(A, key);
                assert!(world.find(A).is_some_and(|found| found >= 2));
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        assert!(world.find(A).is_some_and(|found| found >= 2));
        world.check();
        assert_eq!(world.counts(), (2, 2));
    });
}

#[test]
fn a_newcomer_stays_while_every_entry_is_in_use() {
    in_every_order(|| {
        let world = World::with(&[A, B]);
        assert_eq!([A, B].map(|kind| world.find(kind)), [Some(1), Some(1)]);
        let reader = thread::spawn({
            let world = Arc::clone(&world);
            move || [A, B].map(|kind| world.find(kind))
        });
        world.insert(C, 1);
        assert_eq!(world.find(C), Some(1), "displaced by itself");
        reader.join().unwrap();
        world.check();
    });
}
