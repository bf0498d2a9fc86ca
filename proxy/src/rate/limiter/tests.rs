//! The accounts of many: none takes more than it has, whoever else takes, and memory has an end.

use std::{
    num::NonZeroU32,
    sync::{Barrier, atomic::AtomicU32},
    thread,
    time::Duration,
};

use prometheus::Registry;

use std::sync::atomic::Ordering;

use super::*;
use crate::config::model::Rate;

mod orders;

const SMALLEST: usize = 1024;

/// A limiter whose places are the same in every run, and when it began.
fn limiter(capacity: usize) -> (RateLimiter, Instant) {
    let metrics = RateMetrics::register(&Registry::new()).unwrap();
    let began = Instant::now();
    (RateLimiter::new(capacity, RandomState::with_seeds(1, 2, 3, 4), began, metrics), began)
}

/// The places that are taken.
fn kept(limiter: &RateLimiter) -> usize {
    usize::try_from(limiter.tally.metrics().keys.get()).unwrap()
}

fn per_second(count: u32, burst: u32) -> Quota {
    let [count, burst] = [count, burst].map(|number| NonZeroU32::new(number).unwrap());
    Quota::new(Rate { count, period: Duration::from_secs(1) }, burst)
}

fn user(sub: &str) -> Account<'_> {
    Account { route: Some("GET /a"), whose: Whose::User { issuer: "https://i", sub } }
}

#[test]
fn everyone_and_every_route_has_an_account_of_its_own() {
    let (limiter, now) = limiter(SMALLEST);
    let quota = per_second(1, 1);
    let source = |last| Whose::Source(Subscriber::of([192, 0, 2, last].into()));
    let accounts = [
        user("a"),
        user("b"),
        Account { route: Some("GET /b"), ..user("a") },
        Account { route: None, ..user("a") },
        Account { whose: Whose::User { issuer: "https://j", sub: "a" }, ..user("a") },
        Account { whose: Whose::Client { issuer: "https://i", client_id: "a" }, ..user("a") },
        Account { whose: source(1), ..user("a") },
        Account { whose: source(2), ..user("a") },
    ];
    for (count, account) in (1..).zip(&accounts) {
        assert!(limiter.take(account, quota, now).is_ok(), "{account:?}");
        assert!(limiter.take(account, quota, now).is_err(), "{account:?}");
        assert_eq!(limiter.tally.metrics().keys.get(), count);
    }
    assert!(limiter.take(&user("a"), per_second(1, 2), now).is_ok(), "another quota is another account");
    assert_eq!(limiter.tally.metrics().evictions.get(), 0);
}

#[test]
fn a_look_takes_nothing_and_an_idle_limiter_has_no_memory() {
    let (limiter, now) = limiter(SMALLEST);
    let quota = per_second(1, 1);
    assert_eq!(limiter.peek(&user("a"), quota, now), Ok(()));
    assert!(limiter.segments.iter().all(|segment| segment.get().is_none()));
    assert_eq!(limiter.take(&user("a"), quota, now), Ok(Allowance { left: 0, more_in: 1 }));
    assert_eq!(limiter.peek(&user("a"), quota, now), Err(Exhausted { retry_after: 1 }));
    assert_eq!(limiter.peek(&user("b"), quota, now), Ok(()));
    assert_eq!(limiter.peek(&user("a"), quota, now + Duration::from_secs(1)), Ok(()));
}

#[test]
fn a_flood_takes_only_places_that_owe_less() {
    let (limiter, began) = limiter(SMALLEST);
    let (quota, small) = (per_second(1, 1_000), per_second(1, 1));
    let mut debtor = 0;
    while limiter.take(&user("debtor"), quota, began).is_ok() {
        debtor += 1;
    }
    assert_eq!(debtor, 1_000);
    let flood = 100 * SMALLEST;
    for number in 0..flood {
        let address = std::net::Ipv4Addr::from(u32::try_from(number).unwrap());
        let stranger = Account { route: Some("GET /b"), whose: Whose::Source(Subscriber::of(address.into())) };
        assert!(limiter.take(&stranger, small, began).is_ok(), "{number}");
    }
    assert!(limiter.take(&user("debtor"), quota, began).is_err(), "the debtor was forgotten");
    assert_eq!(kept(&limiter), SMALLEST);
    assert_eq!(limiter.tally.metrics().evictions.get(), u64::try_from(flood + 1 - SMALLEST).unwrap());
}

/// Accounts that owe for an hour do not push out those that owe for a second, however many there are, and not the other way
/// round either.
#[test]
fn a_flood_on_one_route_takes_nothing_from_the_limits_of_others() {
    const SECONDS: u32 = 10;
    const STRANGERS: u32 = 1_000;
    let hour = Quota::of_rate(Rate { count: NonZeroU32::MIN, period: Duration::from_secs(3600) });
    let second = per_second(5, 5);
    for (case, flooding, watched, due) in
        [("hours flood", hour, second, 5 + 5 * SECONDS), ("seconds flood", second, hour, 1)]
    {
        let (limiter, began) = limiter(SMALLEST);
        let (mut granted, mut number) = (0, 0);
        for tick in 0..SECONDS * 20 {
            let now = began + Duration::from_millis(50) * tick;
            for _ in 0..STRANGERS {
                number += 1;
                let address = std::net::Ipv4Addr::from(number);
                let stranger = Account { route: Some("GET /b"), whose: Whose::Source(Subscriber::of(address.into())) };
                assert!(limiter.take(&stranger, flooding, now).is_ok(), "{case}");
            }
            granted += u32::from(limiter.take(&user("watched"), watched, now).is_ok());
        }
        assert!(limiter.tally.metrics().evictions.get() > u64::from(STRANGERS), "{case}");
        assert!((due - due / 20..=due).contains(&granted), "{case}: {granted} of {due}");
    }
}

