//! One configuration follows another: what stays known, and what is forgotten.

use super::*;
use crate::keys::fetch::Fetcher;

fn config(user_pools: impl Into<Vec<UserPool>>) -> AuthorizerConfig {
    let forwarded_claims = forwarded_claims();
    AuthorizerConfig {
        user_pools: user_pools.into(),
        forwarded_claims,
        cache_max_bytes: CACHE,
        ..AuthorizerConfig::default()
    }
}

impl Gate {
    /// Puts the authorizer of the next configuration in the place of this one.
    fn reload(&mut self, user_pools: impl Into<Vec<UserPool>>) {
        self.authorizer = self.authorizer.succeed(config(user_pools));
    }
}

fn tokens() -> [String; 2] {
    [MAIN, ANY].map(|issuer| token(TokenUse::Id, &json!({ "iss": issuer })))
}

#[test]
fn keys_and_verified_tokens_outlive_a_configuration_that_does_not_touch_their_pool() {
    let mut gate = Gate::new(CACHE);
    let [main, any] = tokens();
    assert_eq!([&main, &any].map(|token| gate.reason(token, &policy())), ["ok"; 2]);
    let other_clients = UserPool { clients: crate::pool::ClientRule::Any, ..pool("main", MAIN) };
    gate.reload([pool("any", ANY), other_clients]);
    assert_eq!([&main, &any].map(|token| gate.reason(token, &policy())), ["ok"; 2], "neither has lost its keys");
    assert_eq!(gate.hits_and_misses(), (1, 3), "only the pool that changed has lost its tokens");
    assert_eq!(gate.reason(&token(TokenUse::Id, &json!({ "aud": "stranger" })), &policy()), "ok");
}

#[test]
fn a_client_that_left_the_configuration_is_refused_although_its_token_was_remembered() {
    let mut gate = Gate::new(CACHE);
    let [main, _] = tokens();
    assert_eq!(gate.reason(&main, &policy()), "ok");
    let clients = crate::pool::ClientRule::Listed(["other-client".into()].into());
    gate.reload([UserPool { clients, ..pool("main", MAIN) }, pool("any", ANY)]);
    assert_eq!(gate.reason(&main, &policy()), "client_not_allowed");
}

#[test]
fn a_pool_that_left_takes_its_tokens_along_even_if_another_has_its_place_or_its_name() {
    let mut gate = Gate::new(CACHE);
    let [main, any] = tokens();
    assert_eq!([&main, &any].map(|token| gate.reason(token, &policy())), ["ok"; 2]);

    gate.reload([pool("any", ANY), pool("main", &format!("{MAIN}2"))]);
    assert_eq!(gate.reason(&main, &policy()), "issuer_unknown");
    assert_eq!(gate.reason(&any, &policy()), "ok");
    assert_eq!(gate.authorizer.pools_without_keys().collect::<Vec<_>>(), ["main"], "another address, other keys");

    gate.reload([pool("any", ANY)]);
    assert_eq!(gate.reason(&main, &policy()), "issuer_unknown");
    gate.reload([pool("main", MAIN), pool("any", ANY)]);
    assert_eq!(gate.reason(&main, &policy()), "keys_unavailable", "it is back, and nothing is remembered of it");
    gate.publish([&KEYS[0]]);
    assert_eq!(gate.reason(&main, &policy()), "ok");
    assert_eq!(gate.hits_and_misses(), (1, 6), "verified anew");
}

#[test]
fn what_an_old_configuration_remembers_does_not_count_for_the_new_one() {
    let mut gate = Gate::new(CACHE);
    let [main, any] = tokens();
    let old = std::mem::replace(&mut gate.authorizer, Gate::without_keys(0, []).authorizer);
    gate.authorizer = old.succeed(config([pool("any", ANY)]));
    // A request that began under the old configuration ends under it.
    let verdict = old.decide(Some(RawToken::new(main.as_bytes())), &policy());
    assert!(verdict.is_ok(), "{verdict:?}");
    assert_eq!(gate.reason(&main, &policy()), "issuer_unknown");
    assert_eq!(gate.reason(&any, &policy()), "ok");
    assert!(old.decide(Some(RawToken::new(any.as_bytes())), &policy()).is_ok());
}

