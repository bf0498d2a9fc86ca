//! How the proxy starts or says why not, and what its admin listener tells.

use std::{net::TcpListener, process::Command, time::Duration};

use e2e::{
    client::{Client, request},
    process::{Directory, Process},
    wait::PATIENCE,
};

use crate::{BINARY, edge};

const CONFIG: &str = r#"
listeners: [{ address: "$HTTP" }]
admin: { address: "$ADMIN" }
upstreams: { items: { endpoints: ["127.0.0.1:1"] } }
routes: [{ match: { path: / }, auth: none, upstream: items }]
"#;

/// The exit status of `run`, and what it wrote to standard error.
fn run_until_exit(config: &str) -> (Option<i32>, String) {
    let directory = Directory::new();
    let file = directory.write("cognigate.yaml", config);
    let mut process = Process::spawn(Command::new(BINARY).args(["run", "-c"]).arg(file));
    let status = process.wait_exit(PATIENCE);
    (status.and_then(|status| status.code()), process.stderr().text())
}

#[test]
fn an_address_in_use_ends_the_process_with_the_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let any = "127.0.0.1:0";
    for (case, http, admin) in [("listener", taken.as_str(), any), ("admin listener", any, taken.as_str())] {
        let (code, log) = run_until_exit(&CONFIG.replace("$HTTP", http).replace("$ADMIN", admin));
        assert_eq!(code, Some(1), "{case}: {log}");
        assert!(log.lines().any(|line| line.contains("listen") && line.contains(&taken)), "{case}: {log}");
    }
}

#[test]
fn a_bad_configuration_ends_the_process_with_the_place() {
    let good = CONFIG.replace("$HTTP", "127.0.0.1:0").replace("$ADMIN", "127.0.0.1:0");
    for (case, config, place) in [
        ("unknown key", format!("{good}surprise: 1\n"), "cognigate.yaml:6:1: "),
        ("dangling name", good.replace("upstream: items", "upstream: itms"), "cognigate.yaml: routes[0].upstream: "),
        ("no auth", good.replace("auth: none, ", ""), "cognigate.yaml: routes[0]"),
        ("empty", String::new(), "cognigate.yaml"),
    ] {
        let (code, log) = run_until_exit(&config);
        assert_eq!(code, Some(78), "{case}: {log}");
        assert!(log.contains(place), "{case}: {log}");
    }
}

#[test]
fn the_admin_listener_tells_and_changes_nothing() {
    let edge = edge(&[]);
    let (text, metrics) = ("text/plain; charset=utf-8", "text/plain; version=0.0.4");
    for (method, path, status, content_type) in [
        ("GET", "/livez", 200, text),
        ("GET", "/readyz", 200, text),
        ("GET", "/readyz?verbose", 200, text),
        ("GET", "/metrics", 200, metrics),
        ("GET", "/", 404, text),
        ("GET", "/metrics/", 404, text),
        ("GET", "/items/1", 404, text),
        ("POST", "/livez", 405, text),
        ("POST", "/metrics", 405, text),
        ("DELETE", "/readyz", 405, text),
    ] {
        let response = Client::connect(edge.proxy.admin_address()).ask(&request(method, path));
        assert_eq!((response.status, response.header("content-type")), (status, Some(content_type)), "{method} {path}");
    }
}

#[test]
fn admin_paths_are_not_served_to_clients() {
    let edge = edge(&[]);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(edge.ask(&request("GET", path)).status, 404, "{path}");
    }
}

#[test]
fn a_signal_ends_a_proxy_that_nobody_uses() {
    for signal in ["TERM", "INT"] {
        let mut edge = edge(&[]);
        edge.proxy.signal(signal);
        let status = edge.proxy.wait_exit(Duration::from_secs(5));
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{signal}");
    }
}
