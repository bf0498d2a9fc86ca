//! Configurations: what is accepted is what the proxy may rely on, and what is refused is refused in words.
//!
//! An input is the text of a file.

use std::{collections::HashSet, fmt::Debug, hash::Hash, net::IpAddr, ops::RangeInclusive, path::Path, time::Duration};

use cognigate::{
    config::{
        self,
        error::ConfigErrors,
        model::{
            AccessLogConfig, AdminConfig, AllowedOrigins, ClientCertificates, Config, CorsConfig, DnsName,
            EndpointConfig, Endpoints, HealthCheckConfig, LimitsConfig, ListenerConfig, LogTarget, OutlierConfig,
            Probe, Rate, RateLimitBy, RateLimitConfig, RedisConfig, ResolverConfig, RevocationConfig, RouteConfig,
            StatusRange, TlsConfig, TracingConfig, UpstreamConfig, UpstreamProtocol,
        },
        pattern::{MethodSet, Segment},
    },
    route::{path, table::RouteTable},
};
use cognigate_auth::{
    cache::MIN_CACHE_BYTES,
    policy::{Policy, TokenUseRule},
    pool::{ClientRule, UserPool},
    token::TokenSource,
};
use http::{HeaderValue, Method, Uri};

/// What errors call the file.
const FILE: &str = "fuzz.yaml";

/// A segment that no literal is likely to be.
const ANY_SEGMENT: &str = "a-segment-of-no-route";

/// A host that no route is likely to name.
const ANY_HOST: &str = "a-host-of-no-route.example";

const MEBIBYTE: usize = 1024 * 1024;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Checks one input.
///
/// # Panics
///
/// If a configuration is accepted that breaks a rule, if two looks at it differ, or if an error is not a line about the file.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match (config::parse(FILE, &text), config::parse(FILE, &text)) {
        (Ok(config), Ok(again)) => {
            assert_eq!(config, again);
            assert_config(&config);
        }
        (Err(errors), Err(again)) => {
            assert_eq!(errors.to_string(), again.to_string());
            assert_errors(&errors);
        }
        (one, other) => panic!("{one:?}, then {other:?}"),
    }
}

/// One line an error, and each begins with the name of the file.
fn assert_errors(errors: &ConfigErrors) {
    let text = errors.to_string();
    assert!(!text.is_empty(), "refused without a word");
    assert_eq!(text.split('\n').count(), errors.iter().count(), "an error is one line: {text}");
    for line in text.split('\n') {
        assert!(line.strip_prefix(FILE).is_some_and(|line| line.starts_with(':')), "no file: {line}");
        assert!(!line.contains(char::is_control), "not printable: {line:?}");
    }
}

fn assert_config(config: &Config) {
    let Config {
        listeners,
        admin,
        user_pools,
        jwks_state_files,
        upstreams,
        resolver,
        routes,
        token,
        forwarded: _,
        identity,
        cors,
        token_cache,
        revocation,
        responses: _,
        limits,
        access_log,
        tracing,
        server,
    } = config;
    listeners.iter().for_each(assert_listener);
    assert_limits(limits);
    let AdminConfig { address: _, token_file } = admin;
    assert_path(token_file.as_deref());
    assert_revocation(revocation);
    let addresses = listeners.iter().map(|listener| listener.address).chain([admin.address]);
    assert_unique("addresses", addresses.filter(|address| address.port() != 0));
    assert!(!listeners.is_empty(), "nothing to listen on");

    assert_unique("pools", user_pools.iter().map(|pool| &*pool.name));
    assert_unique("issuers", user_pools.iter().flat_map(endpoints).map(|(issuer, _)| issuer));
    user_pools.iter().for_each(assert_user_pool);
    assert_unique("state files", jwks_state_files.values());
    for name in jwks_state_files.keys() {
        assert!(user_pools.iter().any(|pool| pool.name == *name), "no pool is called {name}");
    }
    assert_unique("upstreams", upstreams.iter().map(|upstream| &*upstream.name));
    upstreams.iter().for_each(assert_upstream);
    assert_resolver(resolver);
    assert_routes(config, routes);

    assert_cors(cors.as_ref());
    assert_telemetry(access_log.as_ref(), tracing.as_ref());
    assert_unique("sources", token.sources.iter().map(|source| format!("{source:?}")));
    assert!(token.sources.iter().next().is_some(), "no place for a token");
    let fields = identity.client_certificate_headers.iter().map(|header| &header.name);
    let names = identity.headers.iter().map(|header| &header.name).chain(fields);
    assert_unique("headers", names.map(|name| name.as_str().replace('_', "-")));
    for header in &identity.headers {
        let is_source = token.sources.iter().any(|source| *source == TokenSource::Header(header.name.clone()));
        assert!(!header.claim.is_empty() && !is_source, "{header:?}");
        assert!(!["authorization", "cookie", "host", "connection"].contains(&header.name.as_str()), "{header:?}");
    }
    let cache = token_cache.max_bytes;
    assert!(cache == 0 || (MIN_CACHE_BYTES..=64 * 1024 * MEBIBYTE).contains(&cache), "{cache} bytes of cache");
    assert!(server.threads.is_none_or(|threads| threads.get() <= 1024), "{server:?}");
    assert_within(server.shutdown_grace, &(Duration::ZERO..=HOUR));
    assert_within(server.drain_delay, &(Duration::ZERO..=HOUR));
}

