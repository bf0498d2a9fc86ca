//! Which token passes which route, and the one reason that it gets where it does not.

mod fixture;
mod remembered;
mod revoked;
mod succession;

use std::collections::HashSet;

use serde_json::json;

use fixture::*;

use super::*;
use crate::{
    local_pool::{self, claims},
    policy::{TokenUse, TokenUseRule},
    pool::IssuerEndpoint,
    revocation::SubjectKind,
};

/// A rejection, a token that meets every rule before its, and a policy.
type Case = (Rejection, String, Policy);

fn refused() -> Vec<Case> {
    let id = |changes| token(TokenUse::Id, &changes);
    let key = &KEYS[0];
    let payload = claims(MAIN, "client", TokenUse::Id, NOW).to_string();
    let foreign = signed(&KEYS[1].renamed("a"), TokenUse::Id, &unchanged());
    let only = |token_use| Policy { token_use, ..policy() };
    let pools = |name: &str| Policy { user_pools: [name.into()].into(), ..policy() };
    let scopes = |scope: &str| Policy { scopes_any: [scope.into()].into(), ..policy() };
    let groups = |group: &str| Policy { groups_any: [group.into()].into(), ..policy() };
    vec![
        (Rejection::AlgNotAllowed, key.mint_raw(r#"{"kid":"a","alg":"RS384"}"#, &payload).unwrap(), policy()),
        (Rejection::ClientNotAllowed, id(json!({ "aud": "stranger" })), policy()),
        (Rejection::GroupMissing, id(json!({ "cognito:groups": ["reader"] })), groups("readers")),
        (Rejection::GroupMissing, id(unchanged()), groups("readers")),
        (Rejection::IssuerUnknown, id(json!({ "iss": "https://issuer.example" })), policy()),
        (Rejection::IssuerUnknown, id(json!({ "iss": format!("{MAIN}/") })), policy()),
        (Rejection::IssuerUnknown, id(unchanged()), pools("any")),
        (Rejection::KidUnknown, signed(&KEYS[1], TokenUse::Id, &unchanged()), policy()),
        (Rejection::ScopeMissing, token(TokenUse::Access, &json!({ "scope": "items/read" })), scopes("items")),
        (Rejection::ScopeMissing, id(json!({ "scope": "items" })), scopes("items")),
        (Rejection::SignatureInvalid, foreign, policy()),
        (Rejection::TokenExpired, id(json!({ "exp": NOW })), policy()),
        (Rejection::TokenMalformed, "a.b".to_owned(), policy()),
        (Rejection::TokenMalformed, id(json!({ "aud": ["client"] })), policy()),
        (Rejection::TokenNotYetValid, id(json!({ "nbf": NOW + 1 })), policy()),
        (Rejection::TokenRevoked, id(json!({ "origin_jti": "revoked" })), groups("readers")),
        (Rejection::TokenTooLarge, id(json!({ "pad": "x".repeat(16 * 1024) })), policy()),
        (Rejection::TokenUseMismatch, id(unchanged()), only(TokenUseRule::Access)),
        (Rejection::TokenUseMismatch, token(TokenUse::Access, &unchanged()), only(TokenUseRule::Id)),
        (Rejection::TokenUseMismatch, id(json!({ "token_use": "refresh" })), policy()),
    ]
}

#[test]
fn each_rule_has_its_reason_with_and_without_a_cache() {
    let mut seen = HashSet::new();
    for gate in [Gate::new(0), Gate::new(CACHE)] {
        gate.revoke(SubjectKind::OriginJti, "revoked", None);
        for (rejection, token, policy) in refused() {
            for time in ["first", "second"] {
                assert_eq!(gate.reason(&token, &policy), rejection.reason(), "{time} time");
            }
            seen.insert(rejection);
        }
        assert_eq!(gate.authorizer.decide(None, &policy()).err(), Some(Rejection::TokenMissing));
        seen.insert(Rejection::TokenMissing);

        gate.clock.set(NOW + MAX_STALE + 1);
        assert_eq!(gate.reason(&token(TokenUse::Id, &unchanged()), &policy()), "keys_unavailable");
        seen.insert(Rejection::KeysUnavailable);
    }
    assert_eq!(seen, HashSet::from(Rejection::ALL));
}

#[test]
fn a_token_that_breaks_many_rules_gets_the_first_reason() {
    let gate = Gate::new(CACHE);
    gate.revoke(SubjectKind::Jti, "revoked", None);
    let strict = Policy {
        user_pools: ["main".into()].into(),
        token_use: TokenUseRule::Id,
        scopes_any: ["s".into()].into(),
        groups_any: ["g".into()].into(),
    };
    let wrong = json!({ "exp": NOW - 1, "nbf": NOW + 1, "client_id": "stranger" });
    let mut claims = claims(ANY, "stranger", TokenUse::Access, NOW);
    for (mend, reason) in [
        (wrong, "issuer_unknown"),
        (json!({ "iss": MAIN }), "kid_unknown"),
        (unchanged(), "token_expired"),
        (json!({ "exp": NOW + 9 }), "token_not_yet_valid"),
        (json!({ "nbf": null, "exp": NOW + 90_000 }), "token_malformed"),
        (json!({ "exp": NOW + 9, "iat": null }), "token_use_mismatch"),
        (json!({ "token_use": "id", "aud": "stranger" }), "client_not_allowed"),
        (json!({ "aud": "client" }), "signature_invalid"),
        (json!({ "jti": "revoked" }), "token_revoked"),
        (json!({ "jti": "another" }), "scope_missing"),
    ] {
        local_pool::with(&mut claims, &mend);
        let kid = if reason == "issuer_unknown" || reason == "kid_unknown" { "b" } else { "a" };
        let key = if ["token_revoked", "scope_missing"].contains(&reason) { &KEYS[0] } else { &KEYS[1] };
        assert_eq!(gate.reason(&key.renamed(kid).mint(&claims).unwrap(), &strict), reason);
    }
}

#[test]
fn a_good_token_tells_who_calls() {
    let gate = Gate::new(CACHE);
    let changes = json!({ "cognito:groups": ["readers", "a b"], "scope": "items/read  items/write", "nbf": NOW });
    for time in ["first", "second"] {
        let verified = gate.authorize(&token(TokenUse::Access, &changes), &policy()).unwrap();
        let identity = verified.identity();
        assert_eq!(identity.pool().name, "main".into(), "{time} time");
        assert_eq!(identity.token_use(), TokenUse::Access);
        assert_eq!(identity.sub(), "8f14e45f-ceea-467f-a8e8-3c1d2f0b9a01");
        assert_eq!(identity.client_id(), "client");
        assert_eq!(identity.scopes().collect::<Vec<_>>(), ["items/read", "items/write"]);
        assert_eq!(identity.groups().collect::<Vec<_>>(), ["readers", "a b"]);
        assert_eq!(identity.jti(), Some("b7a1d4c2-93e8-4f6d-8c5b-2a1f0e9d8c7b"));
        assert_eq!(identity.origin_jti(), Some("0d9f5b0e-6f0b-4a53-9d3e-1f6a2b7c8d9e"));
        assert_eq!((identity.issued_at(), identity.expires_at()), (Some(NOW), NOW + 3600));
    }
    assert_eq!(gate.hits_and_misses(), (1, 1));
}

#[test]
fn an_id_token_has_no_scopes_whatever_it_says() {
    let gate = Gate::new(CACHE);
    let verified = gate.authorize(&token(TokenUse::Id, &json!({ "scope": "admin" })), &policy()).unwrap();
    assert_eq!(verified.identity().scopes().count(), 0);
    assert_eq!(verified.identity().client_id(), "client");
}

#[test]
fn a_pool_with_any_client_takes_every_client_and_no_other_pools_tokens() {
    let gate = Gate::new(CACHE);
    let stranger = token(TokenUse::Id, &json!({ "iss": ANY, "aud": "stranger" }));
    assert_eq!(gate.reason(&stranger, &policy()), "ok");
    assert_eq!(gate.reason(&token(TokenUse::Id, &json!({ "aud": "other-client" })), &policy()), "ok");
    assert_eq!(gate.reason(&token(TokenUse::Id, &json!({ "aud": "stranger" })), &policy()), "client_not_allowed");
}

#[test]
fn one_of_the_scopes_and_one_of_the_groups_is_enough() {
    let gate = Gate::new(CACHE);
    let words = |words: &[&str]| words.iter().map(|word| Box::from(*word)).collect();
    let token = token(TokenUse::Access, &json!({ "scope": "a b", "cognito:groups": ["g", "h"] }));
    for (scopes, groups, reason) in [
        (words(&["x", "b"]), words(&[]), "ok"),
        (words(&["a b"]), words(&[]), "scope_missing"),
        (words(&["x"]), words(&["g"]), "scope_missing"),
        (words(&[]), words(&["x", "h"]), "ok"),
        (words(&["a"]), words(&["x", "G"]), "group_missing"),
        (words(&["a"]), words(&["h"]), "ok"),
    ] {
        let policy = Policy { scopes_any: scopes, groups_any: groups, ..policy() };
        assert_eq!(gate.reason(&token, &policy), reason, "{policy:?}");
    }
}

#[test]
fn forwarded_claims_come_in_their_order_cached_or_not() {
    let gate = Gate::new(CACHE);
    let token = token(TokenUse::Id, &json!({ "email": null, "custom:tags": ["a,b", "c\r\nd"] }));
    for time in ["first", "second"] {
        let verified = gate.authorize(&token, &policy()).unwrap();
        let values = verified.identity().forwarded().iter();
        let values: Vec<_> = values.map(|value| value.as_ref().map(|value| value.to_str().unwrap())).collect();
        let sub = "8f14e45f-ceea-467f-a8e8-3c1d2f0b9a01";
        assert_eq!(values, [Some(sub), None, Some("a%2Cb,c%0D%0Ad")], "{time} time");
    }
}

#[test]
fn a_forwarded_claim_that_appears_twice_is_malformed() {
    let payload = claims(MAIN, "client", TokenUse::Id, NOW).to_string();
    for (claim, reason) in [("email", "token_malformed"), ("custom:unread", "ok")] {
        let payload = payload.replacen('{', &format!(r#"{{"{claim}":"x","custom:unread":1,"#), 1);
        let token = KEYS[0].mint_raw(r#"{"kid":"a","alg":"RS256"}"#, &payload).unwrap();
        assert_eq!(Gate::new(CACHE).reason(&token, &policy()), reason, "{claim}");
    }
}

#[test]
fn clock_skew_reaches_both_ends_of_a_tokens_life() {
    let skewed = UserPool { clock_skew: std::time::Duration::from_secs(30), ..pool("main", MAIN) };
    let gate = Gate::without_keys(CACHE, [skewed, pool("any", ANY)]);
    gate.publish([&KEYS[0]]);
    for (changes, reason) in [
        (json!({ "exp": NOW - 29 , "iat": NOW - 300 }), "ok"),
        (json!({ "exp": NOW - 30 , "iat": NOW - 300 }), "token_expired"),
        (json!({ "nbf": NOW + 30 }), "ok"),
        (json!({ "nbf": NOW + 31 }), "token_not_yet_valid"),
    ] {
        for time in ["first", "second"] {
            assert_eq!(gate.reason(&token(TokenUse::Id, &changes), &policy()), reason, "{changes}, {time} time");
        }
    }
}

#[test]
fn each_issuer_of_a_pool_has_keys_of_its_own() {
    let replica: crate::pool::Issuer = format!("{MAIN}-replica").parse().unwrap();
    let endpoint = IssuerEndpoint { jwks_uri: replica.jwks_uri().unwrap(), issuer: replica };
    let gate = Gate::without_keys(
        CACHE,
        [UserPool { alternatives: [endpoint].into(), ..pool("main", MAIN) }, pool("any", ANY)],
    );
    let missing = || gate.authorizer.pools_without_keys().collect::<Vec<_>>();
    let reason = |issuer: &str| gate.reason(&token(TokenUse::Id, &json!({ "iss": issuer })), &policy());
    let replica = format!("{MAIN}-replica");
    assert_eq!(missing(), ["any", "main"]);

    let source = optional_source(&gate);
    let keys = local_pool::jwks([&KEYS[0]]);
    source.store.publish(KeySet::parse(keys.as_bytes(), NOW, None).unwrap());
    assert_eq!(missing(), ["any"], "one issuer with keys is enough");
    assert_eq!((reason(&replica), reason(MAIN)), ("ok", "keys_unavailable"));
    source.store.deny();
    assert_eq!(reason(&replica), "ok", "there are keys, whatever is said now");

    gate.publish([&KEYS[0]]);
    assert_eq!(missing(), [""; 0]);
    assert_eq!((reason(&replica), reason(MAIN)), ("ok", "ok"));
}

/// The one address of keys that a pool may or may not publish.
fn optional_source(gate: &Gate) -> Arc<crate::keys::source::KeySource> {
    let mut sources = gate.authorizer.issuers.sources().iter().map(|held| Arc::clone(&held.source));
    sources.find(|source| !source.is_required).unwrap()
}

#[test]
fn an_issuer_that_its_service_denies_has_issued_nothing() {
    let replica: crate::pool::Issuer = format!("{MAIN}-replica").parse().unwrap();
    let endpoint = IssuerEndpoint { jwks_uri: replica.jwks_uri().unwrap(), issuer: replica };
    let gate = Gate::without_keys(CACHE, [UserPool { alternatives: [endpoint].into(), ..pool("main", MAIN) }]);
    let reason = || gate.reason(&token(TokenUse::Id, &json!({ "iss": format!("{MAIN}-replica") })), &policy());
    assert_eq!(reason(), "keys_unavailable", "nobody knows yet");
    optional_source(&gate).store.deny();
    assert_eq!(reason(), "issuer_unknown");
}

#[test]
fn issuers_whose_keys_have_one_address_share_them() {
    let mut main = pool("main", MAIN);
    let issuer = format!("{MAIN}-updated").parse().unwrap();
    main.alternatives = [IssuerEndpoint { issuer, jwks_uri: main.jwks_uri.clone() }].into();
    let gate = Gate::without_keys(CACHE, [main, pool("any", ANY)]);
    assert_eq!(gate.authorizer.issuers.sources().len(), 2, "one for each pool");
    gate.publish([&KEYS[0]]);
    let updated = token(TokenUse::Id, &json!({ "iss": format!("{MAIN}-updated") }));
    assert_eq!(gate.reason(&updated, &policy()), "ok");
}

#[test]
fn keys_that_cannot_be_imported_leave_the_old_ones() {
    let gate = Gate::new(CACHE);
    let import = |name, document: &str| gate.authorizer.import_keys(name, document.as_bytes());
    assert!(matches!(import("nobody", "{}"), Err(ImportError::UnknownPool)));
    assert!(matches!(import("main", r#"{"keys":[]}"#), Err(ImportError::Document(_))));
    assert_eq!(gate.reason(&token(TokenUse::Id, &unchanged()), &policy()), "ok");
}

#[test]
fn debug_of_a_verified_token_has_no_part_of_it() {
    let gate = Gate::new(CACHE);
    let token = token(TokenUse::Id, &unchanged());
    let verified = gate.authorize(&token, &policy()).unwrap();
    let text = format!("{verified:?} {:?}", gate.authorizer);
    for part in token.split('.') {
        assert!(!text.contains(part), "{text}");
    }
}
