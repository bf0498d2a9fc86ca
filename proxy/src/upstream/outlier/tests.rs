//! Endpoints that are ejected, asked, and taken back: with moments that are made up, and on several threads at once.

use std::{num::NonZeroU32, thread};

use super::*;
use crate::config::model::Percent;

const SECOND: Duration = Duration::from_secs(1);

fn config(failures: u32, max_ejected: u8) -> OutlierConfig {
    OutlierConfig {
        consecutive_failures: NonZeroU32::new(failures).unwrap(),
        eject_for: SECOND,
        max_ejected: Percent(max_ejected),
        statuses: Box::default(),
    }
}

/// Endpoints of one pool, and a moment after they were made.
fn standings<const N: usize>(config: &OutlierConfig) -> ([Standing; N], Instant) {
    let tally = Arc::default();
    let standings = std::array::from_fn(|_| Standing::new(Some(config), true, &tally));
    tally.limit(N, Some(config));
    (standings, Instant::now() + SECOND)
}

/// So many requests that come and fail.
fn fail(standing: &Standing, times: usize, now: Instant) -> Option<Duration> {
    (0..times).filter_map(|_| standing.fail(standing.admit_anyway(), now)).last()
}

fn fail_one(standing: &Standing, now: Instant) -> Option<Duration> {
    fail(standing, 1, now)
}

fn succeed(standing: &Standing) {
    standing.succeed(standing.admit_anyway());
}

#[test]
fn failures_in_a_row_eject() {
    let ([one, _], now) = standings::<2>(&config(3, 50));
    assert_eq!(fail(&one, 2, now), None);
    succeed(&one);
    assert_eq!(fail(&one, 2, now), None);
    assert!(one.is_available() && one.ejected_until().is_none());
    assert_eq!(fail_one(&one, now), Some(SECOND));
    assert!(!one.is_available());
    // In milliseconds, and not before the time is over.
    let until = one.ejected_until().unwrap();
    assert!((now + SECOND - Duration::from_millis(2)..=now + SECOND).contains(&until));
}

#[test]
fn what_becomes_of_requests_while_it_is_out_changes_nothing() {
    let ([one, _], now) = standings::<2>(&config(2, 50));
    fail(&one, 2, now);
    let until = one.ejected_until();
    assert_eq!(fail(&one, 5, now + SECOND), None);
    succeed(&one);
    assert_eq!((one.is_available(), one.ejected_until()), (false, until));
}

#[test]
fn the_first_request_after_an_ejection_decides() {
    let ([one, _], now) = standings::<2>(&config(3, 50));
    fail(&one, 3, now);
    one.readmit();
    assert!(one.is_available() && one.ejected_until().is_none());
    // Ejected at once, and for longer.
    assert_eq!(fail_one(&one, now), Some(SECOND * 2));
    one.readmit();
    succeed(&one);
    // Cleared: three are needed again, and it is the first time.
    assert_eq!(fail(&one, 2, now), None);
    assert_eq!(fail_one(&one, now), Some(SECOND));
}

#[test]
fn time_and_again_it_is_out_for_longer_up_to_ten_times() {
    let ([one, _], now) = standings::<2>(&config(1, 50));
    for times in 1..=12 {
        assert_eq!(fail_one(&one, now), Some(SECOND * times.min(10)), "{times}");
        one.readmit();
    }
    let ([one, _], now) = standings::<2>(&config(1, 50));
    fail_one(&one, now);
    for times in 2..=12 {
        one.extend(now);
        let until = one.ejected_until().unwrap();
        assert!(until <= now + SECOND * times.min(10) && until > now + SECOND * (times.min(10) - 1), "{times}");
    }
}

#[test]
fn only_a_share_may_be_out_but_always_one_of_several() {
    for (endpoints, percent, expected) in
        [(1, 100, 0), (2, 0, 1), (2, 100, 2), (3, 50, 1), (4, 50, 2), (10, 30, 3), (3, 100, 3)]
    {
        let (all, now) = standings::<10>(&config(1, percent));
        all[0].tally.limit(endpoints, Some(&config(1, percent)));
        let ejected = all[..endpoints].iter().filter(|one| fail_one(one, now).is_some()).count();
        assert_eq!(ejected, expected, "{percent} % of {endpoints}");
    }
}

