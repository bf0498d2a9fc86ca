//! What answers, and the lack of them, make of the addresses behind a name.

use std::num::NonZeroU16;

use super::*;

const TTL: Duration = Duration::from_secs(30);

fn discovery() -> Discovery {
    discovery_of(&[])
}

/// Of a name that had these addresses before.
fn discovery_of(known: &[&str]) -> Discovery {
    let known = known.iter().map(|known| known.parse().unwrap()).collect();
    Discovery::new(&DnsName { host: "items.test".into(), port: NonZeroU16::new(80).unwrap() }, known)
}

fn bounds(min_ttl: u64, max_ttl: u64) -> ResolverConfig {
    let (min_ttl, max_ttl) = (Duration::from_secs(min_ttl), Duration::from_secs(max_ttl));
    ResolverConfig { min_ttl, max_ttl, ..ResolverConfig::default() }
}

fn answer(addresses: &[&str]) -> Answer {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Answer { addresses, ttl: TTL, unknown: None }
}

fn note(discovery: &mut Discovery, answer: &Answer, bounds: &ResolverConfig) -> Outcome {
    discovery.note(Some(answer), bounds, 0.5)
}

fn fail(discovery: &mut Discovery, bounds: &ResolverConfig) -> Outcome {
    discovery.note(None, bounds, 0.5)
}

fn known(discovery: &Discovery) -> Vec<String> {
    discovery.known().iter().map(ToString::to_string).collect()
}

#[test]
fn another_order_or_a_repetition_changes_nothing() {
    let (mut discovery, bounds) = (discovery(), bounds(1, 60));
    let first = note(&mut discovery, &answer(&["10.0.0.2", "10.0.0.1", "fd00::1"]), &bounds);
    assert_eq!(first, Outcome { wait: TTL, is_answered: true, is_changed: true, ..Outcome::default() });
    assert_eq!(known(&discovery), ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]);
    for same in [["fd00::1", "10.0.0.1", "10.0.0.2", "10.0.0.1"], ["10.0.0.2", "::ffff:10.0.0.1", "fd00::1", "fd00::1"]]
    {
        assert!(!note(&mut discovery, &answer(&same), &bounds).is_changed, "{same:?}");
    }
    assert!(note(&mut discovery, &answer(&["10.0.0.1"]), &bounds).is_changed);
    assert_eq!(known(&discovery), ["10.0.0.1:80"]);
}

#[test]
fn the_time_to_live_is_kept_within_bounds() {
    for (ttl, expected) in [(0, 2), (1, 2), (2, 2), (9, 9), (60, 60), (61, 60), (u64::MAX, 60)] {
        let answer = Answer { ttl: Duration::from_secs(ttl), ..answer(&["10.0.0.1"]) };
        assert_eq!(note(&mut discovery(), &answer, &bounds(2, 60)).wait.as_secs(), expected, "{ttl}");
    }
}

