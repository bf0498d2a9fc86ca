//! RFC 7515: JSON Web Signature.

use crate::gate::{
    FOREIGN_KEY, HEADER, KEY, encode, parts, payload, reason, reason_for_header, reason_for_payload, token,
};

#[test]
fn section_2_base64url_without_padding_line_breaks_or_white_space() {
    let token = token();
    let [header, payload, signature] = parts(&token);
    for (case, token) in [
        ("padded header", format!("{header}=.{payload}.{signature}")),
        ("padded payload", format!("{header}.{payload}==.{signature}")),
        ("padded signature", format!("{header}.{payload}.{signature}==")),
        ("line break in the payload", format!("{header}.{payload}\n.{signature}")),
        ("space in the header", format!(" {header}.{payload}.{signature}")),
        ("line break at the end", format!("{header}.{payload}.{signature}\r\n")),
        ("percent-encoded", format!("{header}.{payload}.%41{signature}")),
        ("not ASCII", format!("{header}.{payload}.{signature}\u{e9}")),
    ] {
        assert_eq!(reason(token), "token_malformed", "{case}");
    }
}

#[test]
fn section_2_the_standard_alphabet_is_another_alphabet() {
    // Nearly every signature has both; the claims may be changed until one does.
    let tokens = (0..100).map(|serial| {
        let payload = payload().replacen('{', &format!(r#"{{"serial":{serial},"#), 1);
        KEY.mint_raw(HEADER, &payload).unwrap()
    });
    let token =
        tokens.into_iter().find(|token| ['-', '_'].iter().all(|letter| parts(token)[2].contains(*letter))).unwrap();
    assert_eq!(reason(&token), "ok");
    let [header, payload, signature] = parts(&token);
    for (url_safe, standard) in [("-", "+"), ("_", "/")] {
        let restyled = signature.replace(url_safe, standard);
        assert_eq!(reason(format!("{header}.{payload}.{restyled}")), "token_malformed", "{standard}");
    }
}

/// Stricter: unused bits of the last letter are zero, so that a token has one text.
#[test]
fn section_2_one_text_for_each_value() {
    let token = token();
    // 256 bytes leave 4 unused bits in the last letter.
    let mut restyled = token.clone().into_bytes();
    let last = restyled.last_mut().unwrap();
    assert!(b"AQgw".contains(last), "{last}");
    *last += 1;
    assert_eq!(reason(restyled), "token_malformed");
    assert_eq!(reason(token), "ok");
}

#[test]
fn section_4_header_parameter_names_are_unique() {
    for header in [
        r#"{"kid":"a","alg":"RS256","alg":"RS256"}"#,
        r#"{"kid":"a","kid":"a","alg":"RS256"}"#,
        r#"{"kid":"a","alg":"none","alg":"RS256"}"#,
        r#"{"kid":"a","alg":"RS256","\u0061lg":"RS256"}"#,
    ] {
        assert_eq!(reason_for_header(header), "token_malformed", "{header}");
    }
}

#[test]
fn section_4_unknown_header_parameters_are_ignored() {
    for header in [r#"{"kid":"a","alg":"RS256","typ":"JWT"}"#, r#"{"new":{"deep":[null]},"kid":"a","alg":"RS256"}"#] {
        assert_eq!(reason_for_header(header), "ok", "{header}");
    }
}

#[test]
fn section_4_1_1_alg_is_present() {
    for header in [r#"{"kid":"a"}"#, r#"{"kid":"a","alg":null}"#, r#"{"kid":"a","ALG":"RS256"}"#] {
        assert_eq!(reason_for_header(header), "token_malformed", "{header}");
    }
}

#[test]
fn section_4_1_1_alg_is_a_case_sensitive_string() {
    for (alg, expected) in [
        (r#""rs256""#, "alg_not_allowed"),
        (r#""RS256 ""#, "alg_not_allowed"),
        (r#""""#, "alg_not_allowed"),
        (r#"["RS256"]"#, "token_malformed"),
        (r#"{"RS256":null}"#, "token_malformed"),
        ("256", "token_malformed"),
    ] {
        assert_eq!(reason_for_header(&format!(r#"{{"kid":"a","alg":{alg}}}"#)), expected, "{alg}");
    }
}

#[test]
fn section_4_1_1_an_alg_that_is_not_supported_is_refused() {
    for alg in ["none", "None", "HS256", "HS512", "RS384", "RS512", "PS256", "ES256", "EdDSA", "RSA1_5", "dir"] {
        assert_eq!(reason_for_header(&format!(r#"{{"kid":"a","alg":"{alg}"}}"#)), "alg_not_allowed", "{alg}");
    }
}

#[test]
fn section_4_1_1_none_is_refused_without_a_signature_too() {
    let unsigned = format!("{}.{}.", encode(r#"{"kid":"a","alg":"none"}"#), encode(payload()));
    assert_eq!(reason(unsigned), "alg_not_allowed");
    let unsigned = format!("{}.{}.", encode(HEADER), encode(payload()));
    assert_eq!(reason(unsigned), "token_malformed");
}

#[test]
fn section_4_1_2_to_4_1_6_a_key_that_the_token_names_is_not_believed() {
    let key = FOREIGN_KEY.jwk();
    for header in [
        format!(r#"{{"kid":"a","alg":"RS256","jwk":{key}}}"#),
        r#"{"kid":"a","alg":"RS256","jku":"https://evil.example/keys"}"#.to_owned(),
        r#"{"kid":"a","alg":"RS256","x5u":"https://evil.example/cert"}"#.to_owned(),
        r#"{"kid":"a","alg":"RS256","x5c":["MIIB"]}"#.to_owned(),
    ] {
        let token = FOREIGN_KEY.mint_raw(&header, &payload()).unwrap();
        assert_eq!(reason(token), "signature_invalid", "{header}");
    }
}

#[test]
fn section_4_1_4_kid_is_a_case_sensitive_string() {
    for (kid, expected) in [
        (r#""a""#, "ok"),
        (r#""\u0061""#, "ok"),
        (r#""A""#, "kid_unknown"),
        (r#""a ""#, "kid_unknown"),
        (r#""""#, "kid_unknown"),
        ("7", "token_malformed"),
        ("null", "token_malformed"),
        (r#"["a"]"#, "token_malformed"),
    ] {
        assert_eq!(reason_for_header(&format!(r#"{{"kid":{kid},"alg":"RS256"}}"#)), expected, "{kid}");
    }
}

/// Stricter: Cognito always names the key.
#[test]
fn section_4_1_4_kid_is_present() {
    assert_eq!(reason_for_header(r#"{"alg":"RS256"}"#), "token_malformed");
}

/// Stricter: Cognito emits none of these, and each would change how the token is to be read.
#[test]
fn section_4_1_10_and_rfc7797_section_3_content_type_and_unencoded_payloads_are_refused() {
    for parameter in [r#""cty":"JWT""#, r#""b64":true"#, r#""b64":false"#, r#""zip":"DEF""#, r#""enc":"A128GCM""#] {
        assert_eq!(reason_for_header(&format!(r#"{{"kid":"a","alg":"RS256",{parameter}}}"#)), "token_malformed");
    }
}

#[test]
fn section_4_1_11_crit_is_refused_whatever_it_lists() {
    for crit in
        [r#"["exp"],"exp":1"#, r#"["b64"],"b64":true"#, r#"["alg"]"#, "[]", r#"["x","x"]"#, r#""exp""#, "null", "{}"]
    {
        let header = format!(r#"{{"kid":"a","alg":"RS256","crit":{crit}}}"#);
        assert_eq!(reason_for_header(&header), "token_malformed", "{header}");
    }
}

#[test]
fn section_5_2_the_header_is_a_complete_json_object() {
    for header in [r#"{"kid":"a","alg":"RS256"} "#, "\t{\"kid\" : \"a\",\r\n \"alg\" : \"RS256\"}"] {
        assert_eq!(reason_for_header(header), "ok", "{header}");
    }
    for header in [
        r#"{"kid":"a","alg":"RS256"}x"#,
        r#"{"kid":"a","alg":"RS256"}{}"#,
        r#"{"kid":"a","alg":"RS256""#,
        r#"{"kid":"a","alg":"RS256",}"#,
        r#"{'kid':'a','alg':'RS256'}"#,
        r#"["RS256","a"]"#,
        r#""RS256""#,
        "null",
        "\u{feff}{\"kid\":\"a\",\"alg\":\"RS256\"}",
    ] {
        assert_eq!(reason_for_header(header), "token_malformed", "{header}");
    }
}

#[test]
fn section_5_2_the_header_is_utf_8() {
    let header = [br#"{"kid":"a","alg":"RS256","typ":""#.as_slice(), b"\xff", br#""}"#].concat();
    assert_eq!(reason(KEY.mint_raw(&header, &payload()).unwrap()), "token_malformed");
}

#[test]
fn section_5_2_the_signature_covers_header_and_payload() {
    let token = token();
    let [header, payload, signature] = parts(&token);
    let other_header = encode(r#"{"alg":"RS256","kid":"a"}"#);
    let other_payload = encode(crate::gate::payload().replace("jane", "june"));
    for token in [
        format!("{other_header}.{payload}.{signature}"),
        format!("{header}.{other_payload}.{signature}"),
        format!("{header}.{payload}.{}", "A".repeat(signature.len())),
        FOREIGN_KEY.mint_raw(HEADER, &crate::gate::payload()).unwrap(),
    ] {
        assert_eq!(reason(token), "signature_invalid");
    }
}

/// The order of section 5.2 in one case: a payload that is no JSON is refused, however well it is signed.
#[test]
fn section_5_2_a_signature_does_not_make_up_for_the_payload() {
    for payload in ["x", "", "[]", "{"] {
        assert_eq!(reason_for_payload(payload), "token_malformed", "{payload:?}");
    }
}

#[test]
fn section_7_1_the_compact_form_has_three_parts() {
    let token = token();
    let [header, payload, signature] = parts(&token);
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        header.to_owned(),
        format!("{header}.{payload}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{token}.{payload}.{signature}"),
    ] {
        assert_eq!(reason(&bad), "token_malformed", "{bad}");
    }
}

#[test]
fn section_7_2_the_json_forms_are_refused() {
    let token = token();
    let [header, payload, signature] = parts(&token);
    let flat = format!(r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#);
    assert_eq!(reason(flat), "token_malformed");
}
