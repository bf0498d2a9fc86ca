//! Tests of the configuration as a whole: the files in `conf/`, and what nobody would write.

mod defaults;
mod schema;
mod telemetry;
mod upstreams;

use std::{cell::Cell, fs, num::NonZeroUsize, path::PathBuf, time::Duration};

use cognigate_auth::{
    policy::{Policy, TokenUseRule},
    pool::{ClientRule, JwksPolicy},
    token::{TokenSource, TokenSources},
};
use serde_yaml::Value;

use super::{
    MAX_FILE_BYTES, load,
    model::{
        AllowedOrigins, Balance, ClientCertificates, Config, CorsConfig, EndpointConfig, Endpoints, Profile,
        RedisConfig, RevocationConfig, UpstreamConfig, UpstreamProtocol, UpstreamTlsConfig,
    },
    parse,
    pattern::MethodSet,
    redis::RedisAddress,
};

/// What the name of a file is called in these tests.
const FILE: &str = "file";

fn conf(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../conf")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(conf(name)).unwrap()
}

fn good(text: &str) -> Config {
    parse(FILE, text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn listed(upstream: &UpstreamConfig) -> &[EndpointConfig] {
    match &upstream.endpoints {
        Endpoints::Discovered(name) => panic!("{name:?}"),
        Endpoints::Listed(endpoints) => endpoints,
    }
}

/// The errors, each without the name of the file.
fn errors(text: &str) -> Vec<String> {
    let errors = parse(FILE, text).expect_err(text);
    errors.iter().map(|error| error.to_string().strip_prefix(FILE).unwrap().to_owned()).collect()
}

/// The names and texts of the files in `conf/invalid`.
fn invalid_files() -> Vec<(String, String)> {
    let entries = fs::read_dir(conf("invalid")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn the_sample_file_is_read_as_it_says() {
    let config = good(&read("cognigate.yaml"));
    let labels: Vec<_> = config.routes.iter().map(|route| &*route.label).collect();
    assert_eq!(labels, ["items", "* /public/{proxy+}"]);
    assert_eq!(config.routes[0].matches.to_string(), "GET,POST api.example.com /items/{proxy+}");
    let policy = config.routes[0].auth.as_ref().unwrap();
    assert_eq!((policy.token_use, &*policy.groups_any), (TokenUseRule::Access, &["readers".into()][..]));
    assert_eq!(*policy.scopes_any, ["items/read", "items/write"].map(Box::<str>::from));
    assert!(config.routes[1].auth.is_none());
    assert!(config.routes[0].rewrite.is_some() && config.routes[1].rewrite.is_none());
    let weights: Vec<_> = listed(&config.upstreams[0]).iter().map(|endpoint| endpoint.weight).collect();
    assert_eq!(weights, [1, 2]);
    let sources = [TokenSource::Header(http::header::AUTHORIZATION), TokenSource::Cookie("session".into())];
    assert_eq!(config.token.sources, TokenSources::new(sources));
    let headers: Vec<_> = config.identity.headers.iter().map(|header| (header.name.as_str(), &*header.claim)).collect();
    assert_eq!(headers, [("x-cognito-sub", "sub"), ("x-cognito-groups", "cognito:groups")]);
    assert_eq!((config.revocation.file, config.revocation.state_file), (Some(PathBuf::from("revoked.yaml")), None));
    let cors = CorsConfig {
        allow_origins: AllowedOrigins::Listed(vec!["https://app.example.com".parse().unwrap()]),
        allow_methods: MethodSet::named(),
        allow_headers: vec![http::header::AUTHORIZATION, http::header::CONTENT_TYPE],
        expose_headers: vec![http::header::ETAG],
        allow_credentials: false,
        max_age: Duration::from_secs(600),
    };
    assert_eq!(config.cors, Some(cors));
}

#[test]
fn what_the_file_says_wins_over_the_default() {
    let config = good(
        "
listeners: [{ address: '[::]:0' }, { address: '[::]:0' }]
admin: { address: 127.0.0.1:0 }
user_pools:
  local: { issuer: 'http://127.0.0.1:9229/local', any_client: true, clock_skew: 5m, jwks: { refresh: 1s, max_stale: 1s, state_file: a.jwks } }
upstreams:
  unused: { endpoints: [127.0.0.1:1] }
  items: { endpoints: [{ address: '[::1]:1', weight: 0 }, { weight: 256, address: 127.0.0.1:1 }] }
routes:
  - { match: { path: /, methods: [POST, GET] }, auth: { user_pools: [local], token: any, scopes_any: [a] }, upstream: items }
  - { match: { path: / }, auth: { user_pools: [local], scopes_any: [a] }, upstream: items }
  - { match: { path: /, host: API.example.com }, auth: { user_pools: [local], groups_any: [a] }, upstream: unused }
token: { sources: [{ cookie: id }], forward: false }
token_cache: { max_bytes: 0 }
cors: { allow_origins: ['*'], allow_methods: [GET], allow_headers: [], max_age: 0s }
responses: { profile: aws-http }
server: { threads: 0o10, shutdown_grace: 0s, drain_delay: 1h, watch: false }
",
    );
    let pool = &config.user_pools[0];
    assert_eq!(pool.jwks_uri.as_str(), "http://127.0.0.1:9229/local/.well-known/jwks.json");
    assert_eq!((&pool.clients, pool.clock_skew.as_secs()), (&ClientRule::Any, 300));
    assert_eq!(pool.jwks.timeout, JwksPolicy::default().timeout);
    assert_eq!(config.jwks_state_files, [("local".into(), "a.jwks".into())].into());
    let routes: Vec<_> = config.routes.iter().map(|route| (&*route.label, route.upstream)).collect();
    assert_eq!(routes, [("GET,POST /", 1), ("* /", 1), ("* api.example.com /", 0)]);
    let kinds: Vec<_> = config.routes.iter().map(|route| route.auth.as_ref().unwrap().token_use).collect();
    assert_eq!(kinds, [TokenUseRule::Any, TokenUseRule::Access, TokenUseRule::Id]);
    assert_eq!((config.token.forward, config.token_cache.max_bytes), (false, 0));
    let cors = CorsConfig {
        allow_origins: AllowedOrigins::Any,
        allow_methods: MethodSet::parse(&["GET"]).unwrap(),
        allow_headers: Vec::new(),
        expose_headers: Vec::new(),
        allow_credentials: false,
        max_age: Duration::ZERO,
    };
    assert_eq!((config.cors, config.responses.profile), (Some(cors), Profile::AwsHttp));
    assert_eq!((config.server.threads, config.server.shutdown_grace), (NonZeroUsize::new(8), Duration::ZERO));
    assert_eq!((config.server.drain_delay, config.server.watch), (Duration::from_secs(60 * 60), false));
}

#[test]
fn every_broken_file_gets_the_errors_that_it_expects() {
    let files = invalid_files();
    assert!(!files.is_empty());
    for (name, text) in files {
        let expected: Vec<_> = text.lines().map_while(|line| line.strip_prefix("# expect: ")).collect();
        assert_eq!(errors(&text), expected, "{name}");
    }
}

#[test]
fn how_requests_are_bounded_and_sent_on_is_read() {
    let minimal = good(&read("minimal.yaml"));
    let limits = minimal.limits;
    assert_eq!((limits.request_header_bytes, limits.request_headers), (32 * 1024, 100));
    assert_eq!((limits.request_uri_bytes, limits.request_body_bytes), (8 * 1024, Some(10 * 1024 * 1024)));
    assert_eq!(limits.websocket_idle_timeout, Duration::from_secs(5 * 60));
    assert_eq!((minimal.routes[0].timeout, minimal.token.close_expired), (None, true));
    assert_eq!((minimal.upstreams[0].protocol, &minimal.upstreams[0].tls), (UpstreamProtocol::Http1, &None));
    let config = good(
        "
listeners: [{ address: 127.0.0.1:0 }]
upstreams:
  a:
    endpoints: [127.0.0.1:1]
    protocol: auto
    tls: { server_name: items.internal, ca: ca.pem }
  b: { endpoints: [127.0.0.1:1], protocol: http2 }
routes: [{ match: { path: / }, auth: none, upstream: a, timeout: 29s }]
token: { close_expired: false }
limits:
  request_header_bytes: 1KiB
  request_headers: 1
  request_uri_bytes: 64
  request_body_bytes: 0
  websocket_idle_timeout: 1h
",
    );
    let limits = config.limits;
    assert_eq!((limits.request_header_bytes, limits.request_headers, limits.request_uri_bytes), (1024, 1, 64));
    assert_eq!((limits.request_body_bytes, limits.websocket_idle_timeout), (None, Duration::from_secs(60 * 60)));
    assert_eq!((config.routes[0].timeout, config.token.close_expired), (Some(Duration::from_secs(29)), false));
    let tls = UpstreamTlsConfig { server_name: "items.internal".into(), ca: Some("ca.pem".into()) };
    assert_eq!((config.upstreams[0].protocol, config.upstreams[0].tls.as_ref()), (UpstreamProtocol::Auto, Some(&tls)));
    assert_eq!(config.upstreams[1].protocol, UpstreamProtocol::Http2);
}

/// Writes a value in flow style, with the entries of one of its mappings changed. Mappings are counted as they begin.
struct Changed<'c> {
    mapping: usize,
    seen: usize,
    change: &'c dyn Fn(&mut Vec<String>),
}

impl Changed<'_> {
    /// The changed text; nothing if there are fewer mappings.
    fn text(value: &Value, mapping: usize, change: &dyn Fn(&mut Vec<String>)) -> Option<String> {
        let mut writer = Changed { mapping, seen: 0, change };
        let text = writer.flow(value);
        (mapping < writer.seen).then_some(text)
    }

    fn flow(&mut self, value: &Value) -> String {
        match value {
            Value::Mapping(entries) => {
                let is_changed = self.seen == self.mapping;
                self.seen += 1;
                let entry = |(key, value)| format!("{}: {}", self.flow(key), self.flow(value));
                let mut entries: Vec<_> = entries.iter().map(entry).collect();
                if is_changed {
                    (self.change)(&mut entries);
                }
                format!("{{{}}}", entries.join(", "))
            }
            Value::Sequence(elements) => {
                let elements: Vec<_> = elements.iter().map(|element| self.flow(element)).collect();
                format!("[{}]", elements.join(", "))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => {
                serde_json::to_string(value).unwrap()
            }
        }
    }
}

fn sample() -> Value {
    serde_yaml::from_str(&read("cognigate.yaml")).unwrap()
}

/// What each mapping of the sample says to a key that it does not know.
fn surprised() -> Vec<String> {
    let sample = sample();
    let surprise = |entries: &mut Vec<String>| entries.push("surprise: 1".to_owned());
    let texts = (0..).map_while(|mapping| Changed::text(&sample, mapping, &surprise));
    texts.flat_map(|text| errors(&text)).collect()
}

#[test]
fn every_mapping_refuses_an_unknown_key() {
    let (unknown, named): (Vec<_>, Vec<_>) =
        surprised().into_iter().partition(|error| error.contains("unknown field `surprise`, expected "));
    assert!(unknown.len() > 15, "{unknown:#?}");
    // Where the keys are names of the user's, it is the value that does not fit.
    let named: Vec<_> = named.iter().filter_map(|error| error.split(": ").nth(1).or(Some(error))).collect();
    let expected = [
        "user_pools.surprise",
        "upstreams.surprise",
        "identity.headers.surprise",
        "identity.client_certificate_headers.surprise",
    ];
    assert_eq!(named, expected);
}

#[test]
fn every_mapping_refuses_a_key_twice() {
    let (sample, repeated) = (sample(), Cell::new(true));
    for mapping in 0.. {
        repeated.set(true);
        for entry in 0.. {
            let repeat = |entries: &mut Vec<String>| {
                let twin = entries.get(entry).cloned();
                repeated.set(twin.is_some());
                entries.extend(twin);
            };
            let Some(text) = Changed::text(&sample, mapping, &repeat) else {
                assert!(mapping > 15);
                return;
            };
            if !repeated.get() {
                break;
            }
            let [error] = &errors(&text)[..] else { panic!("{text}") };
            assert!(error.contains("duplicate key `"), "{error}");
        }
    }
}

#[test]
fn every_key_is_in_the_sample_file() {
    let text = read("cognigate.yaml");
    let unknown = surprised();
    let unknown = unknown.iter().filter(|error| error.contains("unknown field `surprise`"));
    let allowed = unknown.filter_map(|error| error.split_once(", expected "));
    let keys: Vec<_> = allowed.flat_map(|(_, keys)| keys.split('`').skip(1).step_by(2)).collect();
    assert!(keys.len() > 40, "{keys:?}");
    for key in keys {
        let is_shown = |line: &str| line.trim_start_matches([' ', '#', '-']).starts_with(&format!("{key}: "));
        let is_shown =
            |line: &str| is_shown(line) || line.contains(&format!(" {key}: ")) || line.ends_with(&format!("{key}:"));
        assert!(text.lines().any(is_shown), "{key}");
    }
}

#[test]
fn a_mutilated_file_is_never_a_panic() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(limit.max(1)).unwrap()).unwrap()
    };
    let samples: Vec<Vec<char>> = ["cognigate.yaml", "minimal.yaml"].map(|name| read(name).chars().collect()).into();
    let pieces = [
        "", ":", "\n", " ", "- ", "{", "}", "[", "]", "\"", "'", "#", "&a ", "*a", "!a ", "<<: *a", "~", "\t", "\0",
        "é", "0", "-1", "1e9", "---\n", "? ", "|", ">", "%", "\u{feff}", "\r",
    ];
    for _ in 0..2000 {
        let mut text = samples[below(samples.len())].clone();
        for _ in 0..=below(3) {
            let at = below(text.len());
            let end = (at + below(4)).min(text.len());
            text.splice(at..end, pieces[below(pieces.len())].chars());
        }
        if let Err(errors) = parse(FILE, &text.iter().collect::<String>()) {
            assert_eq!(errors.to_string().lines().count(), errors.iter().count(), "one line each: {errors}");
        }
    }
}

