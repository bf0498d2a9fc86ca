//! How places change hands, in every order that threads can take turns in: the very source of a set, compiled over a model
//! checker's atomics, which also hand out every stale value that the memory order allows. Sets are small, so that the orders
//! can be counted.

#[expect(clippy::duplicate_mod, reason = "the code under test is the code that is shipped")]
#[path = "../set.rs"]
mod set;
#[expect(clippy::duplicate_mod, reason = "the code under test is the code that is shipped")]
#[path = "../tally.rs"]
mod tally;

/// A model checker's atomics.
mod sync {
    pub(super) use loom::{
        hint::spin_loop,
        sync::atomic::{AtomicU64, Ordering, fence},
    };
}

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use loom::{model::Builder, thread};
use prometheus::Registry;

use self::{set::Set, tally::Tally};
use crate::{config::model::Rate, rate::quota::Quota, telemetry::metrics::RateMetrics};

const WAYS: usize = 2;

/// How often a thread's turn is taken away in one order.
const PREEMPTIONS: usize = 3;

/// Some time after the beginning, in nanoseconds.
const NOW: u64 = 1_000;

/// When all of it is over.
const LATER: u64 = 2_000;

/// Accounts of one limit.
const A: u64 = 0x100;
const B: u64 = 0x200;
const C: u64 = 0x300;

struct World {
    set: Set,
    tally: Tally,
}

impl World {
    fn with(accounts: &[u64]) -> Arc<Self> {
        let metrics = RateMetrics::register(&Registry::new()).unwrap();
        let world = Self { set: Set::default(), tally: Tally::new(metrics) };
        for (now, account) in (0..).zip(accounts) {
            assert!(world.take(*account, 9, now));
        }
        Arc::new(world)
    }

    /// Whether the account had one at this time, of so many at most.
    fn take(&self, account: u64, burst: u32, now: u64) -> bool {
        self.set.take(account, quota(burst), now, &self.tally).is_ok()
    }

    /// The places that are taken.
    fn taken(&self) -> usize {
        usize::try_from(self.tally.metrics().keys.get()).unwrap()
    }

    fn owes_all(&self, account: u64, burst: u32) -> bool {
        self.set.peek(account, quota(burst), LATER).is_err()
    }
}

fn quota(burst: u32) -> Quota {
    let hour = Rate { count: NonZeroU32::MIN, period: Duration::from_secs(3600) };
    Quota::new(hour, NonZeroU32::new(burst).unwrap())
}

/// Runs a scene in every order that takes a turn away from a thread [`PREEMPTIONS`] times at most.
fn in_every_order(scene: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(scene);
}

/// Has each account taken from by a thread of its own, the last by this one. The clocks of the others are so much ahead: a
/// nanosecond, where accounts have to go, because two with the same moment is what is left to chance. Says which had one.
fn take_at_once<const N: usize>(world: &Arc<World>, accounts: [u64; N], burst: u32, ahead: u64) -> Vec<bool> {
    let (last, others) = accounts.split_last().unwrap();
    let others: Vec<_> = others
        .iter()
        .map(|account| {
            let (world, account) = (Arc::clone(world), *account);
            thread::spawn(move || world.take(account, burst, NOW + ahead))
        })
        .collect();
    let last = world.take(*last, burst, NOW);
    others.into_iter().map(|other| other.join().unwrap()).chain([last]).collect()
}

#[test]
fn an_account_that_two_open_at_once_is_one() {
    for others in [&[][..], &[B], &[B, C]] {
        in_every_order(move || {
            let world = World::with(others);
            let taken = take_at_once(&world, [A, A], 1, 1);
            assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "of one there is one");
            assert!(world.owes_all(A, 1));
            // One that had to go for a place that was given back does not return by itself.
            assert!((1..=WAYS.min(others.len() + 1)).contains(&world.taken()), "{}", world.taken());
        });
    }
}

#[test]
fn an_account_that_three_open_at_once_is_one() {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(1);
    builder.check(|| {
        let world = World::with(&[]);
        let taken = take_at_once(&world, [A, A, A], 2, 0);
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 2, "of two there are two");
        assert!(world.owes_all(A, 2));
        assert_eq!(world.taken(), 1);
    });
}

#[test]
fn who_opens_an_account_owes_nothing_of_the_one_before() {
    in_every_order(|| {
        let world = World::with(&[B, C]);
        // Whether it is B or C that has to go, or neither: nobody pays for another.
        assert_eq!(take_at_once(&world, [A, B], 2, 1), [true, true]);
        assert!(!world.owes_all(A, 2));
    });
}

#[test]
fn what_two_take_from_one_account_is_two() {
    in_every_order(|| {
        let world = World::with(&[A]);
        assert_eq!(take_at_once(&world, [A, A], 9, 1), [true, true]);
        assert!((0..6).all(|_| world.take(A, 9, LATER)) && !world.take(A, 9, LATER), "nine in all");
    });
}