fn assert_listener(listener: &ListenerConfig) {
    let ListenerConfig { address: _, tls, proxy_protocol: _ } = listener;
    let Some(TlsConfig { certificates, client_ca, client_certificates }) = tls else { return };
    assert!(!certificates.is_empty(), "nothing to show");
    assert!(client_ca.is_some() || *client_certificates == ClientCertificates::Required, "{listener:?}");
}

fn assert_limits(limits: &LimitsConfig) {
    let LimitsConfig {
        request_header_bytes,
        request_headers,
        request_uri_bytes,
        request_body_bytes,
        connections,
        connections_per_ip,
        header_read_timeout,
        idle_timeout,
        websocket_idle_timeout,
        failed_auth_per_ip,
        rate_limit_keys,
        requests_per_connection,
        h2_streams,
        h2_header_list_bytes,
    } = limits;
    assert!((1..=1_000_000).contains(connections) && *connections_per_ip <= 1_000_000, "{limits:?}");
    assert_within(*header_read_timeout, &(SECOND / 10..=HOUR));
    assert_within(*idle_timeout, &(SECOND / 10..=24 * HOUR));
    assert!(*requests_per_connection <= 1_000_000_000, "{limits:?}");
    assert!((1024..=512 * 1024).contains(request_header_bytes), "{limits:?}");
    assert!((1..=256).contains(request_headers), "{limits:?}");
    assert!((64..=64 * 1024).contains(request_uri_bytes), "{limits:?}");
    assert!(*request_body_bytes != Some(0), "{limits:?}");
    assert_within(*websocket_idle_timeout, &(SECOND / 10..=24 * HOUR));
    failed_auth_per_ip.iter().for_each(assert_rate);
    assert!((1024..=1 << 24).contains(rate_limit_keys), "{limits:?}");
    assert!((1..=10_000).contains(h2_streams), "{limits:?}");
    assert!((4 * 1024..=1024 * 1024).contains(h2_header_list_bytes), "{limits:?}");
}

fn assert_rate(rate: &Rate) {
    let Rate { count, period } = rate;
    assert!(count.get() <= 1_000_000 && [SECOND, 60 * SECOND, HOUR].contains(period), "{rate:?}");
}

fn assert_telemetry(access_log: Option<&AccessLogConfig>, tracing: Option<&TracingConfig>) {
    if let Some(AccessLogConfig { target: LogTarget::File(path), format: _ }) = access_log {
        assert_path(Some(path));
    }
    let Some(TracingConfig { endpoint, sample, service_name, timeout }) = tracing else { return };
    assert!(["http", "https"].contains(&endpoint.scheme()) && endpoint.host().is_some(), "{endpoint}");
    assert!(endpoint.path() == "/" && endpoint.query().is_none() && endpoint.fragment().is_none(), "{endpoint}");
    assert!(endpoint.username().is_empty() && endpoint.password().is_none(), "{endpoint}");
    assert!(endpoint.port_or_known_default().is_some_and(|port| port > 0), "{endpoint}");
    assert!(sample.0 <= 1_000_000, "{sample:?}");
    assert_printable(service_name);
    assert_within(*timeout, &(SECOND / 10..=60 * SECOND));
}

