//! Tokens that are genuine and alive, and not wanted any more.

use super::*;
use crate::revocation::{Source, Subject};

const SUB: &str = "8f14e45f-ceea-467f-a8e8-3c1d2f0b9a01";
const JTI: &str = "b7a1d4c2-93e8-4f6d-8c5b-2a1f0e9d8c7b";
const ORIGIN_JTI: &str = "0d9f5b0e-6f0b-4a53-9d3e-1f6a2b7c8d9e";

/// Gates that have not seen the token, have seen it and remember it, and have seen it and do not.
fn gates(token: &str) -> [(Gate, &'static str); 3] {
    let gates = [(Gate::new(CACHE), "new"), (Gate::new(CACHE), "remembered"), (Gate::new(0), "not remembered")];
    for (gate, _) in &gates[1..] {
        assert_eq!(gate.reason(token, &policy()), "ok");
    }
    gates
}

#[test]
fn a_token_is_revoked_by_its_id_its_session_or_its_user() {
    let token = |changes| token(TokenUse::Access, &changes);
    for (kind, text, issued_before, changes, reason) in [
        (SubjectKind::Jti, JTI, None, unchanged(), "token_revoked"),
        (SubjectKind::Jti, JTI, None, json!({ "jti": "another" }), "ok"),
        (SubjectKind::Jti, JTI, None, json!({ "jti": null }), "ok"),
        (SubjectKind::OriginJti, ORIGIN_JTI, None, unchanged(), "token_revoked"),
        (SubjectKind::OriginJti, ORIGIN_JTI, None, json!({ "jti": "another", "iat": NOW - 9 }), "token_revoked"),
        (SubjectKind::OriginJti, ORIGIN_JTI, None, json!({ "origin_jti": null }), "ok"),
        (SubjectKind::OriginJti, JTI, None, unchanged(), "ok"),
        (SubjectKind::Sub, SUB, Some(NOW + 1), unchanged(), "token_revoked"),
        (SubjectKind::Sub, SUB, Some(NOW), unchanged(), "ok"),
        (SubjectKind::Sub, SUB, Some(NOW), json!({ "iat": NOW - 1 }), "token_revoked"),
        (SubjectKind::Sub, SUB, Some(0), json!({ "iat": null }), "token_revoked"),
        (SubjectKind::Sub, "another", Some(NOW + 1), unchanged(), "ok"),
    ] {
        let case = format!("{kind} {text} {issued_before:?}, {changes}");
        let token = token(changes);
        for (gate, case_of_gate) in gates(&token) {
            gate.revoke(kind, text, issued_before);
            for time in ["first", "second"] {
                assert_eq!(gate.reason(&token, &policy()), reason, "{case}, {case_of_gate}, {time} time");
            }
            assert!(gate.revocations.remove(Source::Shared, &Subject::new(kind, text).unwrap()));
            assert_eq!(gate.reason(&token, &policy()), "ok", "{case}, {case_of_gate}, taken back");
        }
    }
}

#[test]
fn who_may_not_call_is_told_that_first_and_what_was_granted_is_not_looked_at() {
    let token = token(TokenUse::Id, &unchanged());
    let strict = Policy { groups_any: ["readers".into()].into(), ..policy() };
    let access = Policy { token_use: TokenUseRule::Access, ..policy() };
    for (gate, case) in gates(&token) {
        assert_eq!(gate.reason(&token, &strict), "group_missing", "{case}");
        gate.revoke(SubjectKind::Jti, JTI, None);
        assert_eq!(gate.reason(&token, &strict), "token_revoked", "{case}");
        assert_eq!(gate.reason(&token, &access), "token_use_mismatch", "{case}");
    }
}

#[test]
fn a_revoked_token_never_enters_the_cache_and_one_that_is_there_stays() {
    let token = token(TokenUse::Id, &unchanged());
    let [(new, _), (remembered, _), _] = gates(&token);
    for gate in [&new, &remembered] {
        gate.revoke(SubjectKind::Jti, JTI, None);
        assert_eq!([(); 2].map(|()| gate.reason(&token, &policy())), ["token_revoked"; 2]);
    }
    assert_eq!((new.hits_and_misses(), new.authorizer.metrics.cache.entries.get()), ((0, 2), 0));
    assert_eq!((remembered.hits_and_misses(), remembered.authorizer.metrics.cache.entries.get()), ((2, 1), 1));
}

#[test]
fn while_it_is_not_known_what_is_revoked_nobody_is_let_through() {
    let token = token(TokenUse::Id, &unchanged());
    for (gate, case) in gates(&token) {
        gate.revocations.set_ready(false);
        assert_eq!(gate.reason(&token, &policy()), "keys_unavailable", "{case}");
        gate.revoke(SubjectKind::Jti, JTI, None);
        assert_eq!(gate.reason(&token, &policy()), "token_revoked", "{case}: what is known holds");
        assert_eq!(gate.reason("a.b", &policy()), "token_malformed", "{case}");
        assert!(gate.revocations.remove(Source::Shared, &Subject::new(SubjectKind::Jti, JTI).unwrap()));
        gate.revocations.set_ready(true);
        assert_eq!(gate.reason(&token, &policy()), "ok", "{case}");
    }
}

#[test]
fn an_explanation_says_what_of_the_token_is_revoked_and_repeats_nothing_of_it() {
    let gate = Gate::new(CACHE);
    let token = token(TokenUse::Id, &unchanged());
    let explain = || {
        let (findings, verdict) = gate.authorizer.explain(Some(RawToken::new(token.as_bytes())), &policy());
        let finding = findings.into_iter().find(|finding| finding.rule == "revocation").unwrap();
        assert_eq!(finding.rejection, verdict.err());
        (finding.values, finding.rejection)
    };
    assert_eq!(explain(), ("none of 0 revocations names the token".to_owned(), None));
    gate.revocations.set_ready(false);
    assert_eq!(explain(), ("it is not known yet what is revoked".to_owned(), Some(Rejection::KeysUnavailable)));
    for (kind, text, words) in [
        (SubjectKind::Sub, SUB, "the token's sub is among 1 revocations"),
        (SubjectKind::OriginJti, ORIGIN_JTI, "the token's origin_jti is among 2 revocations"),
        (SubjectKind::Jti, JTI, "the token's jti is among 3 revocations"),
    ] {
        gate.revoke(kind, text, Some(NOW + 1));
        assert_eq!(explain(), (words.to_owned(), Some(Rejection::TokenRevoked)));
    }
}