/// A share that is full is no pardon: the next failure asks again.
#[test]
fn who_waits_for_a_place_among_the_ejected_gets_the_next() {
    let ([one, two, _], now) = standings::<3>(&config(2, 50));
    fail(&one, 2, now);
    assert_eq!(fail(&two, 7, now), None);
    one.readmit();
    assert_eq!(fail_one(&two, now), Some(SECOND));
    // It is on probation, and there is no place for it any more.
    assert_eq!(fail(&one, 3, now), None);
    assert!(one.is_available());
}

#[test]
fn health_checks_take_a_place_too() {
    let ([one, two, three], now) = standings::<3>(&config(1, 70));
    one.check(false);
    one.check(false);
    assert!(!one.is_available() && one.ejected_until().is_none());
    assert_eq!((fail_one(&two, now), fail_one(&three, now)), (Some(SECOND), None));
    one.check(true);
    assert_eq!(fail_one(&three, now), Some(SECOND));
    // They do not ask for one, and what was found unwell is not ejected on top of it.
    one.check(false);
    assert_eq!((one.is_available(), fail_one(&one, now)), (false, None));
    two.check(false);
    two.readmit();
    assert!(!two.is_available());
    two.check(true);
    assert!(two.is_available());
}

/// Whoever health checks took out: one of those that are left, and never the last.
#[test]
fn one_may_always_be_ejected_but_not_the_last() {
    for (unwell, expected) in [(0, 1), (1, 1), (2, 1), (3, 0), (4, 0)] {
        let (all, now) = standings::<4>(&config(1, 0));
        all.iter().take(unwell).for_each(|one| one.check(false));
        let ejected = all.iter().filter(|one| fail_one(one, now).is_some()).count();
        assert_eq!(ejected, expected, "{unwell} unwell");
    }
}

/// One of weight 0 is asked whether it is well, like all others.
#[test]
fn who_has_no_share_takes_no_place() {
    let (config, tally) = (config(1, 50), Arc::default());
    let [one, two, idle] = [true, true, false].map(|has_share| Standing::new(Some(&config), has_share, &tally));
    tally.limit(2, Some(&config));
    let now = Instant::now();
    idle.check(false);
    assert_eq!((idle.is_available(), tally.out()), (false, 0));
    assert_eq!((fail_one(&idle, now), fail_one(&one, now), fail_one(&two, now)), (None, Some(SECOND), None));
    idle.check(true);
    assert_eq!((idle.is_available(), fail_one(&idle, now), tally.out()), (true, None, 1));
}

#[test]
fn what_was_sent_before_an_ejection_or_a_return_decides_nothing_after_it() {
    let ([one, _], now) = standings::<2>(&config(1, 50));
    let before = one.admit_anyway();
    fail_one(&one, now);
    let meanwhile = one.admit_anyway();
    one.readmit();
    for pass in [before, meanwhile] {
        assert_eq!(one.fail(pass, now), None);
        one.succeed(pass);
    }
    // Neither ejected again nor cleared: it is on probation, and was ejected once.
    assert_eq!(fail_one(&one, now), Some(SECOND * 2));
    // The same after health checks took it out: it may be well again since.
    let ([one, _], now) = standings::<2>(&config(2, 50));
    let before = [one.admit_anyway(), one.admit_anyway()];
    one.check(false);
    one.check(true);
    assert_eq!(before.map(|pass| one.fail(pass, now)), [None, None]);
    assert_eq!(fail(&one, 2, now), Some(SECOND));
}

fn on_probation() -> (Standing, Instant) {
    let ([one, _], now) = standings::<2>(&config(3, 50));
    fail(&one, 3, now);
    one.readmit();
    (one, now)
}

#[test]
fn on_probation_there_is_one_request_until_it_is_decided() {
    let (one, now) = on_probation();
    assert!(one.is_open(|| now) && one.is_available());
    let trial = one.admit(|| now).unwrap();
    assert!(one.is_available() && !one.is_open(|| now) && one.admit(|| now).is_none());
    one.succeed(trial);
    assert!(one.is_open(|| now) && one.admit(|| now).is_some());
    // What it leaves behind is not the next one's.
    one.leave(trial);
    assert!(one.is_open(|| now));

    let (one, now) = on_probation();
    let trial = one.admit(|| now).unwrap();
    assert_eq!(one.fail(trial, now), Some(SECOND * 2));
    let until = one.ejected_until();
    one.leave(trial);
    assert_eq!((one.is_available(), one.ejected_until()), (false, until));
}