fn assert_printable(text: &str) {
    assert!((1..=128).contains(&text.chars().count()) && !text.contains(char::is_control), "{text:?}");
}

/// Everyone who issues a pool's tokens, and where the keys are.
fn endpoints(pool: &UserPool) -> impl Iterator<Item = (&str, &str)> {
    let alternatives = pool.alternatives.iter().map(|other| (other.issuer.as_str(), other.jwks_uri.as_str()));
    alternatives.chain([(pool.issuer.as_str(), pool.jwks_uri.as_str())])
}

fn assert_user_pool(pool: &UserPool) {
    let UserPool { name, issuer: _, jwks_uri: _, alternatives: _, clients, clock_skew, jwks } = pool;
    assert_name(name);
    for (issuer, jwks_uri) in endpoints(pool) {
        assert!(jwks_uri.starts_with("https://") || jwks_uri.starts_with("http://"), "{jwks_uri}");
        assert!(issuer.bytes().chain(jwks_uri.bytes()).all(|byte| byte.is_ascii_graphic()), "{issuer:?} {jwks_uri:?}");
    }
    match clients {
        ClientRule::Any => {}
        ClientRule::Listed(ids) => {
            assert!(!ids.is_empty(), "nobody may call");
            assert_words(ids);
        }
    }
    assert_within(*clock_skew, &(Duration::ZERO..=300 * SECOND));
    for period in [jwks.refresh, jwks.max_stale, jwks.timeout] {
        assert_within(period, &(SECOND..=8760 * HOUR));
    }
    assert!(jwks.max_stale >= jwks.refresh, "{jwks:?}");
}

fn assert_revocation(revocation: &RevocationConfig) {
    let RevocationConfig { file, state_file, max_entries, redis } = revocation;
    assert_path(file.as_deref());
    assert_path(state_file.as_deref());
    assert!((1..=1 << 24).contains(max_entries), "{max_entries} revocations");
    let Some(redis) = redis else { return };
    let RedisConfig { address, ca, username, password_file, key, timeout } = redis;
    assert!(
        !address.host.is_empty() && !address.host.contains(char::is_whitespace) && address.port != 0,
        "{address:?}"
    );
    assert!(ca.is_none() || address.is_tls, "{ca:?} without TLS");
    assert!(username.is_none() || password_file.is_some(), "{username:?} without a password");
    assert_path(ca.as_deref());
    assert_path(password_file.as_deref());
    for text in [Some(key), username.as_ref()].into_iter().flatten() {
        assert_printable(text);
    }
    assert_within(*timeout, &(Duration::from_millis(100)..=10 * SECOND));
}

fn assert_path(path: Option<&Path>) {
    let bytes = path.map(|path| path.as_os_str().as_encoded_bytes());
    assert!(bytes.is_none_or(|bytes| !bytes.is_empty() && !bytes.contains(&0)), "{path:?}");
}

fn assert_cors(cors: Option<&CorsConfig>) {
    let Some(cors) = cors else { return };
    let CorsConfig { allow_origins, allow_methods, allow_headers, expose_headers, allow_credentials, max_age } = cors;
    match allow_origins {
        AllowedOrigins::Any => assert!(!allow_credentials, "any page may act as its reader"),
        AllowedOrigins::Listed(origins) => {
            assert_unique("origins", origins);
            for origin in origins {
                assert_eq!(origin.as_str().parse(), Ok(origin.clone()));
            }
        }
    }
    assert!(!allow_methods.is_any(), "{cors:?}");
    assert_unique("headers", allow_headers);
    assert_unique("headers", expose_headers);
    assert_within(*max_age, &(Duration::ZERO..=24 * HOUR));
    assert_eq!(max_age.subsec_nanos(), 0);
}

