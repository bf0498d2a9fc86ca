//! Where requests go: endpoints, their choice, checks, ejection, and the resolver.

use std::num::{NonZeroU16, NonZeroU32};

use super::*;
use crate::config::model::{
    DnsName, HashOn, HealthCheckConfig, OutlierConfig, Percent, Probe, ResolverConfig, StatusRange,
};

/// A file whose upstream has these keys.
fn upstream(keys: &str) -> String {
    format!(
        "
listeners: [{{ address: 127.0.0.1:8080 }}]
upstreams: {{ items: {{ {keys} }} }}
routes: [{{ match: {{ path: / }}, auth: none, upstream: items }}]
"
    )
}

fn read_upstream(keys: &str) -> UpstreamConfig {
    good(&upstream(keys)).upstreams.remove(0)
}

fn rule(keys: &str) -> String {
    errors(&upstream(keys)).join("\n")
}

fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn outlier() -> OutlierConfig {
    OutlierConfig {
        consecutive_failures: count(5),
        eject_for: Duration::from_secs(30),
        max_ejected: Percent(50),
        statuses: [StatusRange { first: 500, last: 500 }, StatusRange { first: 502, last: 504 }].into(),
    }
}

#[test]
fn an_upstream_is_watched_where_the_file_does_not_say() {
    let upstream = good(&read("minimal.yaml")).upstreams.remove(0);
    assert_eq!((upstream.health_check, upstream.outlier, upstream.retries), (None, Some(outlier()), 1));
}

#[test]
fn the_sample_file_says_the_defaults_of_an_upstream() {
    let upstream = good(&read("cognigate.yaml")).upstreams.remove(0);
    assert_eq!((upstream.outlier, upstream.retries, upstream.balance), (Some(outlier()), 1, Balance::RoundRobin));
    let check = HealthCheckConfig {
        probe: Probe::Http {
            path: "/healthz".into(),
            host: Some("items.internal".into()),
            statuses: [StatusRange { first: 200, last: 299 }].into(),
            body_contains: Some("ok".into()),
        },
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        healthy_after: count(2),
        unhealthy_after: count(3),
    };
    assert_eq!(upstream.health_check, Some(check));
}

#[test]
fn servers_are_listed_or_found_by_a_name() {
    let found = read_upstream("dns: items.svc:8080").endpoints;
    let name = DnsName { host: "items.svc".into(), port: NonZeroU16::new(8080).unwrap() };
    assert_eq!(found, Endpoints::Discovered(name));
    assert_eq!(listed(&read_upstream("endpoints: [127.0.0.1:1]")).len(), 1);
}

#[test]
fn a_request_chooses_its_endpoint_as_the_file_says() {
    let header = HashOn::Header(http::HeaderName::from_static("x-account"));
    for (keys, balance) in [
        ("balance: round_robin", Balance::RoundRobin),
        ("balance: random", Balance::Random),
        ("balance: least_requests", Balance::LeastRequests),
        ("balance: consistent_hash, hash_on: sub", Balance::ConsistentHash(HashOn::Sub)),
        ("balance: consistent_hash, hash_on: source_ip", Balance::ConsistentHash(HashOn::SourceIp)),
        ("balance: consistent_hash, hash_on: 'header:X-Account'", Balance::ConsistentHash(header)),
    ] {
        assert_eq!(read_upstream(&format!("endpoints: [127.0.0.1:1], {keys}")).balance, balance, "{keys}");
    }
}