#[test]
fn a_place_that_owes_nothing_is_taken_and_nobody_is_evicted() {
    let (limiter, began) = limiter(SMALLEST);
    let quota = per_second(1, 1);
    for second in 0..20 {
        let now = began + Duration::from_secs(second);
        for number in 0..100 {
            assert!(limiter.take(&user(&format!("{second} {number}")), quota, now).is_ok());
        }
    }
    assert_eq!(limiter.tally.metrics().evictions.get(), 0);
}

#[test]
fn what_is_dropped_leaves_the_gauge() {
    let (limiter, now) = limiter(SMALLEST);
    let keys = limiter.tally.metrics().keys.clone();
    for number in 0..100 {
        limiter.take(&user(&number.to_string()), per_second(1, 1), now).unwrap();
    }
    assert_eq!(keys.get(), 100);
    drop(limiter);
    assert_eq!(keys.get(), 0);
}

#[test]
fn the_capacity_is_rounded_up_to_whole_segments() {
    for (asked, places) in [(1, 1024), (1024, 1024), (1025, 2048), (1_048_576, 1_048_576)] {
        let (limiter, _) = limiter(asked);
        assert_eq!((limiter.capacity(), limiter.segments.len() * SEGMENT_SETS * WAYS), (asked, places));
    }
}

/// Threads that take from one account, new or not, never take more than it has, and never less.
#[test]
fn threads_share_what_there_is_exactly() {
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 300;
    const BURST: u32 = 50;
    let (limiter, now) = limiter(64 * SMALLEST);
    let (taken, barrier) = (AtomicU32::new(0), Barrier::new(usize::try_from(THREADS).unwrap()));
    let quota = per_second(1, BURST);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let sub = round.to_string();
                    barrier.wait();
                    let granted = (0..BURST).filter(|_| limiter.take(&user(&sub), quota, now).is_ok()).count();
                    taken.fetch_add(u32::try_from(granted).unwrap(), Ordering::Relaxed);
                    if barrier.wait().is_leader() {
                        assert_eq!(taken.swap(0, Ordering::Relaxed), BURST, "round {round}");
                    }
                }
            });
        }
    });
    assert_eq!(limiter.tally.metrics().keys.get(), i64::from(ROUNDS));
}

/// Threads that open accounts in the very same few sets: whoever keeps its place is limited exactly.
#[test]
fn threads_that_fight_for_places_take_no_more_than_there_is() {
    const THREADS: u64 = 4;
    const TAKES: u64 = 20_000;
    let (limiter, now) = limiter(SMALLEST);
    let (watched, strangers) = (per_second(1, 1_000), per_second(1, 1));
    let granted: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let limiter = &limiter;
                scope.spawn(move || {
                    let mut granted = 0;
                    for take in 0..TAKES {
                        let number = (thread * TAKES + take).to_string();
                        assert!(limiter.take(&user(&number), strangers, now).is_ok());
                        granted += u64::from(limiter.take(&user("watched"), watched, now).is_ok());
                    }
                    granted
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(granted, 1_000);
    assert_eq!(kept(&limiter), SMALLEST);
}

/// A thousand callers who ask five times as often as they may: each has its rate and its burst, and no more.
#[test]
fn a_thousand_callers_have_their_rate_within_a_twentieth() {
    const CALLERS: usize = 1_000;
    const SECONDS: u32 = 10;
    let (rate, burst) = (20, 40);
    let (limiter, began) = limiter(1024 * SMALLEST);
    let quota = per_second(rate, burst);
    let mut random = fastrand::Rng::with_seed(11);
    let mut asked: Vec<(Duration, usize)> = (0..CALLERS)
        .flat_map(|caller| (0..rate * SECONDS * 5).map(move |_| caller))
        .map(|caller| (Duration::from_secs(u64::from(SECONDS)).mul_f64(random.f64()), caller))
        .collect();
    asked.sort_unstable();
    let names: Vec<_> = (0..CALLERS).map(|caller| caller.to_string()).collect();
    let mut granted = vec![0; CALLERS];
    for (after, caller) in asked {
        granted[caller] += u32::from(limiter.take(&user(&names[caller]), quota, began + after).is_ok());
    }
    let due = rate * SECONDS + burst;
    assert!(granted.iter().all(|granted| (due * 95 / 100..=due).contains(granted)), "{due}: {granted:?}");
    assert_eq!(limiter.tally.metrics().evictions.get(), 0);
}
