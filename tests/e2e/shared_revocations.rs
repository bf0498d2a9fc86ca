//! Processes that share revocations through a Redis, and a Redis that comes and goes.

mod order;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use e2e::{
    client::{Client, Request, get, post, request},
    edge::Edge,
    key_server::{KeyServer, document},
    pool::{KID, key},
    process::{Directory, Proxy},
    redis::Redis,
    wait::eventually,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::{BINARY, reason};

const ADMIN_TOKEN: &str = "correct-horse-battery-staple";

/// How soon a revocation has to hold everywhere.
const SOON: Duration = Duration::from_secs(1);

/// The files that the configuration of a test names.
struct Files(Directory);

impl Files {
    fn new() -> Self {
        let files = Self(Directory::new());
        files.0.write("token", ADMIN_TOKEN);
        files
    }

    fn admin(&self) -> String {
        format!("{{ address: \"127.0.0.1:0\", token_file: {} }}", self.0.path("token").display())
    }
}

/// A proxy that shares with this Redis, bound but maybe not ready.
fn launch(files: &Files, revocation: &str) -> Edge {
    let keys = KeyServer::start(document([&key(KID)]));
    Edge::launch(BINARY, keys, &[("admin", &files.admin()), ("revocation", revocation)])
}

fn launch_with(files: &Files, redis: &Redis) -> Edge {
    let edge = launch(files, &format!("{{ redis: {} }}", redis.section()));
    edge.proxy.wait_ready();
    edge
}

fn session_token(edge: &Edge, session: &str) -> Request {
    get("/items/1").token(&edge.pool.id_token(&json!({ "origin_jti": session })))
}

fn admin(proxy: &Proxy, request: Request) -> u16 {
    let request = request.header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    Client::connect(proxy.admin_address()).ask(&request).status
}

fn revoke(proxy: &Proxy, session: &str) {
    let entry = post("/revocations").header("content-type", "application/json");
    assert_eq!(admin(proxy, entry.body(json!({ "origin_jti": session }).to_string())), 201);
}

fn allow(proxy: &Proxy, session: &str) {
    assert_eq!(admin(proxy, request("DELETE", format!("/revocations?origin_jti={session}"))), 204);
}

fn is_refused(address: SocketAddr, token: &Request) -> bool {
    let response = Client::connect(address).ask(token);
    match (response.status, reason(&response)) {
        (401, Some("token_revoked")) => true,
        (200, _) => false,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn await_refused(proxy: &Proxy, token: &Request) {
    eventually("a refusal", || is_refused(proxy.address(), token).then_some(()));
}

#[track_caller]
fn await_connected(proxy: &Proxy, expected: f64) {
    let connected = || proxy.metrics().sum("cognigate_revocation_redis_connected", &[]);
    eventually("the connection", || (connected() == expected).then_some(()));
}

#[test]
fn what_one_revokes_the_other_refuses_within_a_second() {
    let (files, redis) = (Files::new(), Redis::start(&[]));
    let one = launch_with(&files, &redis);
    let other = one.twin(BINARY);
    other.wait_ready();
    for round in 0..5 {
        let session = format!("session-{round}");
        let token = session_token(&one, &session);
        assert!(!is_refused(other.address(), &token), "and remembered");
        revoke(&one.proxy, &session);
        let revoked = Instant::now();
        assert!(is_refused(one.proxy.address(), &token), "at once where it was revoked");
        await_refused(&other, &token);
        assert!(revoked.elapsed() < SOON, "{:?}", revoked.elapsed());
        allow(&other, &session);
        eventually("allowed again", || (!is_refused(one.proxy.address(), &token)).then_some(()));
        assert!(!is_refused(other.address(), &token));
    }
}

#[test]
fn a_redis_that_comes_back_empty_makes_nobody_forget() {
    let (files, mut redis) = (Files::new(), Redis::start(&[]));
    let one = launch_with(&files, &redis);
    let other = one.twin(BINARY);
    other.wait_ready();
    let [early, taken_back, late] = ["early", "taken-back", "late"].map(|session| session_token(&one, session));
    revoke(&one.proxy, "early");
    revoke(&one.proxy, "taken-back");
    await_refused(&other, &early);
    await_refused(&other, &taken_back);

    redis.kill();
    await_connected(&one.proxy, 0.0);
    await_connected(&other, 0.0);
    for proxy in [&one.proxy, &other] {
        assert!(is_refused(proxy.address(), &early), "what was known last holds");
        assert_eq!(proxy.admin("/readyz").status, 200);
    }
    revoke(&one.proxy, "late");
    assert!(is_refused(one.proxy.address(), &late), "without Redis too");
    assert!(!is_refused(other.address(), &late), "nobody could tell");

    redis.restart();
    await_refused(&other, &late);
    await_connected(&one.proxy, 1.0);
    await_connected(&other, 1.0);
    for proxy in [&one.proxy, &other] {
        for token in [&early, &taken_back, &late] {
            assert!(is_refused(proxy.address(), token), "nothing was forgotten");
        }
    }
    let newcomer = one.twin(BINARY);
    newcomer.wait_ready();
    for token in [&early, &taken_back, &late] {
        assert!(is_refused(newcomer.address(), token), "and Redis has all of it again");
    }
    assert!(one.proxy.metrics().sum("cognigate_revocation_redis_failures_total", &[]) >= 1.0);
    assert_eq!(one.proxy.log().matches("revocations are not shared").count(), 1, "{}", one.proxy.log());
}

#[test]
fn what_was_taken_back_while_a_process_was_away_stays_taken_back() {
    let (files, redis) = (Files::new(), Redis::start(&[]));
    let state = files.0.path("state");
    let away = launch(&files, &format!("{{ state_file: {}, redis: {} }}", state.display(), redis.section()));
    away.proxy.wait_ready();
    let there = launch_with(&files, &redis);
    let token = session_token(&away, "session");
    revoke(&there.proxy, "session");
    await_refused(&away.proxy, &token);
    let Edge { proxy, upstream, keys, pool, .. } = away;
    drop((proxy, upstream, pool));

    allow(&there.proxy, "session");
    let back = Edge::launch(
        BINARY,
        keys,
        &[
            ("admin", &files.admin()),
            ("revocation", &format!("{{ state_file: {}, redis: {} }}", state.display(), redis.section())),
        ],
    );
    back.proxy.wait_ready();
    eventually("allowed again", || (!is_refused(back.proxy.address(), &token)).then_some(()));
    assert!(!is_refused(there.proxy.address(), &token), "and nobody brought it back");
}

#[test]
fn a_process_that_was_away_asks_before_it_serves() {
    let (files, mut redis) = (Files::new(), Redis::start(&[]));
    let section = redis.section();
    let revocation = |redis: &str| format!("{{ state_file: {}, redis: {redis} }}", files.0.path("state").display());
    let there = launch_with(&files, &redis);
    for round in 0..5 {
        let away = launch(&files, &revocation(&section));
        away.proxy.wait_ready();
        drop(away);
        let session = format!("session-{round}");
        revoke(&there.proxy, &session);
        let back = launch(&files, &revocation(&section));
        back.proxy.wait_ready();
        assert!(is_refused(back.proxy.address(), &session_token(&back, &session)));
    }
    redis.kill();
    let elsewhere = launch(&files, &revocation(&section.replace("timeout", "key: others, timeout")));
    elsewhere.wait_keys();
    let is_away = || elsewhere.proxy.log().contains("revocations are not shared").then_some(());
    eventually("a refusal", is_away);
    assert_eq!(elsewhere.proxy.admin("/readyz").status, 503, "what it kept is of another key");
}

#[test]
fn an_odd_record_in_redis_is_taken_for_the_safe_side_and_harms_no_restart() {
    let (files, redis) = (Files::new(), Redis::start(&[]));
    let user = "a-user";
    // With no moment, as nobody writes it; the second ends nowhere, and the others say nothing.
    redis.command(&format!("HSET cognigate:revocations sub:{user} \"+ 7 - 99999999999\" jti:a \"+ 7 5 99999999999\""));
    redis.command("HSET cognigate:revocations sub: \"+ 1 - 9\" jti:b \"+ 1\" aud:c x @version x");
    redis.command("HSET cognigate:revocations @version 7");
    let revocation = format!("{{ state_file: {}, redis: {} }}", files.0.path("state").display(), redis.section());
    for _ in 0..2 {
        let edge = launch(&files, &revocation);
        edge.proxy.wait_ready();
        let token = get("/items/1").token(&edge.pool.id_token(&json!({ "sub": user })));
        assert!(is_refused(edge.proxy.address(), &token));
    }
}

#[test]
fn a_list_that_is_too_short_for_all_of_it_is_not_taken_for_whole() {
    let (files, redis) = (Files::new(), Redis::start(&[]));
    let there = launch_with(&files, &redis);
    for session in ["a", "b", "c"] {
        revoke(&there.proxy, session);
    }
    let short = launch(&files, &format!("{{ max_entries: 2, redis: {} }}", redis.section()));
    short.wait_keys();
    eventually("an error", || short.proxy.log().contains("not all shared revocations fit").then_some(()));
    await_connected(&short.proxy, 1.0);
    assert_eq!(short.proxy.admin("/readyz").status, 503);
}

#[test]
fn a_process_that_knows_nothing_lets_nobody_in_until_it_has_asked() {
    let (files, mut redis) = (Files::new(), Redis::start(&[]));
    let section = redis.section();
    redis.kill();
    let edge = launch(&files, &format!("{{ redis: {section} }}"));
    edge.wait_keys();
    let token = session_token(&edge, "session");
    let refused = edge.ask(&token);
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    assert_eq!(edge.ask(&get("/open/1")).status, 200);
    let unready = edge.proxy.admin("/readyz");
    assert_eq!(unready.status, 503);
    assert!(unready.text().contains("revocation"), "{}", unready.text());
    redis.restart();
    edge.proxy.wait_ready();
    assert_eq!(edge.ask(&token).status, 200);
}

#[test]
fn a_process_that_kept_what_it_knew_serves_without_redis() {
    let (files, mut redis) = (Files::new(), Redis::start(&[]));
    let state = files.0.path("state");
    let revocation = format!("{{ state_file: {}, redis: {} }}", state.display(), redis.section());
    let before = launch(&files, &revocation);
    before.proxy.wait_ready();
    let (revoked, fine) = (session_token(&before, "revoked"), session_token(&before, "fine"));
    revoke(&before.proxy, "revoked");
    drop(before);
    redis.kill();
    let after = launch(&files, &revocation);
    after.proxy.wait_ready();
    assert!(is_refused(after.proxy.address(), &revoked));
    assert!(!is_refused(after.proxy.address(), &fine));
}

#[test]
fn a_redis_that_asks_who_calls_is_told() {
    let files = Files::new();
    let password = files.0.write("password", "open-sesame");
    // No more than the documentation says.
    let may = [
        "~cognigate:revocations",
        "&cognigate:revocations",
        "+@connection",
        "+@hash",
        "+@pubsub",
        "+@scripting",
        "+time",
    ];
    let user = ["--user", "cognigate", "on", ">open-sesame"];
    let redis = Redis::start(&[&user[..], &may, &["--requirepass", "another"]].concat());
    let section = |username: &str| {
        format!(
            "{{ redis: {{ url: \"redis://{}\", username: {username}, password_file: {} }} }}",
            redis.address(),
            password.display()
        )
    };
    let edge = launch(&files, &section("cognigate"));
    edge.proxy.wait_ready();
    revoke(&edge.proxy, "session");
    let other = launch(&files, &section("cognigate"));
    other.proxy.wait_ready();
    await_refused(&other.proxy, &session_token(&other, "session"));
    let stranger = launch(&files, &section("stranger"));
    eventually("a refusal", || stranger.proxy.log().contains("revocations are not shared").then_some(()));
    assert_eq!(stranger.proxy.admin("/readyz").status, 503);
    for log in [edge.proxy.log(), stranger.proxy.log()] {
        assert!(!log.contains("sesame"), "{log}");
    }
}

#[test]
fn a_redis_over_tls_has_to_prove_who_it_is() {
    let files = Files::new();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let ca = files.0.write("ca.crt", &authority.self_signed(&authority_key).unwrap().pem());
    let authority = Issuer::new(authority, authority_key);
    let redis = Redis::start_with(|redis| {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([redis.host().to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let (cert, key) = (redis.write("tls.crt", &certificate.pem()), redis.write("tls.key", &key.serialize_pem()));
        let options = ["--port", "0", "--tls-port", "6379", "--tls-auth-clients", "no"];
        let options = options.into_iter().chain(["--tls-cert-file", &cert, "--tls-key-file", &key]);
        options.chain(["--tls-ca-cert-file", &cert]).map(str::to_owned).collect()
    });
    let url = format!("url: \"rediss://{}\"", redis.address());
    let edge = launch(&files, &format!("{{ redis: {{ {url}, ca: {} }} }}", ca.display()));
    edge.proxy.wait_ready();
    let token = session_token(&edge, "session");
    revoke(&edge.proxy, "session");
    let other = edge.twin(BINARY);
    other.wait_ready();
    await_refused(&other, &token);
    let trusting_the_system = launch(&files, &format!("{{ redis: {{ {url} }} }}"));
    let is_refused = || trusting_the_system.proxy.log().contains("revocations are not shared").then_some(());
    eventually("a refusal", is_refused);
    assert_eq!(trusting_the_system.proxy.admin("/readyz").status, 503);
}
