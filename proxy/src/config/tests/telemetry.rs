//! How many requests callers have, and what is told about each.

use std::num::NonZeroU32;

use super::*;
use crate::config::model::{
    AccessLogConfig, LogFormat, LogTarget, Rate, RateLimitBy, RateLimitConfig, SampleRatio, TracingConfig,
};

fn rate(count: u32, seconds: u64) -> Rate {
    Rate { count: NonZeroU32::new(count).unwrap(), period: Duration::from_secs(seconds) }
}

#[test]
fn callers_have_a_rate_and_a_burst() {
    let limit = |auth: &str, limit: &str| {
        let text = format!(
            "
listeners: [{{ address: 127.0.0.1:8080 }}]
user_pools: {{ main: {{ id: eu-west-1_AbC123xyz, any_client: true }} }}
upstreams: {{ items: {{ endpoints: [127.0.0.1:1] }} }}
routes: [{{ match: {{ path: / }}, auth: {auth}, upstream: items, rate_limit: {{ {limit} }} }}]
"
        );
        good(&text).routes.remove(0).rate_limit.unwrap()
    };
    let verified = "{ user_pools: [main] }";
    for (auth, keys, by, rate, burst) in [
        (verified, "by: sub, rate: 100/s", RateLimitBy::Sub, rate(100, 1), 100),
        (verified, "by: client_id, rate: 30/m", RateLimitBy::ClientId, rate(30, 60), 30),
        (verified, "by: source_ip, rate: 1000000/h", RateLimitBy::SourceIp, rate(1_000_000, 3600), 1_000_000),
        ("none", "by: source_ip, rate: 1/s, burst: 1000000", RateLimitBy::SourceIp, rate(1, 1), 1_000_000),
    ] {
        let expected = RateLimitConfig { by, rate, burst: NonZeroU32::new(burst).unwrap() };
        assert_eq!(limit(auth, keys), expected, "{keys}");
    }
}

#[test]
fn failed_authentications_are_limited_where_the_file_says_so() {
    let minimal = read("minimal.yaml");
    let limits = good(&minimal).limits;
    assert_eq!((limits.failed_auth_per_ip, limits.rate_limit_keys), (None, 1 << 20));
    assert_eq!(good(&minimal).routes[0].rate_limit, None);
    for (limits, failed_auth_per_ip, rate_limit_keys) in [
        ("{ failed_auth_per_ip: 0, rate_limit_keys: 1024 }", None, 1024),
        ("{ failed_auth_per_ip: 5/m, rate_limit_keys: 16777216 }", Some(rate(5, 60)), 1 << 24),
    ] {
        let limits = good(&format!("{minimal}\nlimits: {limits}\n")).limits;
        assert_eq!((limits.failed_auth_per_ip, limits.rate_limit_keys), (failed_auth_per_ip, rate_limit_keys));
    }
}

#[test]
fn nothing_is_told_where_the_file_does_not_say() {
    let config = good(&read("minimal.yaml"));
    assert_eq!((config.access_log, config.tracing), (None, None));
}

#[test]
fn lines_go_to_a_file_or_to_the_standard_output() {
    for (keys, target, format) in [
        ("{ path: stdout }", LogTarget::Stdout, LogFormat::Json),
        ("{ path: ./stdout, format: json }", LogTarget::File("/etc/cognigate/./stdout".into()), LogFormat::Json),
        ("{ path: /var/log/a, format: combined }", LogTarget::File("/var/log/a".into()), LogFormat::Combined),
        ("{ path: access.log }", LogTarget::File("/etc/cognigate/access.log".into()), LogFormat::Json),
    ] {
        let text = format!("{}\naccess_log: {keys}\n", read("minimal.yaml"));
        let config = parse("/etc/cognigate/cognigate.yaml", &text).unwrap();
        assert_eq!(config.access_log, Some(AccessLogConfig { target, format }), "{keys}");
    }
}

