//! Tokens that were verified before: the same answer as the first time, for as long as it is true.

use super::*;

/// Moments around every limit of the tokens and keys below.
fn moments() -> Vec<UnixSeconds> {
    let limits = [NOW, NOW - 60, NOW + 600, NOW + MAX_STALE];
    limits.iter().flat_map(|limit| [limit - 1, *limit, limit + 1]).chain([0, NOW - 90_000, NOW + 90_000]).collect()
}

fn policies() -> Vec<Policy> {
    let words = |words: &[&str]| -> Box<[Box<str>]> { words.iter().map(|word| Box::from(*word)).collect() };
    let mut policies = Vec::new();
    for token_use in [TokenUseRule::Access, TokenUseRule::Any, TokenUseRule::Id] {
        for user_pools in [words(&["main"]), words(&["any"])] {
            for scopes_any in [words(&[]), words(&["s"]), words(&["t"])] {
                for groups_any in [words(&[]), words(&["g"]), words(&["h"])] {
                    let (user_pools, scopes_any) = (user_pools.clone(), scopes_any.clone());
                    policies.push(Policy { user_pools, token_use, scopes_any, groups_any });
                }
            }
        }
    }
    policies
}

/// Tokens that are good now.
fn tokens() -> [String; 4] {
    [
        token(TokenUse::Id, &json!({ "cognito:groups": ["g"] })),
        token(TokenUse::Access, &json!({ "scope": "s", "nbf": NOW - 60, "exp": NOW + 600 })),
        token(TokenUse::Id, &json!({ "iss": ANY, "exp": NOW + 24 * 3600 + 300, "scope": "s" })),
        token(TokenUse::Access, &json!({ "iat": null, "cognito:groups": "h" })),
    ]
}

#[test]
fn every_combination_of_rules_gets_the_same_reason_cached_or_not() {
    let renewed = KEYS[1].renamed("a");
    let key_sets = [vec![&KEYS[0]], vec![&KEYS[1], &KEYS[0]], vec![&KEYS[1]], vec![&renewed]];
    let (cached, uncached) = (Gate::new(CACHE), Gate::new(0));
    let mut reasons = HashSet::new();
    for token in tokens() {
        for keys in &key_sets {
            for gate in [&cached, &uncached] {
                gate.clock.set(NOW);
                gate.publish([&KEYS[0]]);
                assert_eq!(gate.reason(&token, &policy()), "ok");
                gate.publish(keys.iter().copied());
            }
            for now in moments() {
                cached.clock.set(now);
                uncached.clock.set(now);
                for policy in policies() {
                    let reason = uncached.reason(&token, &policy);
                    assert_eq!(cached.reason(&token, &policy), reason, "at {now}, {policy:?}");
                    reasons.insert(reason);
                }
            }
        }
    }
    assert!(cached.hits_and_misses().0 > 1_000, "the cache was used");
    for reason in [
        "ok",
        "group_missing",
        "issuer_unknown",
        "keys_unavailable",
        "kid_unknown",
        "scope_missing",
        "signature_invalid",
        "token_expired",
        "token_malformed",
        "token_not_yet_valid",
        "token_use_mismatch",
    ] {
        assert!(reasons.remove(reason), "{reason} was never met");
    }
    assert_eq!(reasons, HashSet::new());
}

#[test]
fn a_token_whose_key_was_rotated_out_is_not_believed_any_more() {
    let gate = Gate::new(CACHE);
    let token = token(TokenUse::Id, &unchanged());
    assert_eq!(gate.reason(&token, &policy()), "ok");

    gate.publish([&KEYS[1], &KEYS[0]]);
    assert_eq!(gate.reason(&token, &policy()), "ok");
    assert_eq!(gate.hits_and_misses(), (1, 1), "a key that stays keeps its tokens");

    gate.publish([&KEYS[1]]);
    assert_eq!(gate.reason(&token, &policy()), "kid_unknown");
    gate.publish([&KEYS[1].renamed("a")]);
    assert_eq!(gate.reason(&token, &policy()), "signature_invalid");
    gate.publish([&KEYS[0].renamed("c")]);
    assert_eq!(gate.reason(&token, &policy()), "kid_unknown");
    assert_eq!(gate.hits_and_misses(), (1, 4), "a token whose key is gone is no hit");

    gate.publish([&KEYS[0]]);
    assert_eq!(gate.reason(&token, &policy()), "ok");
    assert_eq!(gate.reason(&token, &policy()), "ok");
    assert_eq!(gate.hits_and_misses(), (2, 5), "a key that comes back verifies anew");
}