/// Its client left, or whatever else was not the endpoint's doing.
#[test]
fn a_trial_that_came_to_nothing_is_followed_by_another() {
    let (one, now) = on_probation();
    let first = one.admit(|| now).unwrap();
    one.leave(first);
    assert!(one.is_open(|| now));
    let later = now + Duration::from_millis(1);
    let second = one.admit(|| later).unwrap();
    // Long gone.
    one.leave(first);
    assert!(!one.is_open(|| later));
    one.leave(second);
    assert!(one.is_open(|| later));
}

#[test]
fn a_trial_without_an_end_keeps_others_away_for_as_long_as_the_endpoint_was_out() {
    let (one, now) = on_probation();
    assert!(one.admit(|| now).is_some());
    assert!(one.admit(|| now + SECOND - Duration::from_millis(2)).is_none());
    let second = one.admit(|| now + SECOND).unwrap();
    assert!(one.admit(|| now + SECOND).is_none());
    assert_eq!(one.fail(second, now + SECOND), Some(SECOND * 2));
    one.readmit();
    assert!(one.admit(|| now).is_some());
    assert!(one.admit(|| now + SECOND).is_none() && one.admit(|| now + SECOND * 2).is_some());
}

/// There is no place for it among the ejected: it stays on probation, with one request at a time.
#[test]
fn a_trial_that_failed_without_ejecting_is_followed_by_another() {
    let ([one, two], now) = standings::<2>(&config(1, 50));
    fail_one(&one, now);
    one.readmit();
    fail_one(&two, now);
    let trial = one.admit(|| now).unwrap();
    assert_eq!(one.fail(trial, now), None);
    assert!(one.is_available() && !one.is_open(|| now));
    one.leave(trial);
    assert!(one.is_open(|| now));
}

/// Otherwise nobody asks what time it is.
#[test]
fn the_clock_is_read_only_for_a_trial() {
    let unread = || panic!("the clock was read");
    let ([one, _], now) = standings::<2>(&config(1, 50));
    assert!(one.is_open(unread) && one.admit(unread).is_some());
    fail_one(&one, now);
    assert!(!one.is_open(unread));
    one.readmit();
    assert!(one.is_open(unread));
}

#[test]
fn a_trial_is_taken_by_one_thread() {
    for _ in 0..200 {
        let (one, now) = on_probation();
        let one = Arc::new(one);
        let worker = |_| {
            let one = Arc::clone(&one);
            thread::spawn(move || one.admit(|| now).is_some())
        };
        let workers: Vec<_> = (0..4).map(worker).collect();
        assert_eq!(workers.into_iter().filter_map(|worker| worker.join().unwrap().then_some(())).count(), 1);
    }
}

#[test]
fn what_is_gone_counts_nowhere() {
    let ([one, two, three], now) = standings::<3>(&config(1, 50));
    fail_one(&one, now);
    one.retire();
    assert_eq!(one.ejected_until(), None);
    for change in [Standing::readmit, succeed, Standing::retire, |one: &Standing| one.check(false)] {
        change(&one);
    }
    assert_eq!((fail_one(&two, now), fail_one(&three, now)), (Some(SECOND), None));
    assert_eq!(one.tally.out(), 1);
}

#[test]
fn without_rules_requests_change_nothing() {
    let tally = Arc::default();
    let one = Standing::new(None, true, &tally);
    tally.limit(3, None);
    assert_eq!(fail(&one, 1000, Instant::now()), None);
    one.check(false);
    assert!(!one.is_available());
}

/// Every endpoint fails on four threads at once, again and again: never are more out than may be, each ejection is made by one
/// thread, and in the end the count is right.
#[test]
fn it_is_exact_on_several_threads() {
    const ROUNDS: usize = 2000;
    let (all, now) = standings::<4>(&config(3, 50));
    let all = Arc::new(all);
    let worker = |number: usize| {
        let all = Arc::clone(&all);
        thread::spawn(move || {
            let mut ejected = 0;
            for round in 0..ROUNDS {
                let one = &all[(number + round) % all.len()];
                ejected += usize::from(fail_one(one, now).is_some());
                assert!(one.tally.ejected() <= 2);
                if round % 5 == 0 {
                    one.readmit();
                }
                if round % 7 == 0 {
                    one.check(round % 2 == 0);
                    one.check(true);
                }
            }
            ejected
        })
    };
    let workers: Vec<_> = (0..4).map(worker).collect();
    let ejected: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    assert!(ejected > 0);
    let out = all.iter().filter(|one| !one.is_available()).count();
    assert_eq!(usize::try_from(all[0].tally.out()), Ok(out));
    all.iter().for_each(Standing::readmit);
    assert_eq!(all[0].tally.out(), 0);
}
