//! What a key means that a file leaves out, and where its paths begin.

use super::*;

#[test]
fn the_minimal_file_has_every_default() {
    let config = good(&read("minimal.yaml"));
    assert_eq!((config.admin.address.to_string().as_str(), config.admin.token_file), ("127.0.0.1:9090", None));
    let pool = &config.user_pools[0];
    assert_eq!(pool.issuer.as_str(), "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz");
    assert_eq!(pool.jwks_uri.as_str(), format!("{}/.well-known/jwks.json", pool.issuer.as_str()));
    assert_eq!((pool.clock_skew, pool.jwks), (Duration::ZERO, JwksPolicy::default()));
    let upstream = &config.upstreams[0];
    assert_eq!((&upstream.balance, listed(upstream)[0].weight), (&Balance::RoundRobin, 1));
}

#[test]
fn what_a_minimal_upstream_and_the_rest_leave_out_has_a_default() {
    let config = good(&read("minimal.yaml"));
    let upstream = &config.upstreams[0];
    let timeouts = upstream.timeouts;
    let seconds = [timeouts.connect, timeouts.read, timeouts.write, timeouts.idle].map(|timeout| timeout.as_secs());
    assert_eq!(seconds, [1, 30, 30, 60]);
    let route = &config.routes[0];
    assert_eq!((&*route.label, route.upstream, &route.rewrite), ("* /{proxy+}", 0, &None));
    let policy = Policy {
        user_pools: ["main".into()].into(),
        token_use: TokenUseRule::Id,
        scopes_any: Box::default(),
        groups_any: Box::default(),
    };
    assert_eq!(route.auth, Some(policy));
    assert_eq!((config.token.sources, config.token.forward), (TokenSources::default(), true));
    assert_eq!(config.identity.headers, []);
    assert_eq!(config.token_cache.max_bytes, 64 * 1024 * 1024);
    let revocation = RevocationConfig { file: None, state_file: None, max_entries: 1_000_000, redis: None };
    assert_eq!(config.revocation, revocation);
    assert_eq!((config.cors, config.responses.profile), (None, Profile::Rfc6750));
    assert_eq!((config.server.threads, config.server.shutdown_grace), (None, Duration::from_secs(30)));
    assert_eq!((config.server.drain_delay, config.server.watch), (Duration::ZERO, true));
}

#[test]
fn the_minimal_file_has_the_default_limits_of_connections() {
    let config = good(&read("minimal.yaml"));
    assert_eq!(config.identity.client_certificate_headers, []);
    assert_eq!((&config.listeners[0].tls, config.listeners[0].proxy_protocol), (&None, false));
    let limits = config.limits;
    assert_eq!((limits.connections, limits.connections_per_ip, limits.requests_per_connection), (20_000, 0, 10_000));
    assert_eq!((limits.header_read_timeout.as_secs(), limits.idle_timeout.as_secs()), (10, 75));
    assert_eq!((limits.h2_streams, limits.h2_header_list_bytes), (100, 64 * 1024));
}

#[test]
fn files_are_those_of_the_directory_of_the_configuration() {
    let text = "
listeners:
  - { address: '127.0.0.1:0', proxy_protocol: true, tls: { certificates: [{ cert: a.crt, key: /k }], client_ca: ca, client_certificates: optional } }
upstreams: { items: { endpoints: [127.0.0.1:1] } }
routes: [{ match: { path: / }, auth: none, upstream: items }]
";
    for (file, directory) in
        [("file", ""), ("/etc/cognigate/cognigate.yaml", "/etc/cognigate/"), ("conf/a.yaml", "conf/")]
    {
        let config = parse(file, text).unwrap();
        let tls = config.listeners[0].tls.as_ref().unwrap();
        let files: Vec<_> = tls.files().map(|file| file.display().to_string()).collect();
        assert_eq!(files, [format!("{directory}a.crt"), "/k".to_owned(), format!("{directory}ca")]);
        assert_eq!(tls.client_certificates, ClientCertificates::Optional);
        assert!(config.listeners[0].proxy_protocol);
    }
}

#[test]
fn a_relative_path_begins_in_the_folder_of_the_file() {
    let text = read("minimal.yaml")
        + "admin: { token_file: admin.token }
revocation:
  file: /var/lib/revoked.yaml
  state_file: ../state
  redis: { url: 'rediss://cache:1/2', ca: tls/ca.crt, username: me, password_file: password, key: k, timeout: 2s }
";
    let config = parse("/etc/cognigate/cognigate.yaml", &text).unwrap();
    assert_eq!(config.admin.token_file, Some("/etc/cognigate/admin.token".into()));
    let redis = RedisConfig {
        address: RedisAddress { is_tls: true, host: "cache".into(), port: 1, database: 2 },
        ca: Some("/etc/cognigate/tls/ca.crt".into()),
        username: Some("me".into()),
        password_file: Some("/etc/cognigate/password".into()),
        key: "k".into(),
        timeout: Duration::from_secs(2),
    };
    let revocation = RevocationConfig {
        file: Some("/var/lib/revoked.yaml".into()),
        state_file: Some("/etc/cognigate/../state".into()),
        max_entries: 1_000_000,
        redis: Some(redis),
    };
    assert_eq!(config.revocation, revocation);
}

#[test]
fn a_redis_has_defaults_too() {
    let config = good(&(read("minimal.yaml") + "revocation: { redis: { url: 'redis://cache' } }"));
    let redis = RedisConfig {
        address: RedisAddress { is_tls: false, host: "cache".into(), port: 6379, database: 0 },
        ca: None,
        username: None,
        password_file: None,
        key: "cognigate:revocations".into(),
        timeout: Duration::from_secs(1),
    };
    assert_eq!(config.revocation.redis, Some(redis));
}
