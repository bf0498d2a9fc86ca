//! A restart while the keys cannot be fetched, with a file that kept them and without.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use e2e::{
    client::{Request, get},
    edge::Edge,
    key_server::KeyServer,
    pool::{KID, key},
    process::Directory,
    upstream::Answer,
    wait::eventually,
};
use serde_json::{Value, json};

use crate::BINARY;

/// The user pool `main`, whose keys are kept in this file.
fn user_pools(file: &Path) -> String {
    let file = file.display();
    format!(
        r#"{{ main: {{ id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS", jwks: {{ timeout: 1s, state_file: "{file}" }} }} }}"#
    )
}

fn writes(edge: &Edge, result: &str) -> f64 {
    edge.proxy.metrics().sum("cognigate_jwks_state_file_writes_total", &[("user_pool", "main"), ("result", result)])
}

/// A proxy that has run once with this file. What is left is the key server, which does not answer any more.
fn after_a_run(file: &Path) -> KeyServer {
    let keys = KeyServer::start(e2e::key_server::document([&key(KID)]));
    let edge = Edge::launch(BINARY, keys, &[("user_pools", &user_pools(file))]);
    edge.proxy.wait_ready();
    eventually("the file", || (writes(&edge, "success") >= 1.0).then_some(()));
    let Edge { proxy, keys, .. } = edge;
    drop(proxy);
    keys.answer(Answer::Close);
    keys
}

fn good(edge: &Edge) -> Request {
    get("/items/1").token(&edge.pool.id_token(&json!({})))
}

#[test]
fn with_the_file_a_restart_serves_at_once_and_asks_for_keys_at_once() {
    let directory = Directory::new();
    let file = directory.path("main.jwks");
    let keys = after_a_run(&file);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");

    let edge = Edge::launch(BINARY, keys, &[("user_pools", &user_pools(&file))]);
    assert_eq!(edge.proxy.admin("/readyz").status, 200);
    assert_eq!(edge.ask(&good(&edge)).status, 200);
    edge.keys.await_fetches(2);
    eventually("stale keys", || {
        let states = edge.proxy.metrics();
        (states.sum("cognigate_jwks_state", &[("state", "stale")]) == 1.0).then_some(())
    });
    assert_eq!(edge.ask(&good(&edge)).status, 200);
    assert!(edge.proxy.log().contains("keys restored"), "{}", edge.proxy.log());
}

#[test]
fn without_the_file_a_restart_decides_nothing_until_there_are_keys() {
    let directory = Directory::new();
    let keys = after_a_run(&directory.path("main.jwks"));
    let edge = Edge::launch(BINARY, keys, &[("user_pools", &user_pools(&directory.path("other.jwks")))]);
    assert_eq!(edge.proxy.admin("/readyz").status, 503);
    assert_eq!(edge.ask(&good(&edge)).status, 503);
    edge.keys.publish([&key(KID)]);
    edge.proxy.wait_ready();
    assert_eq!(edge.ask(&good(&edge)).status, 200);
}

/// Does something to what a file says.
fn edit(file: &Path, edit: impl FnOnce(&mut Value)) {
    let mut content: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    edit(&mut content);
    fs::write(file, content.to_string()).unwrap();
}

#[test]
fn a_file_that_is_not_to_be_trusted_is_as_good_as_none() {
    let directory = Directory::new();
    let file = directory.path("main.jwks");
    let mut keys = after_a_run(&file);
    let content = fs::read(&file).unwrap();
    let untrusted: [(&str, &dyn Fn()); 5] = [
        ("may be written by its group or by others", &|| {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("not a file of keys", &|| fs::write(&file, &content[..content.len() - 1]).unwrap()),
        ("is not where keys of the pool are", &|| {
            edit(&file, |content| content["keys"][0]["jwks_uri"] = json!("http://127.0.0.1:1/"));
        }),
        ("in the future", &|| edit(&file, |content| content["keys"][0]["fetched_at"] = json!(u64::MAX))),
        ("not a regular file", &|| {
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
        }),
    ];
    for (fault, spoil) in untrusted {
        spoil();
        let edge = Edge::launch(BINARY, keys, &[("user_pools", &user_pools(&file))]);
        assert_eq!(edge.proxy.admin("/readyz").status, 503, "{fault}");
        assert_eq!(edge.ask(&good(&edge)).status, 503, "{fault}");
        let log = edge.proxy.log();
        let warnings: Vec<_> = log.lines().filter(|line| line.contains("kept keys are not used")).collect();
        assert!(warnings.len() == 1 && warnings[0].contains(fault), "{fault}: {log}");
        let Edge { proxy, keys: same_keys, .. } = edge;
        drop(proxy);
        keys = same_keys;
        if file.is_file() {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(&file, &content).unwrap();
        }
    }
}

#[test]
fn keys_that_were_kept_for_too_long_decide_nothing() {
    let directory = Directory::new();
    let file = directory.path("main.jwks");
    let keys = after_a_run(&file);
    edit(&file, |content| content["keys"][0]["fetched_at"] = json!(e2e::pool::now() - 24 * 3600 - 1));
    let edge = Edge::launch(BINARY, keys, &[("user_pools", &user_pools(&file))]);
    assert_eq!(edge.proxy.admin("/readyz").status, 503);
    assert_eq!(edge.ask(&good(&edge)).status, 503);
}

#[test]
fn a_place_that_cannot_be_written_is_no_outage() {
    let directory = Directory::new();
    let keys = KeyServer::start(e2e::key_server::document([&key(KID)]));
    let edge = Edge::launch(BINARY, keys, &[("user_pools", &user_pools(&directory.path("missing/main.jwks")))]);
    edge.proxy.wait_ready();
    assert_eq!(edge.ask(&good(&edge)).status, 200);
    eventually("a counted failure", || (writes(&edge, "failure") >= 1.0).then_some(()));
    assert!(edge.proxy.log().contains("keys not kept for a restart"), "{}", edge.proxy.log());
}
