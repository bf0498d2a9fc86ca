//! The revocation file: what its entries refuse, and what becomes of it when it changes.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use e2e::{
    client::{Request, get},
    edge::Edge,
    pool::now,
    process::{Directory, Process},
    wait::{PATIENCE, eventually},
};
use serde_json::{Value, json};

use crate::{BINARY, edge, reason};

/// A proxy that watches the revocation file at this path.
#[track_caller]
fn watching(file: &Path) -> Edge {
    edge(&[("revocation", &format!("{{ file: {} }}", file.display()))])
}

fn request(edge: &Edge, claims: &Value) -> Request {
    get("/items/1").token(&edge.pool.id_token(claims))
}

/// Puts a file in the place of another, as careful people do.
fn replace(directory: &Directory, name: &str, text: &str) {
    let fresh = directory.write("fresh", text);
    fs::rename(fresh, directory.path(name)).unwrap();
}

#[track_caller]
fn await_status(edge: &Edge, request: &Request, status: u16) {
    eventually(&format!("{status}"), || (edge.ask(request).status == status).then_some(()));
}

#[track_caller]
fn await_loads(edge: &Edge, result: &str, count: f64) {
    let loads = || edge.proxy.metrics().sum("cognigate_revocation_file_loads_total", &[("result", result)]);
    eventually(&format!("{count} loads: {result}"), || (loads() == count).then_some(()));
}

#[test]
fn each_kind_of_entry_refuses_what_it_names_and_nothing_else() {
    let (directory, then) = (Directory::new(), now() - 60);
    let text = format!(
        "revocations:
- jti: token-1
- {{ origin_jti: session-1 }}
- {{ sub: user-1, issued_before: {then} }}
- {{ jti: token-2, expires_at: {then} }}
- {{ origin_jti: session-3, expires_at: {} }}
",
        now() + 3600
    );
    let edge = watching(&directory.write("revoked.yaml", &text));
    for (claims, is_revoked) in [
        (json!({ "jti": "token-1" }), true),
        (json!({ "jti": "token-2" }), false),
        (json!({ "jti": "session-1" }), false),
        (json!({ "jti": "TOKEN-1" }), false),
        (json!({ "origin_jti": "session-1" }), true),
        (json!({ "origin_jti": "session-1", "jti": "another" }), true),
        (json!({ "origin_jti": "session-2" }), false),
        (json!({ "origin_jti": "session-3" }), true),
        (json!({ "origin_jti": null, "jti": null }), false),
        (json!({ "sub": "user-1", "iat": then - 1 }), true),
        (json!({ "sub": "user-1", "iat": then }), false),
        (json!({ "sub": "user-2", "iat": then - 1 }), false),
    ] {
        let expected = is_revoked.then_some("token_revoked");
        for round in 0..2 {
            assert_eq!(reason(&edge.ask(&request(&edge, &claims))), expected, "{claims} in round {round}");
        }
    }
    let metrics = edge.proxy.metrics();
    assert_eq!(metrics.sum("cognigate_revocations", &[("source", "file")]), 4.0);
    assert_eq!(metrics.sum("cognigate_auth_decisions_total", &[("reason", "token_revoked")]), 10.0);
}

#[test]
fn a_changed_file_counts_for_cached_tokens_too() {
    let directory = Directory::new();
    let edge = watching(&directory.write("revoked.yaml", "revocations: []"));
    let request = request(&edge, &json!({ "origin_jti": "session" }));
    assert_eq!([edge.ask(&request).status, edge.ask(&request).status], [200, 200]);
    replace(&directory, "revoked.yaml", "revocations: [{ origin_jti: session }]");
    await_status(&edge, &request, 401);
    replace(&directory, "revoked.yaml", "revocations: [{ origin_jti: other }]");
    await_status(&edge, &request, 200);
    directory.write("revoked.yaml", "revocations: [{ origin_jti: other }, { origin_jti: session }]");
    await_status(&edge, &request, 401);
}

