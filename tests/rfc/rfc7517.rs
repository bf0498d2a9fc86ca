//! RFC 7517: JSON Web Key.

use serde_json::json;

use crate::gate::{FOREIGN_KEY, Gate, KEY, reason_with_key, reason_with_keys, token};

#[test]
fn section_4_member_names_are_unique() {
    let key = KEY.jwk().to_string();
    for twin in [r#""kid":"a""#, r#""kty":"RSA""#, r#""use":"sig""#, r#""alg":"RS256""#, r#""e":"AQAB""#] {
        let document = format!(r#"{{"keys":[{}]}}"#, key.replacen('{', &format!("{{{twin},"), 1));
        assert_eq!(reason_with_keys(&document), "unusable", "{twin}");
    }
}

#[test]
fn section_4_a_key_is_an_object() {
    let [n, e] = ["n", "e"].map(crate::gate::member);
    for key in [format!(r#"["RSA","a","sig","RS256",["verify"],"{n}","{e}"]"#), format!("\"{n}\""), "null".to_owned()] {
        assert_eq!(reason_with_keys(&format!(r#"{{"keys":[{key}]}}"#)), "unusable", "{key}");
    }
}

#[test]
fn section_4_unknown_members_are_ignored() {
    assert_eq!(reason_with_key(&json!({ "x5c": "no list", "x5t": 5, "new": { "deep": [null] } })), "ok");
}

#[test]
fn section_4_1_kty_is_present_and_case_sensitive() {
    for kty in [json!(null), json!("rsa"), json!("EC"), json!("oct"), json!("OKP"), json!(5), json!(["RSA"])] {
        assert_eq!(reason_with_key(&json!({ "kty": kty })), "unusable", "{kty}");
    }
}

#[test]
fn section_4_2_a_key_for_encryption_verifies_nothing() {
    for (usage, expected) in [
        (json!("sig"), "ok"),
        (json!(null), "ok"),
        (json!("enc"), "unusable"),
        (json!("SIG"), "unusable"),
        (json!("other"), "unusable"),
        (json!(1), "unusable"),
    ] {
        assert_eq!(reason_with_key(&json!({ "use": usage })), expected, "{usage}");
    }
}

#[test]
fn section_4_3_a_key_that_may_not_verify_verifies_nothing() {
    for (ops, expected) in [
        (json!(["verify"]), "ok"),
        (json!(["sign", "verify"]), "ok"),
        (json!(["sign"]), "unusable"),
        (json!(["encrypt", "wrapKey"]), "unusable"),
        (json!(["VERIFY"]), "unusable"),
        (json!([]), "unusable"),
        (json!("verify"), "unusable"),
        (json!([5]), "unusable"),
    ] {
        assert_eq!(reason_with_key(&json!({ "key_ops": ops })), expected, "{ops}");
    }
}

#[test]
fn section_4_4_a_key_for_another_algorithm_verifies_nothing() {
    for (alg, expected) in [
        (json!("RS256"), "ok"),
        (json!(null), "ok"),
        (json!("rs256"), "unusable"),
        (json!("RS512"), "unusable"),
        (json!("PS256"), "unusable"),
        (json!("RSA-OAEP"), "unusable"),
        (json!(256), "unusable"),
    ] {
        assert_eq!(reason_with_key(&json!({ "alg": alg })), expected, "{alg}");
    }
}

/// A member that is `null` is neither absent nor a string.
#[test]
fn section_4_null_is_not_absent() {
    for name in ["kid", "kty", "use", "key_ops", "alg", "n", "e"] {
        let mut key = KEY.jwk();
        key.as_object_mut().unwrap().insert(name.to_owned(), json!(null));
        assert_eq!(reason_with_keys(&json!({ "keys": [key] }).to_string()), "unusable", "{name}");
    }
}

#[test]
fn section_4_5_kid_is_a_case_sensitive_string() {
    for (kid, expected) in [
        (json!("a"), "ok"),
        (json!("A"), "kid_unknown"),
        (json!("a "), "kid_unknown"),
        (json!(5), "unusable"),
        (json!(["a"]), "unusable"),
        // Stricter: a key without a name is one that no Cognito token means.
        (json!(null), "unusable"),
    ] {
        assert_eq!(reason_with_key(&json!({ "kid": kid })), expected, "{kid}");
    }
}

/// Stricter: the RFC only wants names to be distinct. Where they are not, nobody can say which key is meant.
#[test]
fn section_4_5_different_keys_of_one_name_are_both_left_out() {
    let other = KEY.renamed("b").jwk();
    let document = |keys: &[_]| json!({ "keys": keys }).to_string();
    let (key, foreign) = (KEY.jwk(), FOREIGN_KEY.jwk());
    assert_eq!(reason_with_keys(&document(&[key.clone(), foreign.clone(), other.clone()])), "kid_unknown");
    assert_eq!(reason_with_keys(&document(&[foreign.clone(), key.clone(), foreign])), "unusable");
    assert_eq!(reason_with_keys(&document(&[key.clone(), other, key])), "ok");
}

#[test]
fn section_5_a_set_is_an_object_with_a_list_of_keys() {
    let key = KEY.jwk();
    for (document, expected) in [
        (format!(r#"{{"keys":[{key}]}}"#), "ok"),
        (format!("\n {{ \"other\" : 5, \"keys\" : [ {key} ] }} \n"), "ok"),
        (format!(r#"{{"keys":[{key}],"keys":[{key}]}}"#), "unusable"),
        (format!(r#"{{"KEYS":[{key}]}}"#), "unusable"),
        (format!(r#"{{"keys":{key}}}"#), "unusable"),
        (format!(r#"{{"keys":[{key}]}} x"#), "unusable"),
        (format!("[[{key}]]"), "unusable"),
        (format!("[{key}]"), "unusable"),
        (key.to_string(), "unusable"),
        ("{}".to_owned(), "unusable"),
        (String::new(), "unusable"),
    ] {
        assert_eq!(reason_with_keys(&document), expected, "{document}");
    }
}

#[test]
fn section_5_keys_that_are_not_understood_do_not_cost_the_others() {
    for odd in ["null", "5", "[]", "{}", r#"{"kty":"new"}"#, r#"{"kty":"RSA"}"#, r#"{"kid":5,"alg":5}"#] {
        let document = format!(r#"{{"keys":[{odd},{},{odd}]}}"#, KEY.jwk());
        assert_eq!(reason_with_keys(&document), "ok", "{odd}");
    }
}

#[test]
fn section_5_a_symmetric_key_of_the_same_name_is_not_used() {
    let [n] = ["n"].map(crate::gate::member);
    let document = json!({ "keys": [{ "kty": "oct", "kid": "a", "k": n }, KEY.jwk()] }).to_string();
    let gate = Gate::publishing(&document).unwrap();
    assert_eq!(gate.reason(token()), "ok");
}
