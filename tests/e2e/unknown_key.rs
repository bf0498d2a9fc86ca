//! Tokens that name a key which is not known: the first token of a new key, and the many of somebody who makes names up.

use std::{
    thread,
    time::{Duration, Instant},
};

use cognigate_auth::policy::TokenUse;
use e2e::{
    client::{Client, Request, get},
    edge::Edge,
    pool::{KID, key},
    upstream::Answer,
    wait::eventually,
};
use serde_json::{Value, json};

use crate::{edge, reason};

/// The shortest time between two fetches that tokens ask for.
const BETWEEN_DEMANDS: Duration = Duration::from_secs(10);

/// Requests that may wait for a fetch.
const MAX_WAITING: usize = 64;

/// Far longer than an answer takes, far shorter than a wait for a fetch that does not end (1 second).
const AT_ONCE: Duration = Duration::from_millis(500);

/// A fetch that is not answered takes far longer than the tests below.
const PATIENT: (&str, &str) =
    ("user_pools", r#"{ main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS", jwks: { timeout: 30s } } }"#);

/// A request with a token that the key of this name signed.
fn signed_by(edge: &Edge, kid: &str, changes: &Value) -> Request {
    get("/items/1").token(&edge.pool.token(&key(kid), TokenUse::Id, changes))
}

fn timed(client: &mut Client, request: &Request) -> (Option<String>, Duration) {
    let started = Instant::now();
    let response = client.ask(request);
    (reason(&response).map(str::to_owned), started.elapsed())
}

#[test]
fn a_new_key_works_on_its_first_token() {
    let edge = edge(&[]);
    edge.keys.publish([&key(KID), &key("key-2")]);
    assert_eq!(edge.ask(&signed_by(&edge, "key-2", &json!({}))).status, 200);
    assert_eq!(edge.ask(&signed_by(&edge, KID, &json!({}))).status, 200);
    let metrics = edge.proxy.metrics();
    assert_eq!(metrics.sum("cognigate_jwks_rotations_total", &[("user_pool", "main")]), 1.0);
    assert_eq!(metrics.sum("cognigate_jwks_waiting_requests", &[]), 0.0);
    assert_eq!(metrics.sum("cognigate_token_cache_misses_total", &[]), 2.0, "a token that waited is counted once");
    let log = edge.proxy.log();
    assert!(log.lines().any(|line| line.contains("keys rotated") && line.contains("key-2")), "{log}");
}

#[test]
fn the_first_tokens_of_a_new_key_share_one_fetch() {
    let edge = edge(&[]);
    edge.keys.publish([&key(KID), &key("key-2")]);
    let request = signed_by(&edge, "key-2", &json!({}));
    let mut clients: Vec<_> = (0..32).map(|_| edge.client()).collect();
    let statuses: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = clients.iter_mut().map(|client| scope.spawn(|| client.ask(&request).status)).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(statuses, [200; 32]);
    assert_eq!(edge.keys.fetches().len(), 2, "the first of all, and the one that was asked for");
}

#[test]
fn names_that_are_made_up_cause_one_fetch_in_ten_seconds() {
    let edge = edge(&[]);
    let good = signed_by(&edge, KID, &json!({}));
    let mut client = edge.client();
    let made_up: Vec<_> = (0..10).map(|number| signed_by(&edge, &format!("made-up-{number}"), &json!({}))).collect();
    for request in made_up.iter().cycle().take(500) {
        assert_eq!(reason(&client.ask(request)), Some("kid_unknown"));
    }
    assert_eq!(client.ask(&good).status, 200);
    // The first was nobody's wish.
    let asked = &edge.keys.fetches()[1..];
    assert!(!asked.is_empty());
    for (earlier, later) in asked.iter().zip(&asked[1..]) {
        assert!(*later - *earlier >= BETWEEN_DEMANDS, "{:?}", *later - *earlier);
    }
}

#[test]
fn while_a_fetch_hangs_few_wait_and_nobody_for_long() {
    let edge = edge(&[PATIENT]);
    edge.keys.answer(Answer::never());
    let request = signed_by(&edge, "made-up", &json!({}));
    let mut clients: Vec<_> = (0..=MAX_WAITING).map(|_| edge.client()).collect();
    let answers: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = clients.iter_mut().map(|client| scope.spawn(|| timed(client, &request))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|(reason, _)| reason.as_deref() == Some("kid_unknown")), "{answers:?}");
    assert!(answers.iter().any(|(_, wait)| *wait < AT_ONCE), "one had no place: {answers:?}");
    assert!(answers.iter().any(|(_, wait)| *wait > AT_ONCE), "and some had: {answers:?}");

    let mut client = edge.client();
    for _ in 0..10 {
        let (reason, wait) = timed(&mut client, &request);
        assert_eq!(reason.as_deref(), Some("kid_unknown"));
        assert!(wait < AT_ONCE, "nobody waits for what has taken a second: {wait:?}");
    }
    let (reason, wait) = timed(&mut client, &signed_by(&edge, KID, &json!({})));
    assert!(reason.is_none() && wait < AT_ONCE, "{reason:?} {wait:?}");
    assert_eq!(edge.keys.fetches().len(), 2);
    eventually("no place is taken", || {
        (edge.proxy.metrics().sum("cognigate_jwks_waiting_requests", &[]) == 0.0).then_some(())
    });
}

#[test]
fn a_token_that_is_refused_in_any_case_is_not_worth_a_fetch() {
    let edge = edge(&[]);
    for changes in [json!({ "exp": 1 }), json!({ "aud": "stranger" }), json!({ "token_use": "access" })] {
        assert_eq!(reason(&edge.ask(&signed_by(&edge, "key-2", &changes))), Some("kid_unknown"), "{changes}");
        assert_eq!(edge.keys.fetches().len(), 1, "{changes}");
    }
    assert_eq!(reason(&edge.ask(&signed_by(&edge, "key-2", &json!({})))), Some("kid_unknown"));
    assert_eq!(edge.keys.fetches().len(), 2);
}