#[test]
fn what_is_no_answer_leaves_the_addresses_and_is_told_once() {
    let (mut discovery, bounds) = (discovery(), bounds(1, 10));
    note(&mut discovery, &answer(&["10.0.0.1"]), &bounds);
    let failures: Vec<_> = (0..6).map(|_| fail(&mut discovery, &bounds)).collect();
    let waits: Vec<_> = failures.iter().map(|failure| failure.wait.as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
    let turns: Vec<_> = failures.iter().map(|failure| failure.turn).collect();
    assert_eq!(turns, [Some(Turn::Out), None, None, None, None, None]);
    assert!(failures.iter().all(|failure| !failure.is_changed));
    assert_eq!(known(&discovery), ["10.0.0.1:80"]);

    let back = note(&mut discovery, &answer(&["10.0.0.1"]), &bounds);
    assert_eq!(
        back,
        Outcome { wait: Duration::from_secs(10), is_answered: true, turn: Some(Turn::Back), ..Outcome::default() }
    );
    assert_eq!(note(&mut discovery, &answer(&["10.0.0.1"]), &bounds).turn, None);
    assert_eq!(fail(&mut discovery, &bounds).wait.as_secs(), 1, "it begins anew");
}

#[test]
fn waits_after_failures_are_spread_and_never_overflow() {
    let bounds = bounds(1, 24 * 3600);
    let mut discovery = discovery();
    for (random, milliseconds) in [(0.0, 900), (1.0, 2200), (0.5, 4000)] {
        assert_eq!(discovery.note(None, &bounds, random).wait.as_millis(), milliseconds);
    }
    let last = (0..100).map(|_| fail(&mut discovery, &bounds).wait).last();
    assert_eq!(last, Some(Duration::from_secs(24 * 3600)));
}

#[test]
fn an_answer_without_an_address_is_none() {
    let (mut discovery, bounds) = (discovery(), bounds(1, 60));
    note(&mut discovery, &answer(&["10.0.0.1"]), &bounds);
    for nobody in [&[][..], &["0.0.0.0"], &["::", "::ffff:0.0.0.0"], &["224.0.0.1", "ff02::1", "255.255.255.255"]] {
        let outcome = note(&mut discovery, &answer(nobody), &bounds);
        assert!(!outcome.is_changed && !outcome.is_answered, "{nobody:?}");
        assert_eq!(known(&discovery), ["10.0.0.1:80"], "{nobody:?}");
    }
    assert!(note(&mut discovery, &answer(&["0.0.0.0", "10.0.0.2"]), &bounds).is_changed);
    assert_eq!(known(&discovery), ["10.0.0.2:80"], "what somebody is at counts");
}

#[test]
fn a_family_that_nothing_was_said_about_stays() {
    let (mut discovery, bounds) = (discovery(), bounds(1, 60));
    note(&mut discovery, &answer(&["10.0.0.1", "fd00::1"]), &bounds);
    let partial = |addresses: &[&str], unknown| Answer { unknown: Some(unknown), ..answer(addresses) };
    note(&mut discovery, &partial(&["10.0.0.2"], Family::V6), &bounds);
    assert_eq!(known(&discovery), ["10.0.0.2:80", "[fd00::1]:80"]);
    note(&mut discovery, &partial(&["fd00::2"], Family::V4), &bounds);
    assert_eq!(known(&discovery), ["10.0.0.2:80", "[fd00::2]:80"]);
    note(&mut discovery, &answer(&["10.0.0.2"]), &bounds);
    assert_eq!(known(&discovery), ["10.0.0.2:80"], "a family that there is none of any more goes");
}

#[test]
fn only_so_many_addresses_count_and_the_rest_is_told_once() {
    let (mut discovery, bounds) = (discovery(), bounds(1, 60));
    let many = |count: u16| {
        let addresses =
            (0..count).rev().map(|number| IpAddr::from([10, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]]));
        Answer { addresses: addresses.collect(), ttl: TTL, unknown: None }
    };
    assert_eq!(note(&mut discovery, &many(256), &bounds).left_out, None);
    let outcome = note(&mut discovery, &many(300), &bounds);
    assert_eq!((outcome.is_changed, outcome.left_out), (false, Some(44)), "the lowest stay");
    assert_eq!(note(&mut discovery, &many(301), &bounds).left_out, None, "told already");
    assert_eq!(discovery.known().len(), MAX_ADDRESSES);
    note(&mut discovery, &many(10), &bounds);
    assert_eq!(note(&mut discovery, &many(300), &bounds).left_out, Some(44));
}

#[test]
fn what_was_known_before_holds_until_there_is_an_answer() {
    let (mut discovery, bounds) = (discovery_of(&["10.0.0.2:80", "10.0.0.1:80"]), bounds(1, 60));
    assert!(!fail(&mut discovery, &bounds).is_changed);
    assert_eq!(known(&discovery), ["10.0.0.1:80", "10.0.0.2:80"]);
    assert!(!note(&mut discovery, &answer(&["10.0.0.2", "10.0.0.1"]), &bounds).is_changed);
    assert!(note(&mut discovery, &answer(&["10.0.0.2"]), &bounds).is_changed);
    assert_eq!(known(&discovery), ["10.0.0.2:80"]);
}
