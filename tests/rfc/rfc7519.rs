//! RFC 7519: JSON Web Token.

use cognigate_auth::{
    local_pool::{claims, with},
    policy::TokenUse,
};
use serde_json::json;

use crate::gate::{
    CLIENT, HEADER, ISSUER, KEY, NOW, encode, parts, payload, reason, reason_for_claims, reason_for_header,
    reason_for_payload, token,
};

#[test]
fn section_2_numeric_dates_are_whole_seconds() {
    let unnumbered = payload().replace(r#""exp":"#, r#""no_exp":"#).replace(r#""iat":"#, r#""no_iat":"#);
    let with_dates = |exp: &str, iat: &str, nbf: &str| {
        let dates = format!(r#"{{"exp":{exp},"iat":{iat},"nbf":{nbf},"#);
        reason_for_payload(unnumbered.replacen('{', &dates, 1))
    };
    assert_eq!(with_dates("1700003600", "1700000000", "1700000000"), "ok");
    for date in
        ["\"1700000000\"", "1700000000.0", "1.7e9", "-1", "18446744073709551616", "true", "null", "[1700000000]"]
    {
        assert_eq!(with_dates(date, "1700000000", "1700000000"), "token_malformed", "exp {date}");
        assert_eq!(with_dates("1700003600", date, "1700000000"), "token_malformed", "iat {date}");
        assert_eq!(with_dates("1700003600", "1700000000", date), "token_malformed", "nbf {date}");
    }
}

#[test]
fn section_4_claim_names_are_unique() {
    for twin in [
        format!(r#""iss":"{ISSUER}""#),
        format!(r#""\u0069ss":"{ISSUER}""#),
        r#""sub":"someone""#.to_owned(),
        r#""token_use":"id""#.to_owned(),
        format!(r#""aud":"{CLIENT}""#),
        format!(r#""exp":{}"#, NOW + 9),
        format!(r#""iat":{NOW}"#),
        r#""nbf":1,"nbf":1"#.to_owned(),
        r#""scope":"a","scope":"a""#.to_owned(),
        r#""cognito:groups":["a"],"cognito:groups":["a"]"#.to_owned(),
        r#""client_id":"a","client_id":"a""#.to_owned(),
        r#""jti":"j""#.to_owned(),
        r#""origin_jti":"j""#.to_owned(),
    ] {
        let payload = payload().replacen('{', &format!("{{{twin},"), 1);
        assert_eq!(reason_for_payload(payload), "token_malformed", "{twin}");
    }
}

#[test]
fn section_4_unknown_claims_are_ignored() {
    let deep = format!("{}1{}", "[".repeat(3_000), "]".repeat(3_000));
    for claim in [r#""custom:x":"1""#.to_owned(), r#""acr":{"a":[null]}"#.to_owned(), format!(r#""deep":{deep}"#)] {
        let payload = payload().replacen('{', &format!("{{{claim},"), 1);
        assert_eq!(reason_for_payload(payload), "ok");
    }
}

#[test]
fn section_4_1_1_iss_is_one_exact_string() {
    for (iss, expected) in [
        (json!(ISSUER), "ok"),
        (json!(null), "token_malformed"),
        (json!([ISSUER]), "token_malformed"),
        (json!(5), "token_malformed"),
        (json!(ISSUER.to_uppercase()), "issuer_unknown"),
        (json!(format!("{ISSUER}/")), "issuer_unknown"),
        (json!(ISSUER.replace("eu-west-1_AbC123xyz", "eu-west-1_abc123xyz")), "issuer_unknown"),
        (json!(ISSUER.replace("https", "http")), "issuer_unknown"),
        (json!(""), "issuer_unknown"),
    ] {
        assert_eq!(reason_for_claims(&json!({ "iss": iss })), expected, "{iss}");
    }
}

#[test]
fn section_4_1_2_sub_is_a_string() {
    for sub in [json!(null), json!(5), json!(["s"]), json!({ "s": 1 })] {
        assert_eq!(reason_for_claims(&json!({ "sub": sub })), "token_malformed", "{sub}");
    }
}

#[test]
fn section_4_1_3_a_token_for_another_audience_is_refused() {
    for (aud, expected) in [
        (json!(CLIENT), "ok"),
        (json!("stranger"), "client_not_allowed"),
        (json!(CLIENT.to_uppercase()), "client_not_allowed"),
        (json!(""), "client_not_allowed"),
        (json!(null), "token_malformed"),
        (json!(5), "token_malformed"),
        // Stricter: Cognito's ID tokens have one audience.
        (json!([CLIENT]), "token_malformed"),
    ] {
        assert_eq!(reason_for_claims(&json!({ "aud": aud })), expected, "{aud}");
    }
}

/// An access token names its client in `client_id`; its `aud`, if any, is the resource of RFC 8707.
#[test]
fn section_4_1_3_the_audience_of_an_access_token_is_its_client() {
    for (changes, expected) in [
        (json!({}), "ok"),
        (json!({ "aud": "https://api.example.com" }), "ok"),
        (json!({ "aud": ["https://api.example.com"] }), "ok"),
        (json!({ "client_id": "stranger" }), "client_not_allowed"),
        (json!({ "client_id": "stranger", "aud": CLIENT }), "client_not_allowed"),
        (json!({ "client_id": null, "aud": CLIENT }), "token_malformed"),
        (json!({ "client_id": [CLIENT] }), "token_malformed"),
    ] {
        let mut claims = claims(ISSUER, CLIENT, TokenUse::Access, NOW);
        with(&mut claims, &changes);
        assert_eq!(reason(KEY.mint(&claims).unwrap()), expected, "{changes}");
    }
}

#[test]
fn section_4_1_4_a_token_is_dead_on_and_after_exp() {
    for (exp, expected) in [(NOW + 1, "ok"), (NOW, "token_expired"), (NOW - 1, "token_expired"), (0, "token_expired")] {
        assert_eq!(reason_for_claims(&json!({ "exp": exp, "iat": null })), expected, "{exp}");
    }
}

/// Stricter: the RFC makes `exp` optional and sets no bound. Cognito's tokens live for a day at most.
#[test]
fn section_4_1_4_exp_is_present_and_near() {
    assert_eq!(reason_for_claims(&json!({ "exp": NOW + 86_400 + 300 })), "ok");
    for exp in [json!(null), json!(NOW + 86_400 + 301), json!(10_000_000_000_u64), json!(u64::MAX)] {
        assert_eq!(reason_for_claims(&json!({ "exp": exp })), "token_malformed", "{exp}");
    }
}

#[test]
fn section_4_1_5_a_token_is_not_accepted_before_nbf() {
    for (nbf, expected) in [(0, "ok"), (NOW, "ok"), (NOW + 1, "token_not_yet_valid"), (u64::MAX, "token_not_yet_valid")]
    {
        assert_eq!(reason_for_claims(&json!({ "nbf": nbf })), expected, "{nbf}");
    }
}

#[test]
fn section_4_1_6_iat_is_a_number_and_not_after_the_end() {
    for (iat, expected) in [
        (json!(NOW), "ok"),
        (json!(NOW + 60), "ok"),
        (json!(null), "ok"),
        (json!("now"), "token_malformed"),
        (json!(NOW + 3601), "token_malformed"),
    ] {
        assert_eq!(reason_for_claims(&json!({ "iat": iat })), expected, "{iat}");
    }
}

#[test]
fn section_4_1_7_jti_is_a_string() {
    assert_eq!(reason_for_claims(&json!({ "jti": null, "origin_jti": null })), "ok");
    for claim in ["jti", "origin_jti"] {
        assert_eq!(reason_for_claims(&json!({ claim: 5 })), "token_malformed", "{claim}");
    }
}

#[test]
fn section_5_1_typ_is_left_to_the_application() {
    for typ in ["JWT", "jwt", "at+jwt", "anything"] {
        assert_eq!(reason_for_header(&format!(r#"{{"typ":"{typ}","kid":"a","alg":"RS256"}}"#)), "ok", "{typ}");
    }
}

#[test]
fn section_5_2_a_nested_token_is_refused() {
    let nested = KEY.mint_raw(r#"{"kid":"a","alg":"RS256","cty":"JWT"}"#, &token()).unwrap();
    assert_eq!(reason(nested), "token_malformed");
    assert_eq!(reason_for_payload(token()), "token_malformed");
}

#[test]
fn section_7_2_an_encrypted_token_is_refused() {
    let header = encode(r#"{"cty":"JWT","enc":"A256GCM","alg":"RSA-OAEP"}"#);
    assert_eq!(reason(format!("{header}.AAAA.AAAA.AAAA.AAAA")), "token_malformed");
    assert_eq!(reason_for_header(r#"{"kid":"a","alg":"RS256","enc":"A256GCM"}"#), "token_malformed");
}

#[test]
fn section_7_2_the_claims_are_a_complete_json_object() {
    let good = payload();
    let pretty = serde_json::to_string_pretty(&claims(ISSUER, CLIENT, TokenUse::Id, NOW)).unwrap();
    for payload in [format!(" \r\n\t{good}\n"), good.replace("://", r":\/\/"), pretty] {
        assert_eq!(reason_for_payload(&payload), "ok", "{payload}");
    }
    for payload in [
        format!("{good}x"),
        format!("{good}{good}"),
        format!("[{good}]"),
        format!("\u{feff}{good}"),
        good.replacen('{', "{,", 1),
        good.trim_end_matches('}').to_owned(),
        format!(r#"["{ISSUER}","s","id",{},null,null,"{CLIENT}","{CLIENT}","",[],"j","o"]"#, NOW + 9),
        "null".to_owned(),
        "5".to_owned(),
    ] {
        assert_eq!(reason_for_payload(&payload), "token_malformed", "{payload}");
    }
}

#[test]
fn section_7_2_the_claims_are_utf_8() {
    let split = payload();
    let (before, after) = split.split_at(1);
    for bytes in [b"\xff".as_slice(), b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
        let payload = [before.as_bytes(), br#""name":""#, bytes, br#"","#, after.as_bytes()].concat();
        assert_eq!(reason_for_payload(payload), "token_malformed", "{bytes:?}");
    }
}

#[test]
fn section_7_2_a_token_without_a_period_is_refused() {
    let token = token();
    let [header, payload, signature] = parts(&token);
    assert_eq!(reason(format!("{header}{payload}{signature}")), "token_malformed");
    assert_eq!(reason(HEADER), "token_malformed");
}
