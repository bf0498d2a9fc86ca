//! What `/metrics` tells, under which names, and that no request can make it grow.

use std::collections::BTreeSet;

use e2e::{
    client::{Client, get, request},
    edge::Edge,
    wait::eventually,
};
use serde_json::json;

use crate::edge;

/// Names and labels that people write queries and alerts with. Of a histogram, its count.
const PUBLISHED: [(&str, &[&str]); 45] = [
    ("cognigate_accept_failures_total", &["listener"]),
    ("cognigate_access_log_lines_total", &["result"]),
    ("cognigate_auth_decisions_total", &["reason", "route"]),
    ("cognigate_auth_duration_seconds_count", &["path"]),
    ("cognigate_build_info", &["commit", "version"]),
    ("cognigate_config_last_reload_success_timestamp_seconds", &[]),
    ("cognigate_config_last_reload_successful", &[]),
    ("cognigate_config_reloads_total", &["result"]),
    ("cognigate_dns_resolutions_total", &["result", "upstream"]),
    ("cognigate_downstream_connections", &["listener"]),
    ("cognigate_http_request_duration_seconds_count", &["route"]),
    ("cognigate_http_requests_total", &["code", "method", "route"]),
    ("cognigate_jwks_keys", &["user_pool"]),
    ("cognigate_jwks_last_success_timestamp_seconds", &["user_pool"]),
    ("cognigate_jwks_next_refresh_timestamp_seconds", &["user_pool"]),
    ("cognigate_jwks_refreshes_total", &["result", "user_pool"]),
    ("cognigate_jwks_rotations_total", &["user_pool"]),
    ("cognigate_jwks_state", &["state", "user_pool"]),
    ("cognigate_jwks_state_file_writes_total", &["result", "user_pool"]),
    ("cognigate_jwks_waiting_requests", &["user_pool"]),
    ("cognigate_rate_limit_evictions_total", &[]),
    ("cognigate_rate_limit_keys", &[]),
    ("cognigate_rejected_requests_total", &["reason"]),
    ("cognigate_revocations", &["source"]),
    ("cognigate_revocations_max", &[]),
    ("cognigate_revocations_ready", &[]),
    ("cognigate_revocation_changes_total", &["change"]),
    ("cognigate_revocation_file_loads_total", &["result"]),
    ("cognigate_revocation_state_writes_total", &["result"]),
    ("cognigate_tls_certificate_reloads_total", &["listener", "result"]),
    ("cognigate_tls_handshake_failures_total", &["listener"]),
    ("cognigate_token_cache_bytes", &[]),
    ("cognigate_token_cache_entries", &[]),
    ("cognigate_token_cache_evictions_total", &[]),
    ("cognigate_token_cache_hits_total", &[]),
    ("cognigate_token_cache_misses_total", &[]),
    ("cognigate_tracing_spans_total", &["result"]),
    ("cognigate_upstream_connections_total", &["reused", "upstream"]),
    ("cognigate_upstream_duration_seconds_count", &["upstream"]),
    ("cognigate_upstream_ejections_total", &["upstream"]),
    ("cognigate_upstream_endpoint_healthy", &["endpoint", "upstream"]),
    ("cognigate_upstream_endpoint_requests_in_flight", &["endpoint", "upstream"]),
    ("cognigate_upstream_health_checks_total", &["result", "upstream"]),
    ("cognigate_upstream_retries_denied_total", &["upstream"]),
    ("cognigate_upstream_retries_total", &["upstream"]),
];

/// Waits until so many requests with these labels were counted: they are after they were answered.
#[track_caller]
fn await_requests(edge: &Edge, labels: &[(&str, &str)], count: f64) {
    let is_counted = || edge.proxy.metrics().sum("cognigate_http_requests_total", labels) == count;
    eventually(&format!("{count} requests {labels:?}"), || is_counted().then_some(()));
}