fn assert_upstream(upstream: &UpstreamConfig) {
    let UpstreamConfig { name, endpoints, balance: _, health_check, outlier, timeouts, retries, protocol, tls } =
        upstream;
    assert!(*protocol != UpstreamProtocol::Auto || tls.is_some(), "nothing to choose with");
    assert!(tls.as_ref().is_none_or(|tls| !tls.server_name.is_empty()), "nobody to verify");
    assert_name(name);
    match endpoints {
        Endpoints::Discovered(name) => assert_dns_name(name),
        Endpoints::Listed(listed) => assert_endpoints(listed),
    }
    health_check.iter().for_each(assert_health_check);
    outlier.iter().for_each(assert_outlier);
    assert!(*retries <= 5, "{retries} retries");
    for timeout in [timeouts.connect, timeouts.read, timeouts.write, timeouts.idle] {
        assert_within(timeout, &(MILLISECOND..=24 * HOUR));
    }
}

/// Something to ask a resolver for: it can be written in a question, and no address.
fn assert_dns_name(DnsName { host, port: _ }: &DnsName) {
    let name = host.strip_suffix('.').unwrap_or(host);
    assert!(name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len())), "{host:?}");
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    assert!(name.bytes().all(is_allowed) && name.parse::<IpAddr>().is_err(), "{host:?}");
}

fn assert_endpoints(endpoints: &[EndpointConfig]) {
    assert_unique("endpoints", endpoints.iter().map(|endpoint| endpoint.address));
    assert!(endpoints.len() <= 256, "{} endpoints", endpoints.len());
    assert!(endpoints.iter().any(|endpoint| endpoint.weight > 0), "nowhere to go: {endpoints:?}");
    assert!(endpoints.iter().all(|endpoint| endpoint.weight <= 256 && endpoint.address.port() != 0), "{endpoints:?}");
}

fn assert_health_check(check: &HealthCheckConfig) {
    let HealthCheckConfig { probe, interval, timeout, healthy_after, unhealthy_after } = check;
    match probe {
        Probe::Http { path, host, statuses, body_contains } => {
            let target: Uri = path.parse().expect("something to ask for");
            assert!(target.path_and_query().is_some_and(|target| target == &**path) && path.len() <= 1024, "{path:?}");
            let value = host.as_deref().map(HeaderValue::from_str);
            assert!(value.is_none_or(|value| value.is_ok_and(|value| !value.is_empty())), "{host:?}");
            assert!(!statuses.is_empty(), "nothing is good");
            assert_statuses(statuses);
            assert!(body_contains.as_ref().is_none_or(|text| (1..=256).contains(&text.len())), "{body_contains:?}");
        }
        Probe::Tcp => {}
    }
    assert_within(*interval, &(SECOND / 10..=HOUR));
    assert_within(*timeout, &(10 * MILLISECOND..=(60 * SECOND).min(*interval)));
    assert!(healthy_after.get() <= 100 && unhealthy_after.get() <= 100, "{check:?}");
}

fn assert_outlier(outlier: &OutlierConfig) {
    let OutlierConfig { consecutive_failures, eject_for, max_ejected, statuses } = outlier;
    assert!(consecutive_failures.get() <= 1000 && max_ejected.0 <= 100, "{outlier:?}");
    assert_within(*eject_for, &(SECOND / 10..=HOUR));
    assert_statuses(statuses);
}

fn assert_statuses(ranges: &[StatusRange]) {
    assert!(ranges.iter().all(|range| 100 <= range.first && range.last <= 599), "{ranges:?}");
    assert!(ranges.iter().all(|range| range.first <= range.last), "{ranges:?}");
    assert_unique("statuses", ranges.iter().flat_map(|range| range.first..=range.last));
}

fn assert_resolver(resolver: &ResolverConfig) {
    let ResolverConfig { servers, timeout, min_ttl, max_ttl } = resolver;
    assert!(servers.len() <= 8 && servers.iter().all(|server| server.port() != 0), "{servers:?}");
    assert_unique("name servers", servers);
    assert_within(*timeout, &(SECOND / 10..=60 * SECOND));
    assert_within(*min_ttl, &(SECOND / 10..=HOUR));
    assert_within(*max_ttl, &(*min_ttl..=24 * HOUR));
}