const ROUTED: &str = "
listeners: [{ address: 127.0.0.1:8080 }]
upstreams: { items: { endpoints: [127.0.0.1:3000] } }
routes:
";

#[test]
fn aliases_do_not_explode() {
    let long = "x".repeat(512 * 1024);
    let text = format!(
        "{ROUTED}- &r {{ name: {long}, match: {{ path: / }}, auth: none, upstream: items }}\n{}",
        "- *r\n".repeat(9)
    );
    assert_eq!(errors(&text), [":5:14: routes[7].name: the aliases unfold to more than 4194304 bytes"]);

    let list = |name: &str, times| format!("&{name}s [&{name} x{}]", format!(", *{name}").repeat(times));
    let text = format!(
        "{ROUTED}- &r {{ match: {{ path: /, methods: {} }}, auth: {{ user_pools: {} }}, upstream: items }}\n{}",
        list("m", 300),
        list("p", 300),
        "- *r\n".repeat(300)
    );
    assert_eq!(errors(&text), [":1:1: the aliases unfold to too much"]);

    let text = format!("{ROUTED}- &r {{ match: {{ path: /, methods: &m [*m] }}, auth: none, upstream: items }}\n");
    let text_expected = "expected text (in quotes, if YAML takes it for something else)";
    assert_eq!(errors(&text), [format!(":5:35: routes[0].match.methods[0]: invalid type: sequence, {text_expected}")]);
}