#[test]
fn names_and_labels_are_as_published() {
    let edge = edge(&[]);
    edge.ask(&get("/items/1").token(&edge.pool.id_token(&json!({}))));
    await_requests(&edge, &[("code", "200")], 1.0);
    let metrics = edge.proxy.metrics();
    for (name, labels) in PUBLISHED {
        let found: Vec<Vec<_>> = metrics.series(name).map(|(labels, _)| labels.keys().collect()).collect();
        assert!(!found.is_empty() && found.iter().all(|found| found == labels), "{name} {labels:?}: {found:?}");
    }
}

#[test]
fn what_happens_is_counted() {
    let edge = edge(&[]);
    let mut client = edge.client();
    let request = get("/items/1").token(&edge.pool.id_token(&json!({})));
    for _ in 0..3 {
        assert_eq!(client.ask(&request).status, 200);
    }
    await_requests(&edge, &[("method", "GET"), ("code", "200")], 3.0);
    let metrics = edge.proxy.metrics();
    for (name, labels, value) in [
        ("cognigate_auth_decisions_total", vec![("reason", "ok")], 3.0),
        ("cognigate_auth_duration_seconds_count", vec![("path", "cached")], 2.0),
        ("cognigate_auth_duration_seconds_count", vec![("path", "verified")], 1.0),
        ("cognigate_build_info", vec![("version", env!("CARGO_PKG_VERSION"))], 1.0),
        ("cognigate_downstream_connections", vec![], 1.0),
        ("cognigate_http_request_duration_seconds_count", vec![], 3.0),
        ("cognigate_jwks_keys", vec![("user_pool", "main")], 1.0),
        ("cognigate_token_cache_entries", vec![], 1.0),
        ("cognigate_token_cache_hits_total", vec![], 2.0),
        ("cognigate_token_cache_misses_total", vec![], 1.0),
        ("cognigate_upstream_connections_total", vec![("upstream", "items"), ("reused", "false")], 1.0),
        ("cognigate_upstream_connections_total", vec![("upstream", "items"), ("reused", "true")], 2.0),
        ("cognigate_upstream_duration_seconds_count", vec![("upstream", "items")], 3.0),
    ] {
        assert_eq!(metrics.sum(name, &labels), value, "{name} {labels:?}");
    }
}

#[test]
fn a_route_is_called_by_its_name_or_by_what_it_matches() {
    let routes = r#"
  - { name: things, match: { path: /things }, auth: none, upstream: items }
  - { match: { host: api.example.com, path: "/items/{id}", methods: [GET, HEAD] }, auth: none, upstream: items }"#;
    let edge = edge(&[("routes", routes)]);
    for (sent, label) in [
        (get("/things"), "things"),
        (get("/items/1").host("api.example.com"), "GET,HEAD api.example.com /items/{id}"),
        (get("/items/1"), "none"),
        (get("/things/.."), "none"),
    ] {
        edge.ask(&sent);
        eventually(label, || {
            let metrics = edge.proxy.metrics();
            (metrics.sum("cognigate_http_requests_total", &[("route", label)]) > 0.0).then_some(())
        });
    }
}

#[test]
fn no_request_adds_a_series() {
    let edge = edge(&[]);
    let mut client = edge.client();
    let send_all = |client: &mut Client, number: usize| {
        for sent in [
            get(format!("/unknown/{number}")).host(format!("host-{number}.example")),
            get(format!("/open/{number}?{number}")),
            get(format!("/open/../{number}")),
            get(format!("/items/{number}")).token(&format!("token.{number}.x")),
            request(format!("METHOD{number}"), format!("/open/{number}")),
            request(format!("METHOD{number}"), format!("/unknown/{number}")),
        ] {
            client.ask(&sent);
        }
    };
    let series = || {
        let metrics = edge.proxy.metrics();
        metrics.all().map(|(name, labels)| (name.to_owned(), labels.clone())).collect::<BTreeSet<_>>()
    };
    send_all(&mut client, 0);
    await_requests(&edge, &[("method", "OTHER")], 2.0);
    let before = series();
    for number in 1..1000 {
        send_all(&mut client, number);
    }
    await_requests(&edge, &[("method", "OTHER")], 2000.0);
    assert_eq!(series(), before);
}