#[test]
fn lines_go_to_no_file_that_is_something_else() {
    let sections = [
        ("admin: { token_file: $ }", "admin.token_file"),
        ("revocation: { file: $ }", "revocation.file"),
        ("revocation: { redis: { url: 'rediss://a', ca: $ } }", "revocation.redis.ca"),
        ("revocation: { redis: { url: 'redis://a', password_file: $ } }", "revocation.redis.password_file"),
        ("", "this configuration"),
    ];
    for (section, other) in sections {
        for path in ["x/../keys", "/etc/cognigate/keys", "./keys"] {
            let section = section.replace('$', "keys");
            let text = format!("{}\n{section}\naccess_log: {{ path: '{path}' }}\n", read("minimal.yaml"));
            let file =
                if other == "this configuration" { "/etc/cognigate/keys" } else { "/etc/cognigate/cognigate.yaml" };
            let error = parse(file, &text).unwrap_err().to_string();
            assert!(error.contains(": access_log.path: "), "{error}");
            assert!(error.ends_with(&format!(" is the file of {other} too: each needs its own")), "{error}");
        }
    }
    let listed = |keys: &str| {
        format!(
            "listeners: [{{ address: 127.0.0.1:0, tls: {{ certificates: [{{ cert: c, key: k }}], client_ca: a }} }}]\n\
             upstreams: {{ items: {{ endpoints: [127.0.0.1:1], tls: {{ server_name: items.internal, ca: a }} }} }}\n\
             routes: [{{ match: {{ path: / }}, auth: none, upstream: items }}]\n{keys}"
        )
    };
    // What is only read may be read twice.
    good(&listed(""));
    for (path, other) in [
        ("c", "listeners[0].tls.certificates[0].cert"),
        ("k", "listeners[0].tls.certificates[0].key"),
        ("a", "listeners[0].tls.client_ca"),
    ] {
        let [error] = &errors(&listed(&format!("access_log: {{ path: {path} }}\n")))[..] else { panic!("{path}") };
        assert_eq!(*error, format!(": access_log.path: {path:?} is the file of {other} too: each needs its own"));
    }
    // Nor is a file written first and read then.
    let text = listed(
        "user_pools: { main: { id: eu-west-1_AbC123xyz, any_client: true, jwks: { state_file: r } } }\nrevocation: { file: r }\n",
    );
    let expected = ": revocation.file: \"r\" is the file of user_pools.main.jwks.state_file too: each needs its own";
    assert_eq!(errors(&text), [expected]);
}

#[test]
fn spans_go_to_a_collector() {
    let tracing = |keys: &str| good(&format!("{}\ntracing: {{ {keys} }}\n", read("minimal.yaml"))).tracing.unwrap();
    let expected = TracingConfig {
        endpoint: "http://127.0.0.1:4317".parse().unwrap(),
        sample: SampleRatio(10_000),
        service_name: "cognigate".into(),
        timeout: Duration::from_secs(5),
    };
    assert_eq!(tracing("otlp: 'http://127.0.0.1:4317'"), expected);
    assert_eq!(good(&read("cognigate.yaml")).tracing, Some(expected));
    let expected = TracingConfig {
        endpoint: "https://otel.internal:443/".parse().unwrap(),
        sample: SampleRatio(1_000_000),
        service_name: "Käse 🧀".into(),
        timeout: Duration::from_secs(60),
    };
    assert_eq!(tracing("otlp: 'https://otel.internal:443/', sample: 1, service_name: Käse 🧀, timeout: 1m"), expected);
    for (sample, millionths) in [("0", 0), ("0.0", 0), ("1e-6", 1), ("0.25", 250_000), ("1.0", 1_000_000)] {
        let tracing = tracing(&format!("otlp: 'http://a:1', sample: {sample}"));
        assert_eq!(tracing.sample, SampleRatio(millionths), "{sample}");
    }
    for sample in [".nan", ".inf", "6e-7", "1.000001", "-0.1", "true", "'0.5'"] {
        let text = format!("{}\ntracing: {{ otlp: 'http://a:1', sample: {sample} }}\n", read("minimal.yaml"));
        let [error] = &errors(&text)[..] else { panic!("{sample}") };
        assert!(error.ends_with(", expected a share: 0, or a number from 0.000001 to 1"), "{error}");
    }
}