#[test]
fn times_of_the_keys_that_changed_leave_the_keys() {
    let mut gate = Gate::new(CACHE);
    let [main, _] = tokens();
    let mut shorter = pool("main", MAIN);
    shorter.jwks.max_stale = std::time::Duration::from_secs(10);
    gate.reload([shorter, pool("any", ANY)]);
    assert_eq!(gate.reason(&main, &policy()), "ok");
    gate.clock.set(NOW + 11);
    assert_eq!(gate.reason(&main, &policy()), "keys_unavailable", "the new limit holds");
}

#[test]
fn another_size_or_other_forwarded_claims_begin_with_an_empty_cache() {
    let [main, _] = tokens();
    for (change, misses) in [
        (config([pool("main", MAIN)]), 1),
        (AuthorizerConfig { cache_max_bytes: 2 * CACHE, ..config([pool("main", MAIN)]) }, 2),
        (AuthorizerConfig { forwarded_claims: ForwardedClaims::default(), ..config([pool("main", MAIN)]) }, 2),
    ] {
        let mut gate = Gate::new(CACHE);
        assert_eq!(gate.reason(&main, &policy()), "ok");
        gate.authorizer = gate.authorizer.succeed(change);
        assert_eq!(gate.reason(&main, &policy()), "ok");
        assert_eq!(gate.hits_and_misses().1, misses);
    }
}

#[tokio::test]
async fn each_address_is_refreshed_once_and_by_nobody_once_no_configuration_has_it() {
    let fetcher = Fetcher::new().unwrap();
    let local = |name, issuer| UserPool { jwks_uri: "http://127.0.0.1:1/".parse().unwrap(), ..pool(name, issuer) };
    let mut gate = Gate::without_keys(CACHE, [local("main", MAIN), local("any", ANY)]);
    let pools = |gate: &Gate| {
        let refreshers = gate.authorizer.refreshers(&fetcher);
        refreshers.map(|refresher| (refresher.user_pool().to_owned(), refresher)).collect::<Vec<_>>()
    };
    let first = pools(&gate);
    assert_eq!(first.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["main", "any"]);
    assert!(pools(&gate).is_empty());

    let mut changed = local("any", ANY);
    changed.jwks.refresh *= 2;
    gate.reload([local("main", MAIN), changed]);
    assert_eq!(pools(&gate).iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["any"]);
    let mut first = first.into_iter();
    let ((_, main), (_, any)) = (first.next().unwrap(), first.next().unwrap());
    let main = tokio::spawn(main.run());
    any.run().await;
    assert!(!main.is_finished());
    gate.reload([]);
    main.await.unwrap();
}

#[test]
fn the_series_of_a_pool_go_with_it() {
    let registry = prometheus::Registry::new();
    let metrics = AuthMetrics::register(&registry).unwrap();
    let series = || {
        let families = registry.gather();
        let metrics = families.iter().flat_map(|family| family.get_metric().to_vec());
        metrics.filter(|metric| metric.get_label().iter().any(|label| label.value() == "main")).count()
    };
    let clock = Arc::new(crate::clock::FixedClock::at(NOW));
    let first = Authorizer::new(config([pool("main", MAIN)]), clock, metrics);
    let with_pool = series();
    assert!(with_pool > 0);
    let mut changed = pool("main", MAIN);
    changed.jwks.refresh *= 2;
    let second = first.succeed(config([changed]));
    drop(first);
    assert_eq!(series(), with_pool, "the pool is still there");
    let third = second.succeed(config([]));
    assert_eq!(series(), with_pool, "requests may still be under way");
    drop(second);
    assert_eq!(series(), 0);
    drop(third.succeed(config([pool("main", MAIN)])));
    assert_eq!(series(), 0);
}
