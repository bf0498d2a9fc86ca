//! A new configuration: taken over whole or refused whole, while requests are served, and told by log and metrics.

use std::{fs, os::unix::fs::symlink, process::Command};

use e2e::{
    client::{Client, get},
    edge::Edge,
    load::{Connections, Load},
    pool::{KID, Pool, key},
    process::{Directory, Process, Proxy},
    upstream::Upstream,
    wait::eventually,
};
use serde_json::json;

use crate::{BINARY, edge};

/// The routes that an [`Edge`] has by itself, and another.
const MORE_ROUTES: &str = r#"
  - match: { path: "/items/{proxy+}" }
    auth: { user_pools: [main] }
    upstream: items
  - match: { path: "/open/{proxy+}" }
    auth: none
    upstream: items
  - match: { path: "/new/{proxy+}" }
    auth: none
    upstream: items"#;

fn reloads(edge: &Edge, result: &str) -> f64 {
    edge.proxy.metrics().sum("cognigate_config_reloads_total", &[("result", result)])
}

/// Waits for a line of this level that says this.
#[track_caller]
fn await_line(edge: &Edge, level: &str, what: &str) {
    let is_there = || edge.proxy.log().lines().any(|line| line.contains(level) && line.contains(what));
    eventually(what, || is_there().then_some(()));
}

/// Asks for a reload that is refused, and waits until it was.
#[track_caller]
fn refuse(edge: &Edge, config: &str) {
    let before = reloads(edge, "failure");
    edge.proxy.rewrite(config);
    edge.proxy.signal("HUP");
    eventually("refused", || (reloads(edge, "failure") > before).then_some(()));
}