#[test]
fn what_is_asked_of_endpoints_and_how_often() {
    let check = |keys: &str| {
        let keys = format!("endpoints: [127.0.0.1:1], health_check: {{ {keys} }}");
        read_upstream(&keys).health_check.unwrap()
    };
    let HealthCheckConfig { probe, interval, timeout, healthy_after, unhealthy_after } =
        check("tcp: true, interval: 100ms, timeout: 100ms, healthy_after: 1, unhealthy_after: 100");
    assert_eq!((probe, interval, timeout), (Probe::Tcp, Duration::from_millis(100), Duration::from_millis(100)));
    assert_eq!((healthy_after, unhealthy_after), (count(1), count(100)));
    let probe = check("path: '/a?b=c%20d', tcp: false, statuses: [204, 300-399]").probe;
    let statuses = [StatusRange { first: 204, last: 204 }, StatusRange { first: 300, last: 399 }].into();
    let expected = Probe::Http { path: "/a?b=c%20d".into(), host: None, statuses, body_contains: None };
    assert_eq!(probe, expected);
    for host in ["items.internal", "items.internal:8080", "10.0.0.1", "[fd00::1]:80"] {
        let Probe::Http { host: found, .. } = check(&format!("path: /, host: '{host}'")).probe else {
            panic!("{host}")
        };
        assert_eq!(found.as_deref(), Some(host));
    }
}

#[test]
fn what_no_request_could_ask_for_is_no_check() {
    let rule = |keys: &str| rule(&format!("endpoints: [127.0.0.1:1], health_check: {{ {keys} }}"));
    let at_most = |length: usize| format!("/{}", "a".repeat(length - 1));
    read_upstream(&format!("endpoints: [127.0.0.1:1], health_check: {{ path: {} }}", at_most(1024)));
    for path in ["", "healthz", "*", "/a b", "/a#b", "/é", "/a\\u0007", "http://a/", &at_most(1025)] {
        assert!(rule(&format!("path: \"{path}\"")).contains(" is not a path to ask for: "), "{path}");
    }
    for host in ["", "a/b", "u@a", "a:b", "a, b", "fd00::1", "*.a"] {
        assert!(rule(&format!("path: /, host: '{host}'")).contains(" is not a host: "), "{host}");
    }
    let text = |length: usize| format!("path: /, body_contains: {}", "é".repeat(length / 2));
    read_upstream(&format!("endpoints: [127.0.0.1:1], health_check: {{ {} }}", text(256)));
    assert!(rule(&text(258)).ends_with("body_contains: has 258 bytes: 1 to 256 are allowed"));
}

#[test]
fn ejection_can_be_turned_off_but_not_misspelt() {
    let outlier = |keys: &str| read_upstream(&format!("endpoints: [127.0.0.1:1], outlier: {{ {keys} }}")).outlier;
    assert_eq!(outlier("consecutive_failures: 0"), None);
    let expected = OutlierConfig {
        consecutive_failures: count(1),
        eject_for: Duration::from_millis(100),
        max_ejected: Percent(100),
        statuses: Box::default(),
    };
    assert_eq!(outlier("consecutive_failures: 1, eject_for: 100ms, max_ejected: 100%, statuses: []"), Some(expected));
    let broken = rule("endpoints: [127.0.0.1:1], outlier: { consecutive_failures: 0, eject_for: 2h }");
    assert_eq!(broken, ": upstreams.items.outlier.eject_for: 2h is too much: at most 1h");
}

#[test]
fn the_resolver_is_that_of_the_system_where_the_file_does_not_say() {
    assert_eq!(good(&read("minimal.yaml")).resolver, ResolverConfig::default());
    let sample = ResolverConfig { servers: vec!["10.0.0.2:53".parse().unwrap()], ..ResolverConfig::default() };
    assert_eq!(good(&read("cognigate.yaml")).resolver, sample);
    let resolver = "resolver: { servers: ['[fd00::1]:5353'], timeout: 100ms, min_ttl: 1h, max_ttl: 24h }";
    let expected = ResolverConfig {
        servers: vec!["[fd00::1]:5353".parse().unwrap()],
        timeout: Duration::from_millis(100),
        min_ttl: Duration::from_secs(60 * 60),
        max_ttl: Duration::from_secs(24 * 60 * 60),
    };
    assert_eq!(good(&(read("minimal.yaml") + resolver)).resolver, expected);
}
