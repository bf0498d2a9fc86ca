//! The authorizer under test, and what is done to it.

use std::sync::{Arc, PoisonError, RwLock};

use cognigate_auth::{
    authorizer::{Authorizer, AuthorizerConfig},
    clock::{Clock, FixedClock},
    identity::ForwardedClaims,
    metrics::AuthMetrics,
    policy::Policy,
    revocation::{Revocation, RevocationList, Subject, SubjectKind},
    token::RawToken,
};
use prometheus::{Registry, TextEncoder};

use crate::{
    change::{Change, Entry},
    model::{State, accepted},
    world::{FORWARDED, Token, World, pool},
};

pub(crate) struct Gate {
    world: Arc<World>,
    authorizer: RwLock<Arc<Authorizer>>,
    revocations: Arc<RevocationList>,
    clock: Arc<FixedClock>,
    registry: Registry,
}

impl Gate {
    pub(crate) fn new(world: &Arc<World>, state: &State) -> Self {
        let registry = Registry::new();
        let revocations = Arc::new(RevocationList::new(1_000));
        let clock = Arc::new(FixedClock::at(state.now));
        let pools = state.pools.clone().map(|pool| pool.map(|pool| pool.clients));
        let config = config(&pools, state.forwarded, state.cache_bytes, &revocations);
        let metrics = AuthMetrics::register(&registry).unwrap();
        let authorizer = Authorizer::new(config, Arc::clone(&clock) as Arc<dyn Clock>, metrics);
        Self { world: Arc::clone(world), authorizer: RwLock::new(Arc::new(authorizer)), revocations, clock, registry }
    }

    pub(crate) fn apply(&self, change: &Change) {
        match change {
            Change::Clock(now) => self.clock.set(*now),
            Change::Configuration { pools, forwarded, cache_bytes } => {
                let config = config(pools, *forwarded, *cache_bytes, &self.revocations);
                let next = Arc::new(self.authorizer().succeed(config));
                *self.authorizer.write().unwrap_or_else(PoisonError::into_inner) = next;
            }
            Change::Keys(number, keys) => {
                let name = pool(*number, &[]).name;
                // A pool that is not there publishes to nobody.
                let _ = self.authorizer().import_keys(&name, self.world.document(keys).as_bytes());
            }
            Change::Purge => {
                self.revocations.purge(self.clock.now());
            }
            Change::Replace(source, entries) => {
                self.revocations.replace(*source, entries.iter().map(revocation).collect()).unwrap();
            }
            Change::Restore(source, (kind, text)) => {
                assert!(self.revocations.remove(*source, &Subject::new(*kind, text).unwrap()));
            }
            Change::Revoke(source, entry) => self.revocations.add(*source, revocation(entry)).unwrap(),
        }
    }

    /// The verdict, in the model's words.
    pub(crate) fn verdict(&self, token: &Token, policy: &Policy) -> String {
        let verdict = self.authorizer().decide(Some(RawToken::new(token.text.as_bytes())), policy);
        match verdict {
            Err(rejection) => rejection.reason().to_owned(),
            Ok(verified) => {
                let identity = verified.identity();
                let forwarded = identity.forwarded().iter().map(|value| Some(value.as_ref()?.to_str().unwrap()));
                accepted(identity.sub(), identity.client_id(), identity.jti(), forwarded)
            }
        }
    }

    /// The value of a metric of the cache.
    pub(crate) fn cache_metric(&self, name: &str) -> u64 {
        metric(&self.registry, name)
    }

    /// The entries and bytes of the cache once nobody uses it any more.
    pub(crate) fn close(self) -> [u64; 2] {
        let Self { authorizer, registry, .. } = self;
        drop(authorizer);
        ["entries", "bytes"].map(|name| metric(&registry, name))
    }

    fn authorizer(&self) -> Arc<Authorizer> {
        Arc::clone(&self.authorizer.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn config(
    pools: &[Option<Vec<usize>>],
    forwarded: usize,
    cache_max_bytes: usize,
    revocations: &Arc<RevocationList>,
) -> AuthorizerConfig {
    let pools = (0..).zip(pools).filter_map(|(number, clients)| Some(pool(number, clients.as_ref()?)));
    let forwarded: Vec<Box<str>> = FORWARDED[forwarded].iter().map(|claim| Box::from(*claim)).collect();
    AuthorizerConfig {
        user_pools: pools.collect(),
        forwarded_claims: ForwardedClaims::new(forwarded),
        cache_max_bytes,
        revocations: Arc::clone(revocations),
        ..AuthorizerConfig::default()
    }
}

fn revocation(Entry { subject: (kind, text), issued_before, expires_at }: &Entry) -> Revocation {
    Revocation {
        subject: Subject::new(*kind, text).unwrap(),
        issued_before: (*kind == SubjectKind::Sub).then_some(*issued_before),
        expires_at: *expires_at,
        made_at: 0,
    }
}

fn metric(registry: &Registry, name: &str) -> u64 {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let name = format!("cognigate_token_cache_{name} ");
    text.lines().find_map(|line| line.strip_prefix(&*name)).unwrap().parse().unwrap()
}