#[test]
fn an_alias_stands_for_a_whole_value() {
    let config = good(&format!(
        "{ROUTED}- {{ match: {{ path: /a, methods: &reading [GET, HEAD] }}, auth: none, upstream: items }}
- {{ match: {{ path: /b, methods: *reading }}, auth: none, upstream: items }}\n"
    ));
    assert_eq!(config.routes[0].matches.methods, config.routes[1].matches.methods);
}

#[test]
fn a_message_is_one_line_of_bounded_length() {
    let unknown = errors("\"a\\nb\": 1\n");
    assert!(unknown[0].starts_with(":1:1: unknown field `a\\nb`, expected one of"), "{unknown:?}");
    let long = errors(&format!("{}: 1\n", "a".repeat(1_000)));
    assert_eq!(long[0].chars().count(), ":1:1: ".len() + 1_000 + "…".chars().count());
}

#[test]
fn a_password_is_not_repeated() {
    for name in ["issuer_password", "redis_url_password", "tracing_otlp_password"] {
        let text = read(&format!("invalid/{name}.yaml"));
        assert!(text.contains("secret") && !errors(&text).concat().contains("secret"), "{name}");
    }
}

#[test]
fn ten_thousand_routes_are_checked_at_once() {
    let route = |number| format!("- {{ match: {{ path: '/{number}/{{id}}' }}, auth: none, upstream: items }}\n");
    let text = ROUTED.to_owned() + &(0..10_000).map(route).collect::<String>();
    assert_eq!(good(&text).routes.len(), 10_000);
}

#[test]
fn a_byte_order_mark_may_begin_the_file() {
    good(&format!("\u{feff}{}", read("minimal.yaml")));
}

#[test]
fn the_largest_file_that_is_read() {
    let mut text = read("minimal.yaml");
    text.push_str(&"#".repeat(MAX_FILE_BYTES - text.len()));
    good(&text);
    text.push('#');
    assert_eq!(errors(&text), [": too large: at most 1048576 bytes (1 MiB) are read"]);
}

#[test]
fn what_is_no_file_cannot_be_read() {
    for (name, error) in
        [("absent.yaml", "No such file or directory (os error 2)"), ("", "Is a directory (os error 21)")]
    {
        let path = conf(name);
        let errors = load(&path).unwrap_err().to_string();
        assert_eq!(errors, format!("{}: cannot be read: {error}", path.display()));
    }
}