fn assert_routes(config: &Config, routes: &[RouteConfig]) {
    assert!(!routes.is_empty(), "nothing to serve");
    assert_unique("labels", routes.iter().map(|route| &route.label));
    let table = RouteTable::build(routes.iter().map(|route| &route.matches));
    for (place, route) in routes.iter().enumerate() {
        let RouteConfig { label, matches: _, auth, upstream, rewrite: _, timeout, rate_limit } = route;
        if let Some(timeout) = timeout {
            assert_within(*timeout, &(Duration::from_millis(1)..=24 * HOUR));
        }
        if let Some(RateLimitConfig { by, rate, burst }) = rate_limit {
            assert!(auth.is_some() || *by == RateLimitBy::SourceIp, "nobody is known on {label}");
            assert_rate(rate);
            assert!(burst.get() <= 1_000_000, "{rate_limit:?}");
        }
        assert!(!label.is_empty() && !label.contains(char::is_control) && **label != *"none", "{label:?}");
        assert!(*upstream < config.upstreams.len(), "{label} goes to {upstream}");
        if let Some(policy) = auth {
            assert_policy(config, policy);
        }
        let conflict = routes.iter().skip(place + 1).find(|other| route.matches.conflicts_with(&other.matches));
        assert!(conflict.is_none(), "{label} and {conflict:?}");
        assert_can_be_reached(&table, place, route);
    }
}

fn assert_policy(config: &Config, policy: &Policy) {
    let Policy { user_pools, token_use, scopes_any, groups_any } = policy;
    assert!(!user_pools.is_empty(), "a route that nobody can use");
    assert_unique("pools of a route", user_pools.iter());
    for name in user_pools {
        assert!(config.user_pools.iter().any(|pool| pool.name == *name), "no pool is called {name}");
    }
    assert!(scopes_any.is_empty() || *token_use != TokenUseRule::Id, "scopes of an ID token");
    assert_words(scopes_any);
    assert_words(groups_any);
}

/// A request that is made for a route takes it, and can be sent on. Those for a greedy one may take another, more specific.
fn assert_can_be_reached(table: &RouteTable, place: usize, route: &RouteConfig) {
    let is_greedy = |segment: &Segment| matches!(segment, Segment::Greedy(_));
    let segments = route.matches.path.segments().iter().map(|segment| match segment {
        Segment::Literal(text) => text,
        Segment::Greedy(_) | Segment::Parameter(_) => ANY_SEGMENT,
    });
    let request = format!("/{}", segments.collect::<Vec<_>>().join("/"));
    let request = path::check(request.as_bytes()).expect("a path of the route's own literals");
    let host = route.matches.host.as_ref().map_or(ANY_HOST, AsRef::as_ref);
    let found = table.find(host, &request, &a_method_of(&route.matches.methods));
    assert!(found == Some(place) || route.matches.path.segments().iter().any(is_greedy), "{request:?} takes {found:?}");
    if let Some(rewrite) = &route.rewrite {
        let path = rewrite.apply(request.path()).expect("a path of the route");
        assert!(path::check(path.as_bytes()).is_ok(), "{path} is sent on");
    }
}

/// A method that the set names; for any, one that no set can name.
fn a_method_of(methods: &MethodSet) -> Method {
    let named = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let extension = || Method::from_bytes(b"PROPFIND").expect("a method");
    named.into_iter().find(|method| !methods.is_any() && methods.contains(method)).unwrap_or_else(extension)
}

fn assert_name(name: &str) {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    assert!((1..=64).contains(&name.len()) && name.bytes().all(is_allowed), "{name:?}");
}

fn assert_words(words: &[Box<str>]) {
    assert_unique("words", words.iter());
    for word in words {
        assert!(!word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control()), "{word:?}");
    }
}

fn assert_unique<T: Debug + Eq + Hash>(what: &str, items: impl IntoIterator<Item = T>) {
    let mut seen = HashSet::new();
    for item in items {
        assert!(!seen.contains(&item), "{what}: {item:?} twice");
        seen.insert(item);
    }
}

fn assert_within(found: Duration, limits: &RangeInclusive<Duration>) {
    assert!(limits.contains(&found), "{found:?}");
}
