//! What was revoked and taken back here and there, now and earlier: the later holds, whoever hears it when.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// Two processes that share a Redis and know of nothing yet.
fn pair(files: &Files, redis: &Redis) -> (Edge, Proxy) {
    let one = launch_with(files, redis);
    let other = one.twin(BINARY);
    other.wait_ready();
    (one, other)
}

/// Stops Redis, and waits until everyone has noticed.
fn stop(redis: &mut Redis, proxies: [&Proxy; 2]) {
    redis.kill();
    for proxy in proxies {
        await_connected(proxy, 0.0);
    }
}

/// Starts Redis again, empty, and waits until the two have told each other everything.
fn start_again(redis: &mut Redis, one: &Edge, other: &Proxy) {
    redis.restart();
    for proxy in [&one.proxy, other] {
        await_connected(proxy, 1.0);
    }
    agree(one, other);
}

/// Waits until both have heard what the other has said before.
fn agree(one: &Edge, other: &Proxy) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    for (from, to) in [(&one.proxy, other), (other, &one.proxy)] {
        let marker = format!("marker-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        revoke(from, &marker);
        await_refused(to, &session_token(one, &marker));
    }
}

#[track_caller]
fn assert_refused(proxies: [&Proxy; 3], token: &Request, is_expected: bool) {
    assert_eq!(proxies.map(|proxy| is_refused(proxy.address(), token)), [is_expected; 3]);
}

#[test]
fn what_is_revoked_once_more_after_it_was_taken_back_is_revoked() {
    let (files, mut redis) = (Files::new(), Redis::start(&[]));
    let (one, other) = pair(&files, &redis);
    let [there, away] = ["there", "away"].map(|session| session_token(&one, session));
    revoke(&one.proxy, "there");
    await_refused(&other, &there);
    allow(&other, "there");
    eventually("allowed", || (!is_refused(one.proxy.address(), &there)).then_some(()));
    revoke(&one.proxy, "there");
    await_refused(&other, &there);
    revoke(&one.proxy, "away");
    await_refused(&other, &away);

    stop(&mut redis, [&one.proxy, &other]);
    allow(&one.proxy, "away");
    revoke(&one.proxy, "away");
    start_again(&mut redis, &one, &other);
    let newcomer = one.twin(BINARY);
    newcomer.wait_ready();
    for token in [&there, &away] {
        assert_refused([&one.proxy, &other, &newcomer], token, true);
    }
}

#[test]
fn what_is_taken_back_while_redis_is_away_is_allowed_everywhere() {
    let (files, mut redis) = (Files::new(), Redis::start(&[]));
    let (one, other) = pair(&files, &redis);
    let [known, brief] = ["known", "brief"].map(|session| session_token(&one, session));
    revoke(&one.proxy, "known");
    await_refused(&other, &known);

    stop(&mut redis, [&one.proxy, &other]);
    revoke(&one.proxy, "brief");
    allow(&one.proxy, "brief");
    allow(&one.proxy, "known");
    assert!(is_refused(other.address(), &known), "nobody could tell");
    start_again(&mut redis, &one, &other);
    let newcomer = one.twin(BINARY);
    newcomer.wait_ready();
    for token in [&known, &brief] {
        assert_refused([&one.proxy, &other, &newcomer], token, false);
    }
}

#[test]
fn a_removal_that_is_told_late_does_not_undo_a_revocation_that_is_newer() {
    let (files, mut redis) = (Files::new(), Redis::start(&[]));
    let (one, other) = pair(&files, &redis);
    let token = session_token(&one, "session");
    revoke(&one.proxy, "session");
    await_refused(&other, &token);
    stop(&mut redis, [&one.proxy, &other]);
    allow(&one.proxy, "session");
    // Milliseconds later, by the clock that both have, it is revoked again.
    let allowed = Instant::now();
    while allowed.elapsed() < Duration::from_millis(2) {
        std::hint::spin_loop();
    }
    revoke(&other, "session");
    start_again(&mut redis, &one, &other);
    let newcomer = one.twin(BINARY);
    newcomer.wait_ready();
    assert_refused([&one.proxy, &other, &newcomer], &token, true);
}

#[test]
fn what_could_not_be_told_before_a_restart_is_told_after_it() {
    let (files, mut redis) = (Files::new(), Redis::start(&[]));
    let there = launch_with(&files, &redis);
    let revocation = format!("{{ state_file: {}, redis: {} }}", files.0.path("state").display(), redis.section());
    let keys = || KeyServer::start(document([&key(KID)]));
    let leaving = launch(&files, &revocation);
    leaving.proxy.wait_ready();
    let [known, added] = ["known", "added"].map(|session| session_token(&there, session));
    revoke(&there.proxy, "known");
    await_refused(&leaving.proxy, &session_token(&leaving, "known"));
    stop(&mut redis, [&there.proxy, &leaving.proxy]);
    allow(&leaving.proxy, "known");
    revoke(&leaving.proxy, "added");
    drop(leaving);

    redis.restart();
    await_connected(&there.proxy, 1.0);
    assert!(is_refused(there.proxy.address(), &known) && !is_refused(there.proxy.address(), &added));
    let back = Edge::launch(BINARY, keys(), &[("admin", &files.admin()), ("revocation", &revocation)]);
    back.proxy.wait_ready();
    await_refused(&there.proxy, &added);
    eventually("allowed", || (!is_refused(there.proxy.address(), &known)).then_some(()));
    assert!(!is_refused(back.proxy.address(), &session_token(&back, "known")));
}

#[test]
fn what_is_revoked_while_connections_break_is_revoked_everywhere() {
    let (files, redis) = (Files::new(), Redis::start(&[]));
    let (one, other) = pair(&files, &redis);
    let sessions: Vec<_> = (0..120).map(|serial| format!("session-{serial}")).collect();
    for (serial, session) in sessions.iter().enumerate() {
        if serial % 20 == 0 {
            redis.command("CLIENT KILL TYPE pubsub");
        }
        revoke([&one.proxy, &other][serial % 2], session);
    }
    for token in sessions.iter().map(|session| session_token(&one, session)) {
        await_refused(&one.proxy, &token);
        await_refused(&other, &token);
    }
    for (serial, session) in sessions.iter().enumerate() {
        if serial % 20 == 0 {
            redis.command("CLIENT KILL TYPE pubsub");
        }
        allow([&other, &one.proxy][serial % 2], session);
    }
    for token in sessions.iter().map(|session| session_token(&one, session)) {
        for proxy in [&one.proxy, &other] {
            eventually("allowed", || (!is_refused(proxy.address(), &token)).then_some(()));
        }
    }
}
