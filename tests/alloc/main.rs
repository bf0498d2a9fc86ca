//! What a token costs in heap allocations and in memory, counted in the token library alone.

use std::{error::Error, hint::black_box, sync::Arc};

use cognigate_auth::{
    authorizer::{Authorizer, AuthorizerConfig},
    clock::{FixedClock, UnixSeconds},
    identity::ForwardedClaims,
    local_pool::{SigningKey, claims, jwks, with},
    metrics::AuthMetrics,
    policy::{Policy, TokenUse, TokenUseRule},
    pool::{ClientRule, UserPool},
    token::{TokenSource, TokenSources},
};
use dhat::HeapStats;
use http::{HeaderMap, header};
use prometheus::{Registry, TextEncoder};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const NOW: UnixSeconds = 1_700_000_000;
const ISSUER: &str = "https://issuer.example";
const TOKENS: usize = 100;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A route: where it reads tokens from and what it asks for.
type Route = (TokenSources, Policy);

/// One test, because the whole process is counted.
#[test]
fn a_cached_token_costs_no_allocation_and_the_memory_that_is_said() -> Outcome<()> {
    let registry = Registry::new();
    let key = SigningKey::generate("k")?;
    let authorizer = authorizer(&registry)?;
    authorizer.import_keys("main", jwks([&key]).as_bytes())?;
    let requests = (0..TOKENS).map(|serial| request(&key, serial)).collect::<Outcome<Vec<_>>>()?;
    let routes = routes();
    let [route, _] = &routes;
    let _profiler = dhat::Profiler::builder().testing().build();

    let before = HeapStats::get();
    requests.iter().try_for_each(|headers| decide(&authorizer, headers, route))?;
    let after = HeapStats::get();
    let (blocks, bytes) = (after.curr_blocks - before.curr_blocks, after.curr_bytes - before.curr_bytes);
    let said = gauge(&registry, "cognigate_token_cache_bytes")?;
    // An allocator takes at least a word for each block, and on the whole no more than a third of what it gives.
    assert!(said >= bytes + blocks * size_of::<usize>(), "{said} bytes said, {bytes} in {blocks} blocks used");
    assert!(said <= bytes + bytes / 3, "{said} bytes said, {bytes} used");

    for route in &routes {
        let before = HeapStats::get().total_blocks;
        for (sources, headers) in requests.iter().map(|headers| (&route.0, headers)) {
            black_box(sources.read(headers)?);
        }
        assert_eq!(HeapStats::get().total_blocks - before, 0, "blocks for reading tokens");

        requests.iter().try_for_each(|headers| decide(&authorizer, headers, route))?;
        assert_eq!(HeapStats::get().total_blocks - before, 0, "blocks for deciding on cached tokens");
    }
    Ok(())
}

/// What a proxy does for a request: read the token, decide, pass the claims on.
fn decide(authorizer: &Authorizer, headers: &HeaderMap, (sources, policy): &Route) -> Outcome<()> {
    let verified = authorizer.decide(sources.read(headers)?, policy)?;
    for value in verified.identity().forwarded() {
        black_box(value.clone());
    }
    Ok(())
}

fn authorizer(registry: &Registry) -> Outcome<Authorizer> {
    let pool = UserPool::new("main", ISSUER.parse()?, ClientRule::Listed(["client".into()].into()))?;
    let config = AuthorizerConfig {
        user_pools: vec![pool],
        forwarded_claims: ForwardedClaims::new(["sub".into(), "cognito:groups".into()]),
        // Far more than the tokens take, so that none of them is displaced.
        cache_max_bytes: 64 << 20,
        ..AuthorizerConfig::default()
    };
    Ok(Authorizer::new(config, Arc::new(FixedClock::at(NOW)), AuthMetrics::register(registry)?))
}

/// A route that asks for little, and one that looks everywhere and asks for everything.
fn routes() -> [Route; 2] {
    let policy = Policy {
        user_pools: ["main".into()].into(),
        token_use: TokenUseRule::Any,
        scopes_any: Box::default(),
        groups_any: Box::default(),
    };
    let strict = Policy {
        token_use: TokenUseRule::Access,
        scopes_any: ["items/admin".into(), "items/write".into()].into(),
        groups_any: ["admins".into(), "writers".into()].into(),
        ..policy.clone()
    };
    let everywhere = [TokenSource::Header(header::AUTHORIZATION), TokenSource::Cookie("session".into())];
    [(TokenSources::default(), policy), (TokenSources::new(everywhere), strict)]
}

/// A request with a token of its own, in a header and in a cookie.
fn request(key: &SigningKey, serial: usize) -> Outcome<HeaderMap> {
    let mut claims = claims(ISSUER, "client", TokenUse::Access, NOW);
    let scope = "openid email items/read items/write items/list";
    with(&mut claims, &json!({ "serial": serial, "scope": scope, "cognito:groups": ["readers", "writers"] }));
    let token = key.mint(&claims)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse()?);
    headers.insert(header::COOKIE, format!("theme=dark; session={token}; lang=en").parse()?);
    Ok(headers)
}

fn gauge(registry: &Registry, name: &str) -> Outcome<usize> {
    let text = TextEncoder::new().encode_to_string(&registry.gather())?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.ok_or("no such metric")?.parse()?)
}