#[test]
fn keys_that_are_too_old_decide_nothing_until_they_are_refreshed() {
    let gate = Gate::new(CACHE);
    let token = token(TokenUse::Id, &json!({ "exp": NOW + 2 * MAX_STALE }));
    for (now, reason) in [(NOW, "ok"), (NOW + MAX_STALE, "ok"), (NOW + MAX_STALE + 1, "keys_unavailable")] {
        gate.clock.set(now);
        assert_eq!(gate.reason(&token, &policy()), reason);
    }
    assert_eq!(gate.authorizer.pools_without_keys().collect::<Vec<_>>(), ["any", "main"]);
    gate.publish([&KEYS[0]]);
    assert_eq!(gate.reason(&token, &policy()), "ok");
    assert_eq!(gate.hits_and_misses(), (3, 1));
}

#[test]
fn a_token_that_one_route_refuses_is_remembered_for_the_others() {
    let gate = Gate::new(CACHE);
    let token = token(TokenUse::Id, &unchanged());
    let closed = Policy { groups_any: ["admins".into()].into(), ..policy() };
    assert_eq!(gate.reason(&token, &closed), "group_missing");
    assert_eq!(gate.reason(&token, &policy()), "ok");
    assert_eq!(gate.reason(&token, &closed), "group_missing");
    assert_eq!(gate.hits_and_misses(), (2, 1));
}

#[test]
fn only_verified_tokens_are_remembered() {
    let gate = Gate::new(CACHE);
    gate.revoke(SubjectKind::OriginJti, "revoked", None);
    let unverified = [Rejection::GroupMissing, Rejection::ScopeMissing];
    for (rejection, token, policy) in refused() {
        if !unverified.contains(&rejection) {
            assert_eq!(gate.reason(&token, &policy), rejection.reason());
        }
    }
    let good = token(TokenUse::Id, &unchanged());
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = rest.split_once('.').unwrap();
    let other = claims(MAIN, "client", TokenUse::Id, NOW + 1).to_string();
    let other = KEYS[1].mint_raw("{}", &other).unwrap();
    let stolen_signature = format!("{header}.{}.{signature}", other.split('.').nth(1).unwrap());
    assert_eq!(gate.authorizer.metrics.cache.entries.get(), 0);

    assert_eq!(gate.reason(&good, &policy()), "ok");
    assert_eq!(gate.authorizer.metrics.cache.entries.get(), 1);
    assert_eq!(gate.reason(&stolen_signature, &policy()), "signature_invalid");
    assert_eq!(gate.reason(&format!("{header}.{payload}.{}", "A".repeat(342)), &policy()), "signature_invalid");
    assert_eq!(gate.authorizer.metrics.cache.entries.get(), 1);
}

#[test]
fn every_decision_is_timed_once() {
    for (cache, cached, verified) in [(0, 0, 3), (CACHE, 2, 1)] {
        let gate = Gate::new(cache);
        let token = token(TokenUse::Id, &unchanged());
        for _ in 0..3 {
            gate.reason(&token, &policy());
        }
        let metrics = &gate.authorizer.metrics;
        assert_eq!(metrics.duration_cached.count(), cached);
        assert_eq!(metrics.duration_verified.get_sample_count(), verified);
        assert_eq!(gate.hits_and_misses(), (cached, if cache > 0 { 1 } else { 0 }));
    }
}

/// Whoever may not have tokens verified still has those that were.
#[tokio::test]
async fn only_a_token_that_must_be_verified_asks_whether_it_may() {
    let gate = Gate::new(CACHE);
    let (known, unknown) = (token(TokenUse::Id, &unchanged()), token(TokenUse::Id, &json!({ "sub": "another" })));
    assert_eq!(gate.reason(&known, &policy()), "ok");
    let ask = async |token: Option<&str>, answer: Result<(), &'static str>| {
        let mut asked = 0;
        let may_verify = || {
            asked += 1;
            answer
        };
        let token = token.map(|token| RawToken::new(token.as_bytes()));
        let verdict = gate.authorizer.authorize(token, &policy(), may_verify).await;
        (verdict.map(drop), asked)
    };
    assert_eq!(ask(Some(&known), Err("no")).await, (Ok(()), 0));
    assert_eq!(ask(None, Err("no")).await, (Err(Denial::Rejected(Rejection::TokenMissing)), 0));
    let before = gate.hits_and_misses();
    assert_eq!(ask(Some(&unknown), Err("no")).await, (Err(Denial::Unverified("no")), 1));
    assert_eq!(ask(Some("garbage"), Err("no")).await, (Err(Denial::Unverified("no")), 1));
    assert_eq!(gate.hits_and_misses(), before, "nothing was verified");
    assert_eq!(ask(Some("garbage"), Ok(())).await, (Err(Denial::Rejected(Rejection::TokenMalformed)), 1));
    assert_eq!(ask(Some(&unknown), Ok(())).await, (Ok(()), 1));
    assert_eq!(ask(Some(&unknown), Err("no")).await, (Ok(()), 0));
}
