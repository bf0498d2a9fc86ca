//! SIGQUIT: a new process takes the sockets over, and no client notices.

use std::{fs, os::unix::fs::symlink, process::Command};

use e2e::{
    client::{Client, Request, get, post},
    edge::Edge,
    load::{Connections, Load},
    process::{Directory, Process, Proxy},
    upstream::Answer,
    wait::{Gate, PATIENCE, eventually},
};
use serde_json::json;

use crate::{BINARY, edge};

/// Hands over as often as this, and waits each time until the process before has ended.
#[track_caller]
fn hand_over(edge: &mut Edge, times: usize) {
    for time in 0..times {
        let before = edge.proxy.successor();
        match before {
            None => edge.proxy.signal("QUIT"),
            Some(_) => edge.proxy.signal_successor("QUIT"),
        }
        eventually("handed over", || (edge.proxy.successor() != before).then_some(()));
        if time == 0 {
            let status = edge.proxy.wait_exit_of_first(PATIENCE);
            assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", edge.proxy.log());
        }
    }
}

#[test]
fn hand_overs_under_load_fail_no_request() {
    let mut edge = edge(&[]);
    let request = get("/items/1").token(&edge.pool.id_token(&json!({})));
    let clients = [Connections::New, Connections::New, Connections::Kept, Connections::Kept];
    let load = Load::start(edge.proxy.address(), &request, &clients);
    for _ in 0..3 {
        load.await_answers(10);
        hand_over(&mut edge, 1);
    }
    load.await_answers(10);
    let (answered, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {answered}: {failures:?}\n{}", failures.len(), edge.proxy.log());
}

#[test]
fn the_new_process_reads_the_configuration_anew_and_the_admin_listener_is_its_own() {
    let mut edge = edge(&[]);
    // What a reload refuses too.
    edge.rewrite(&[
        ("routes", "[{ match: { path: /new }, auth: none, upstream: items }]"),
        ("server", "{ threads: 1, watch: false }"),
    ]);
    assert_eq!(edge.ask(&get("/new")).status, 404);
    hand_over(&mut edge, 1);
    assert_eq!(edge.ask(&get("/new")).status, 200);
    assert_eq!(edge.proxy.admin("/readyz").status, 200);
    assert_eq!(edge.proxy.metrics().sum("cognigate_http_requests_total", &[("code", "404")]), 0.0);
    let addresses = eventually("both lines", || Some(edge.proxy.addresses()).filter(|found| found.len() == 2));
    assert_eq!(addresses, [edge.proxy.address(); 2], "the same socket");
}

#[test]
fn a_request_in_flight_ends_where_it_began() {
    let mut edge = edge(&[]);
    let gate = Gate::default();
    edge.upstream.answer(Answer::After(gate.clone(), Box::new(Answer::Echo)));
    let mut client = edge.client();
    client.send(get("/open/1").to_bytes());
    edge.upstream.await_requests(1);
    edge.proxy.signal("QUIT");
    eventually("stepped back", || edge.proxy.log().contains("stopping connections=1").then_some(()));
    edge.upstream.answer(Answer::Echo);
    assert_eq!(edge.ask(&get("/open/2")).status, 200, "others are served by the new process");
    gate.open();
    let response = client.response();
    assert_eq!((response.status, response.is_last()), (200, true));
    let status = edge.proxy.wait_exit_of_first(PATIENCE);
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[test]
fn a_new_process_that_fails_leaves_the_old_one_serving() {
    let edge = edge(&[]);
    edge.proxy.rewrite("listeners: [");
    edge.proxy.signal("QUIT");
    let reason = |log: &str| log.lines().any(|line| line.contains("ERROR") && line.contains("exit status: 78"));
    eventually("the reason", || reason(&edge.proxy.log()).then_some(()));
    assert!(edge.proxy.log().contains("cognigate.yaml:2:1: "), "what the new one said: {}", edge.proxy.log());
    assert_eq!(edge.ask(&get("/open/1")).status, 200);
    assert_eq!(edge.proxy.admin("/readyz").status, 200);
}

#[test]
fn a_program_that_was_removed_cannot_be_handed_over_to() {
    let directory = Directory::new();
    let program = directory.path("cognigate");
    symlink(BINARY, &program).unwrap();
    let config = "listeners: [{ address: 127.0.0.1:0 }]\nadmin: { address: 127.0.0.1:0 }\n\
                  upstreams: { items: { endpoints: ['127.0.0.1:1'] } }\n\
                  routes: [{ match: { path: / }, auth: none, upstream: items }]\n";
    let proxy =
        Proxy::start_in(directory, config, |file| Process::spawn(Command::new(&program).args(["run", "-c"]).arg(file)));
    fs::remove_file(&program).unwrap();
    proxy.signal("QUIT");
    eventually("the reason", || proxy.log().contains("cannot start").then_some(()));
    assert_eq!(Client::connect(proxy.address()).ask(&get("/")).status, 502);

    // Replaced, as an upgrade does, it is the new one that is started: here one that cannot serve.
    symlink("/bin/false", &program).unwrap();
    proxy.signal("QUIT");
    eventually("the reason", || proxy.log().contains("exit status: 1)").then_some(()));
    assert_eq!(Client::connect(proxy.address()).ask(&get("/")).status, 502);
}

#[test]
fn a_new_process_without_keys_is_not_put_in_charge() {
    let edge = edge(&[]);
    let request = get("/items/1").token(&edge.pool.id_token(&json!({})));
    edge.keys.answer(Answer::json(503, "{}"));
    edge.proxy.signal("QUIT");
    let fetches = edge.keys.await_fetches(2).len();
    assert!(fetches >= 2, "the new process asks for keys");
    assert_eq!((edge.ask(&request).status, edge.proxy.successor()), (200, None));
    // Told to stop, the old process takes the new one with it.
    let mut edge = edge;
    edge.proxy.signal("TERM");
    let status = edge.proxy.wait_exit(PATIENCE);
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert!(Client::try_connect(edge.proxy.address()).is_err());
}

#[test]
fn a_new_process_whose_predecessor_dies_waits_for_nothing_more() {
    let mut edge = edge(&[]);
    edge.keys.answer(Answer::json(503, "{}"));
    edge.proxy.signal("QUIT");
    edge.keys.await_fetches(2);
    edge.proxy.signal("KILL");
    assert!(edge.proxy.wait_exit_of_first(PATIENCE).is_some());
    eventually("served", || {
        let asked = Client::try_connect(edge.proxy.address()).and_then(|mut client| client.try_ask(&get("/open/1")));
        asked.is_ok_and(|response| response.status == 200).then_some(())
    });
}

const ADMIN_TOKEN: &str = "correct-horse-battery-staple";

/// Revokes a session, on a connection of its own or on one that is there already.
fn revoke(client: &mut Client, session: &str) -> u16 {
    let entry = json!({ "origin_jti": session }).to_string();
    let request = post("/revocations").header("authorization", format!("Bearer {ADMIN_TOKEN}")).body(entry);
    client.try_ask(&request).map_or(0, |response| response.status)
}

fn of_session(edge: &Edge, session: &str) -> Request {
    get("/items/1").token(&edge.pool.id_token(&json!({ "origin_jti": session })))
}

#[test]
fn what_was_revoked_stays_revoked_and_the_old_process_revokes_nothing_more() {
    let files = Directory::new();
    files.write("token", ADMIN_TOKEN);
    let admin = format!("{{ address: \"127.0.0.1:0\", token_file: {} }}", files.path("token").display());
    let state = format!("{{ state_file: {} }}", files.path("state").display());
    let mut edge = edge(&[("admin", &admin), ("revocation", &state)]);
    let [before, after] = ["before", "after"].map(|session| of_session(&edge, session));
    let mut kept = Client::connect(edge.proxy.admin_address());
    assert_eq!(revoke(&mut kept, "before"), 201);
    assert_eq!((edge.ask(&before).status, edge.ask(&after).status), (401, 200));

    hand_over(&mut edge, 1);
    assert_eq!(edge.ask(&before).status, 401, "{}", edge.proxy.log());
    assert_ne!(revoke(&mut kept, "after"), 201, "nobody would know");
    assert_eq!(revoke(&mut Client::connect(edge.proxy.admin_address()), "after"), 201);
    assert_eq!(edge.ask(&after).status, 401);

    hand_over(&mut edge, 1);
    assert_eq!((edge.ask(&before).status, edge.ask(&after).status), (401, 401), "{}", edge.proxy.log());
}