/// As Kubernetes mounts a ConfigMap: the file is a link into a folder that is a link, and the second one is swapped.
#[test]
fn a_swapped_link_is_a_change() {
    let directory = Directory::new();
    for (version, text) in [("v1", "revocations: []"), ("v2", "revocations: [{ jti: token }]")] {
        fs::create_dir(directory.path(version)).unwrap();
        directory.write(&format!("{version}/revoked.yaml"), text);
    }
    symlink("v1", directory.path("data")).unwrap();
    symlink("data/revoked.yaml", directory.path("revoked.yaml")).unwrap();
    let edge = watching(&directory.path("revoked.yaml"));
    let request = request(&edge, &json!({ "jti": "token" }));
    assert_eq!(edge.ask(&request).status, 200);
    symlink("v2", directory.path("data-fresh")).unwrap();
    fs::rename(directory.path("data-fresh"), directory.path("data")).unwrap();
    await_status(&edge, &request, 401);
}

#[test]
fn a_change_that_is_no_list_changes_nothing_and_is_told_once() {
    let directory = Directory::new();
    let file = directory.write("revoked.yaml", "revocations: [{ jti: token }]");
    let edge = watching(&file);
    let request = request(&edge, &json!({ "jti": "token" }));
    assert_eq!(edge.ask(&request).status, 401);
    replace(&directory, "revoked.yaml", "revocations:\n- { jti: other }\n- { jit: token }\n");
    await_loads(&edge, "failure", 1.0);
    assert_eq!(edge.ask(&request).status, 401);
    // The same again, in another file: nothing new.
    replace(&directory, "revoked.yaml", "revocations:\n- { jti: other }\n- { jit: token }\n");
    fs::remove_file(&file).unwrap();
    await_loads(&edge, "failure", 2.0);
    assert_eq!(edge.ask(&request).status, 401);
    let log = edge.proxy.log();
    assert_eq!(log.matches("revoked.yaml:3:5: revocations[1]: unknown field `jit`").count(), 1, "{log}");
    assert_eq!(log.matches("No such file or directory").count(), 1, "{log}");

    replace(&directory, "revoked.yaml", "revocations: []");
    await_status(&edge, &request, 200);
    await_loads(&edge, "success", 2.0);
}

#[test]
fn a_file_that_has_too_much_changes_nothing() {
    let directory = Directory::new();
    let file = directory.write("revoked.yaml", "revocations: [{ jti: token }]");
    let edge = edge(&[("revocation", &format!("{{ file: {}, max_entries: 2 }}", file.display()))]);
    replace(&directory, "revoked.yaml", "revocations: [{ jti: a }, { jti: b }, { jti: c }]");
    await_loads(&edge, "failure", 1.0);
    assert_eq!(edge.ask(&request(&edge, &json!({ "jti": "token" }))).status, 401);
    assert_eq!(edge.ask(&request(&edge, &json!({ "jti": "a" }))).status, 200);
}

#[test]
fn a_file_that_is_bad_at_start_ends_the_process_with_the_place() {
    let directory = Directory::new();
    let config = directory.write(
        "cognigate.yaml",
        "
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
upstreams: { items: { endpoints: ['127.0.0.1:1'] } }
routes: [{ match: { path: / }, auth: none, upstream: items }]
revocation: { file: revoked.yaml, max_entries: 1 }
",
    );
    let unreadable = ": cannot be read: No such file or directory (os error 2)";
    let too_many = "has 2 revocations: at most 1 are kept (`revocation.max_entries`)";
    for (text, error) in [
        (None, unreadable),
        (Some(""), ":1:1: the file is empty: `revocations: []` is the least, for none"),
        (Some("revocations: [{ jti: a }, { jti: b }]"), too_many),
    ] {
        if let Some(text) = text {
            directory.write("revoked.yaml", text);
        }
        for command in ["check", "run"] {
            let mut process = Process::spawn(Command::new(BINARY).args([command, "-c"]).arg(&config));
            let status = process.wait_exit(PATIENCE).and_then(|status| status.code());
            let log = process.stderr().text();
            assert_eq!(status, Some(78), "{command}: {log}");
            assert!(log.contains(error), "{command}: {log}");
        }
    }
    directory.write("revoked.yaml", "revocations: [{ jti: a }]");
    let mut process = Process::spawn(Command::new(BINARY).args(["check", "-c"]).arg(&config));
    assert_eq!(process.wait_exit(PATIENCE).and_then(|status| status.code()), Some(0));
}