#[test]
fn reloads_under_load_fail_no_request() {
    let edge = edge(&[]);
    let request = get("/items/1").token(&edge.pool.id_token(&json!({})));
    let clients = [Connections::Kept, Connections::Kept, Connections::New, Connections::New];
    let load = Load::start(edge.proxy.address(), &request, &clients);
    for round in 0..20 {
        let headers = format!("{{ headers: {{ x-round: sub, x-{round}: sub }} }}");
        edge.reload(&[("identity", &headers), ("routes", MORE_ROUTES)]);
        load.await_answers(10);
    }
    let (answered, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {answered}: {failures:?}", failures.len());
    assert_eq!((reloads(&edge, "success"), reloads(&edge, "failure")), (20.0, 0.0));
}

#[test]
fn a_change_counts_for_the_next_request_on_an_open_connection() {
    let edge = edge(&[]);
    let other = Upstream::start();
    let mut client = edge.client();
    let token = edge.pool.id_token(&json!({}));
    let request = get("/items/1").token(&token).header("Origin", "https://app.example.com");
    assert_eq!(client.ask(&request).header("access-control-allow-origin"), None);
    assert_eq!(client.ask(&get("/new/1")).status, 404);
    edge.upstream.take_requests();

    let upstreams = format!("{{ items: {{ endpoints: [\"{}\"] }} }}", other.address());
    edge.reload(&[
        ("routes", MORE_ROUTES),
        ("upstreams", &upstreams),
        ("cors", "{ allow_origins: [https://app.example.com], allow_headers: [] }"),
        ("identity", "{ headers: { x-sub: sub } }"),
    ]);
    let response = client.ask(&request);
    assert_eq!(response.status, 200);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert!(other.take_request().header("x-sub").is_some());
    assert_eq!(client.ask(&get("/new/1")).status, 200);
    assert_eq!(edge.upstream.take_requests().len(), 0);
}

#[test]
fn a_request_in_flight_keeps_what_it_arrived_under() {
    use e2e::{upstream::Answer, wait::Gate};
    let edge = edge(&[]);
    let gate = Gate::default();
    edge.upstream.answer(Answer::After(gate.clone(), Box::new(Answer::Echo)));
    let mut client = edge.client();
    client.send(get("/open/1").header("Origin", "https://app.example.com").to_bytes());
    edge.upstream.await_requests(1);
    edge.reload(&[
        ("routes", "[{ match: { path: /other }, auth: none, upstream: items }]"),
        ("cors", "{ allow_origins: [https://app.example.com], allow_headers: [] }"),
    ]);
    gate.open();
    let response = client.response();
    assert_eq!((response.status, response.header("access-control-allow-origin")), (200, None));
    assert_eq!(client.ask(&get("/open/1")).status, 404);
}

#[test]
fn connections_to_upstreams_survive() {
    let edge = edge(&[]);
    let mut client = edge.client();
    assert_eq!(client.ask(&get("/open/1")).status, 200);
    edge.reload(&[("routes", MORE_ROUTES)]);
    assert_eq!(client.ask(&get("/open/1")).status, 200);
    let reused = [("upstream", "items"), ("reused", "true")];
    eventually("counted", || {
        (edge.proxy.metrics().sum("cognigate_upstream_connections_total", &reused) == 1.0).then_some(())
    });
}

#[test]
fn a_bad_file_changes_nothing_and_every_mistake_is_logged() {
    let edge = edge(&[]);
    let loaded_at = edge.proxy.metrics().sum("cognigate_config_last_reload_success_timestamp_seconds", &[]);
    assert!(loaded_at > 1e9, "{loaded_at}");
    let cases = [
        ("not YAML", "routes: [", vec!["cognigate.yaml:2:1: "]),
        ("no file", "", vec!["cognigate.yaml"]),
        (
            "two rules",
            "listeners: []\nupstreams: { a: { endpoints: ['127.0.0.1:1'] } }\nroutes: [{ match: { path: / }, auth: none, upstream: b }]\n",
            vec!["listeners: ", "routes[0].upstream: "],
        ),
    ];
    for (case, config, lines) in cases {
        refuse(&edge, config);
        for line in lines {
            await_line(&edge, "ERROR", line);
        }
        assert_eq!(edge.ask(&get("/open/1")).status, 200, "{case}");
    }
    assert_eq!(reloads(&edge, "success"), 0.0);
    assert_eq!(edge.proxy.metrics().sum("cognigate_config_last_reload_success_timestamp_seconds", &[]), loaded_at);
    edge.reload(&[("routes", MORE_ROUTES)]);
    assert_eq!(edge.ask(&get("/new/1")).status, 200, "nothing of it lasts");
}

#[test]
fn what_cannot_change_is_refused_by_its_key() {
    let edge = edge(&[]);
    for (key, section) in
        [("server.threads", ("server", "{ threads: 7 }")), ("admin.address", ("admin", "{ address: 127.0.0.2:0 }"))]
    {
        let before = reloads(&edge, "failure");
        edge.rewrite(&[section, ("routes", MORE_ROUTES)]);
        edge.proxy.signal("HUP");
        eventually(key, || (reloads(&edge, "failure") > before).then_some(()));
        await_line(&edge, "ERROR", key);
        assert_eq!(edge.ask(&get("/new/1")).status, 404, "{key}: refused whole");
    }
}

#[test]
fn listeners_come_and_go_and_their_connections_stay() {
    let edge = edge(&[]);
    let both = "[{ address: 127.0.0.1:0 }, { address: 127.0.0.2:0 }]";
    let first = edge.proxy.address();
    edge.reload(&[("listeners", both)]);
    let second = eventually("another listener", || edge.proxy.addresses().get(1).copied());
    let mut kept = Client::connect(first);
    for client in [&mut kept, &mut Client::connect(second)] {
        assert_eq!(client.ask(&get("/open/1")).status, 200);
    }

    edge.reload(&[("listeners", "[{ address: 127.0.0.2:0 }]")]);
    assert!(Client::try_connect(first).is_err(), "nobody listens there any more");
    assert_eq!(kept.ask(&get("/open/2")).status, 200, "its connections are served");
    assert_eq!(Client::connect(second).ask(&get("/open/2")).status, 200);
    let metrics = edge.proxy.metrics();
    let series: Vec<_> = metrics.series("cognigate_downstream_connections").collect();
    assert_eq!(series.len(), 1, "{series:?}");
}

#[test]
fn whether_the_last_configuration_was_refused_is_told() {
    let edge = edge(&[]);
    let await_last = |value| {
        let last = || edge.proxy.metrics().sum("cognigate_config_last_reload_successful", &[]);
        eventually("told", || (last() == value).then_some(()));
    };
    await_last(1.0);
    refuse(&edge, "routes: nonsense");
    await_last(0.0);
    edge.reload(&[("routes", MORE_ROUTES)]);
    await_last(1.0);
}

#[test]
fn a_listener_that_cannot_be_bound_refuses_the_whole() {
    let edge = edge(&[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _taken = std::net::TcpListener::bind(taken).unwrap();
    let listeners = format!("[{{ address: 127.0.0.1:0 }}, {{ address: \"{taken}\" }}]");
    let before = reloads(&edge, "failure");
    edge.rewrite(&[("listeners", &listeners), ("routes", MORE_ROUTES)]);
    edge.proxy.signal("HUP");
    eventually("refused", || (reloads(&edge, "failure") > before).then_some(()));
    await_line(&edge, "ERROR", &format!("cannot listen on {taken}"));
    assert_eq!(edge.ask(&get("/new/1")).status, 404);
}

#[test]
fn a_certificate_that_cannot_be_shown_refuses_the_whole() {
    let edge = edge(&[]);
    let tls = "tls: { certificates: [{ cert: a.crt, key: a.key }] }";
    let listeners = format!("[{{ address: 127.0.0.1:0 }}, {{ address: 127.0.0.1:0, {tls} }}]");
    let before = reloads(&edge, "failure");
    edge.rewrite(&[("listeners", &listeners), ("routes", MORE_ROUTES)]);
    edge.proxy.signal("HUP");
    eventually("refused", || (reloads(&edge, "failure") > before).then_some(()));
    await_line(&edge, "ERROR", "listeners[1].tls.certificates[0]");
    assert_eq!(edge.ask(&get("/new/1")).status, 404);
    assert_eq!(edge.proxy.addresses().len(), 1, "nothing was opened");
}

#[test]
fn a_pool_without_keys_refuses_its_own_routes_and_nothing_else() {
    let edge = edge(&[]);
    let user_pools = r#"
  main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS" }
  other: { id: eu-west-1_Other, client_ids: [$CLIENT], jwks_uri: "http://127.0.0.1:1/", jwks: { timeout: 1s } }"#;
    let routes = r#"
  - match: { path: "/items/{proxy+}" }
    auth: { user_pools: [main] }
    upstream: items
  - match: { path: "/other/{proxy+}" }
    auth: { user_pools: [other] }
    upstream: items"#;
    edge.reload(&[("user_pools", user_pools), ("routes", routes)]);
    let own = get("/items/1").token(&edge.pool.id_token(&json!({})));
    let other = get("/other/1").token(&Pool::new("eu-west-1_Other").id_token(&json!({})));
    assert_eq!((edge.ask(&own).status, edge.ask(&other).status), (200, 503));
    assert_eq!(edge.proxy.admin("/readyz").status, 200, "whoever was served before still is");
    await_line(&edge, "WARN", "other");
}

#[test]
fn a_new_pool_has_its_keys_before_the_first_request() {
    let edge = edge(&[("user_pools", "{}"), ("routes", "[{ match: { path: /open }, auth: none, upstream: items }]")]);
    edge.keys.publish([&key(KID)]);
    edge.reload(&[]);
    let own = get("/items/1").token(&edge.pool.id_token(&json!({})));
    assert_eq!(edge.ask(&own).status, 200);
}

#[test]
fn series_of_what_is_gone_go_and_the_others_count_on() {
    let edge = edge(&[]);
    let counted = |route: &str| edge.proxy.metrics().sum("cognigate_http_requests_total", &[("route", route)]);
    assert_eq!(edge.ask(&get("/open/1")).status, 200);
    eventually("counted", || (counted("* /open/{proxy+}") == 1.0).then_some(()));
    let series = edge.proxy.metrics().all().len();
    for round in 0..5 {
        let route =
            |name: &str| format!("{{ match: {{ path: \"/{name}/{{proxy+}}\" }}, auth: none, upstream: {name} }}");
        let routes = format!(
            "[{{ match: {{ path: \"/open/{{proxy+}}\" }}, auth: none, upstream: items }}, {}]",
            route(&format!("round-{round}"))
        );
        let upstreams =
            format!("{{ items: {{ endpoints: [\"$UPSTREAM\"] }}, round-{round}: {{ endpoints: [\"$UPSTREAM\"] }} }}");
        edge.reload(&[("routes", &routes), ("upstreams", &upstreams)]);
        let label = format!("* /round-{round}/{{proxy+}}");
        assert_eq!(edge.ask(&get(format!("/round-{round}/1"))).status, 200);
        eventually("counted", || (counted(&label) == 1.0).then_some(()));
    }
    edge.reload(&[]);
    let metrics = edge.proxy.metrics();
    assert!(metrics.all().all(|(_, labels)| labels.values().all(|value| !value.contains("round-"))));
    assert_eq!(metrics.all().len(), series);
    assert_eq!(counted("* /open/{proxy+}"), 1.0);
}

#[test]
fn a_changed_file_is_loaded_by_itself() {
    let edge = edge(&[]);
    edge.rewrite(&[("routes", MORE_ROUTES)]);
    eventually("loaded", || (reloads(&edge, "success") == 1.0).then_some(()));
    assert_eq!(edge.ask(&get("/new/1")).status, 200);
}

#[test]
fn a_changed_file_waits_for_a_signal_where_it_is_not_watched() {
    let edge = edge(&[("server", "{ watch: false }")]);
    edge.rewrite(&[("server", "{ watch: true }"), ("routes", MORE_ROUTES)]);
    // Longer than two looks.
    std::thread::park_timeout(std::time::Duration::from_millis(2500));
    assert_eq!((reloads(&edge, "success"), edge.ask(&get("/new/1")).status), (0.0, 404));
    edge.proxy.signal("HUP");
    eventually("loaded", || (reloads(&edge, "success") == 1.0).then_some(()));
    edge.rewrite(&[]);
    eventually("watched from now on", || (reloads(&edge, "success") == 2.0).then_some(()));
}

#[test]
fn a_config_map_that_is_swapped_by_its_links_is_loaded() {
    let upstream = Upstream::start();
    let config = |path: &str| {
        format!(
            "listeners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ address: 127.0.0.1:0 }}\n\
             upstreams: {{ items: {{ endpoints: [\"{}\"] }} }}\n\
             routes: [{{ match: {{ path: {path} }}, auth: none, upstream: items }}]\n",
            upstream.address()
        )
    };
    // As kubelet lays a volume out: the file is a link through `..data`, which is a link to a directory of its own time.
    let directory = Directory::new();
    let version = |name: &str, path: &str| {
        fs::create_dir(directory.path(name)).unwrap();
        directory.write(&format!("{name}/proxy.yaml"), &config(path));
    };
    version("..2026_1", "/one");
    symlink("..2026_1", directory.path("..data")).unwrap();
    symlink("..data/proxy.yaml", directory.path("proxy.yaml")).unwrap();
    let file = directory.path("proxy.yaml");
    let proxy =
        Proxy::start_in(directory, "unused", |_| Process::spawn(Command::new(BINARY).args(["run", "-c"]).arg(&file)));
    assert_eq!(Client::connect(proxy.address()).ask(&get("/one")).status, 200);

    let directory = proxy.directory();
    fs::create_dir(directory.path("..2026_2")).unwrap();
    directory.write("..2026_2/proxy.yaml", &config("/two"));
    symlink("..2026_2", directory.path("..data_tmp")).unwrap();
    fs::rename(directory.path("..data_tmp"), directory.path("..data")).unwrap();
    fs::remove_dir_all(directory.path("..2026_1")).unwrap();
    eventually("loaded", || (Client::connect(proxy.address()).ask(&get("/two")).status == 200).then_some(()));
    assert_eq!(Client::connect(proxy.address()).ask(&get("/one")).status, 404);
}

#[test]
fn signals_that_come_together_load_the_last_file() {
    let edge = edge(&[]);
    edge.rewrite(&[("routes", MORE_ROUTES)]);
    for _ in 0..5 {
        edge.proxy.signal("HUP");
    }
    eventually("loaded", || (edge.ask(&get("/new/1")).status == 200).then_some(()));
    assert_eq!(reloads(&edge, "failure"), 0.0);
}
