//! The vectors through the library: one authorizer that remembers tokens, one that does not, at the moment of minting.

use std::sync::Arc;

use cognigate::config::{self, Config};
use cognigate_auth::{
    authorizer::{Authorizer, AuthorizerConfig},
    clock::FixedClock,
    identity::ForwardedClaims,
    metrics::AuthMetrics,
    policy::Policy,
    revocation::{RevocationList, Source},
};
use http::{HeaderMap, HeaderValue};

use crate::{
    mint::NOW,
    table::{Request, Sources, TABLE, Vector, assert_none},
    world::{self, POOLS_OF_MAIN_KEYS},
};

/// Nobody is asked for keys: they are handed over.
const NOWHERE: &str = "http://127.0.0.1:1/jwks.json";

/// An authorizer with all that it needs to judge a request.
struct Door {
    config: Config,
    authorizer: Authorizer,
}

impl Door {
    fn new(sources: Sources, cache_max_bytes: usize) -> Self {
        let config =
            config::parse("vectors", &world::config(sources, NOWHERE, NOWHERE, "127.0.0.1:1", "unread.yaml")).unwrap();
        let forwarded: Vec<_> = config.identity.headers.iter().map(|header| header.claim.clone()).collect();
        let revocations = Arc::<RevocationList>::default();
        revocations.replace(Source::File, world::revocations().into()).unwrap();
        let authorizer = AuthorizerConfig {
            user_pools: config.user_pools.clone(),
            forwarded_claims: ForwardedClaims::new(forwarded),
            cache_max_bytes,
            revocations,
            ..AuthorizerConfig::default()
        };
        let metrics = AuthMetrics::register(&prometheus::Registry::new()).unwrap();
        let authorizer = Authorizer::new(authorizer, Arc::new(FixedClock::at(*NOW)), metrics);
        for pool in POOLS_OF_MAIN_KEYS {
            authorizer.import_keys(pool, world::main_keys().as_bytes()).unwrap();
        }
        authorizer.import_keys("other", world::other_keys().as_bytes()).unwrap();
        Self { config, authorizer }
    }

    fn reason(&self, vector: &Vector) -> &'static str {
        let policy = self.policy(vector.route);
        match self.config.token.sources.read(&headers(&vector.request)) {
            Ok(token) => self.authorizer.decide(token, policy).map_or_else(|rejection| rejection.reason(), |_| "ok"),
            Err(_) => "token_ambiguous",
        }
    }

    fn policy(&self, route: &str) -> &Policy {
        self.config.routes.iter().find(|known| *known.label == *route).unwrap().auth.as_ref().unwrap()
    }
}

fn headers(request: &Request) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.fields {
        // A field's value is what stands between white space (RFC 9112 section 5).
        headers.append(*name, HeaderValue::from_bytes(value.trim().as_bytes()).unwrap());
    }
    headers
}

#[test]
fn the_library_gives_each_vector_its_reason_cached_or_not() {
    let mut failures = Vec::new();
    let mut count = 0;
    for sources in [Sources::CookieAndHeader, Sources::Header] {
        let doors = [("remembers", Door::new(sources, 1 << 20)), ("forgets", Door::new(sources, 0))];
        for vector in TABLE.iter().filter(|vector| vector.request.sources == sources && vector.is_for_library()) {
            count += 1;
            for (door, round) in doors.iter().flat_map(|door| [(door, 1), (door, 2)]) {
                let (case, door) = door;
                let reason = door.reason(vector);
                if reason != vector.verdict.reason {
                    failures.push(format!("{vector}, {reason} found in round {round} of the one that {case}"));
                }
            }
        }
    }
    assert_none(&failures);
    assert!(count >= 600, "only {count} vectors are for the library");
}
