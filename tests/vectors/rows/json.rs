//! The claims as JSON: one object, each claim that counts once and of its type (RFC 7519 section 4, RFC 8259).

use crate::{
    mint::{Claims, NOW, access, id, paid},
    table::{Vector, tokens},
    verdict::{MALFORMED, OK},
};

pub(super) fn vectors() -> Vec<Vector> {
    [object(), text(), unread_claims(), duplicates(), duplicates_of_access_tokens(), missing(), types()].concat()
}

fn object() -> Vec<Vector> {
    let in_order_of_some_reader =
        r#"["https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz","s","id",9999999999,0,0,"c","c","",[]]"#;
    let rows = [
        ("a list of the values", paid(in_order_of_some_reader), MALFORMED),
        ("an object in a list", paid(format!("[{}]", id().json())), MALFORMED),
        ("a string of the object", paid(format!("{:?}", id().json())), MALFORMED),
        ("empty object", paid("{}"), MALFORMED),
        ("null", paid("null"), MALFORMED),
        ("a number", paid("1"), MALFORMED),
        ("white space", paid(" "), MALFORMED),
        ("two objects", paid(format!("{0}{0}", id().json())), MALFORMED),
        ("something behind", paid(format!("{} x", id().json())), MALFORMED),
        ("a zero byte behind", paid(format!("{}\0", id().json())), MALFORMED),
        ("a byte order mark", paid(format!("\u{feff}{}", id().json())), MALFORMED),
        ("white space around", paid(format!("\r\n\t {} \n", id().json())), OK),
    ];
    tokens("the claims are one JSON object", "id", rows)
}

fn text() -> Vec<Vector> {
    let with = |json: &str| id().set("custom:x", json);
    let rows = [
        ("a comma too many", paid(id().json().replace('}', ",}")), MALFORMED),
        ("a comma too few", paid(id().json().replacen(',', " ", 1)), MALFORMED),
        ("not closed", paid(id().json().replace('}', "")), MALFORMED),
        ("a comment", paid(id().json().replace('}', "/* */}")), MALFORMED),
        ("a name without quotes", paid(id().json().replace(r#""exp""#, "exp")), MALFORMED),
        ("single quotes", paid(id().json().replace('"', "'")), MALFORMED),
        ("NaN", with("NaN").mint(), MALFORMED),
        ("a number with a zero before", with("01").mint(), MALFORMED),
        ("a line break in a string", with("\"a\nb\"").mint(), MALFORMED),
        ("a zero byte in a string", with("\"a\0b\"").mint(), MALFORMED),
        ("an escape that there is not", with(r#""\x41""#).mint(), MALFORMED),
        ("half of an escape", with(r#""\u00""#).mint(), MALFORMED),
        ("half of a pair, in a claim that is read", id().set("sub", r#""\ud800""#).mint(), MALFORMED),
        ("half of a pair, in a claim that nobody reads", with(r#""\ud800""#).mint(), MALFORMED),
        ("the second half, in a claim that nobody reads", with(r#""\udc00""#).mint(), MALFORMED),
        ("both halves of a pair", with(r#""\ud83e\udd80""#).mint(), OK),
    ];
    tokens("the claims are JSON", "id", rows)
}

fn unread_claims() -> Vec<Vector> {
    let with = |name: &str, json: &str| id().set(name, json);
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let rows = [
        ("nested", with("custom:x", r#"{"exp":"x","iss":[{"aud":null}]}"#), OK),
        ("nested deep", with("custom:x", &nested(4_000)), OK),
        ("twice", id().also("custom:x", "1").also("custom:x", "2"), OK),
        ("of any type", with("cognito:username", "null").set("auth_time", r#""x""#).set("event_id", "[]"), OK),
        ("of objects that every language has", with("__proto__", r#"{"aud":"x"}"#).set("constructor", "1"), OK),
        ("without a name", with("", "1"), OK),
        ("in capitals", with("EXP", "1").set("Iss", "1"), OK),
        ("spelled with an escape", id().without("sub").also(r"s\u0075b", r#""s""#), OK),
    ];
    tokens("claims that nobody reads are ignored", "id", rows)
}

/// Who reads the first and who reads the last would see two tokens.
fn duplicates() -> Vec<Vector> {
    let twice = |name: &str, json: &str| id().set(name, json).also(name, json);
    let rows = [
        ("iss", id().also("iss", r#""https://example.com""#), MALFORMED),
        ("sub", twice("sub", r#""s""#), MALFORMED),
        ("token_use", id().also("token_use", r#""access""#), MALFORMED),
        ("exp", id().also("exp", &(*NOW + 7200).to_string()), MALFORMED),
        ("exp, equal", twice("exp", &(*NOW + 7200).to_string()), MALFORMED),
        ("iat", twice("iat", "1"), MALFORMED),
        ("nbf", twice("nbf", "1"), MALFORMED),
        ("aud", id().also("aud", r#""another""#), MALFORMED),
        ("client_id", twice("client_id", r#""c""#), MALFORMED),
        ("cognito:groups", twice("cognito:groups", r#"["readers"]"#), MALFORMED),
        ("jti", twice("jti", r#""j""#), MALFORMED),
        ("origin_jti", twice("origin_jti", r#""o""#), MALFORMED),
        ("scope", twice("scope", r#""s""#), MALFORMED),
        ("sub, once escaped", id().also(r"\u0073ub", r#""s""#), MALFORMED),
        ("aud, once escaped", id().also(r"\u0061u\u0064", r#""another""#), MALFORMED),
        ("a claim that the upstream is told", id().also("email", r#""root@example.com""#), MALFORMED),
        ("a claim that the upstream is told, once escaped", id().also(r"emai\u006c", r#""r@e""#), MALFORMED),
    ];
    tokens("a claim that counts is there once", "id", rows)
}

fn duplicates_of_access_tokens() -> Vec<Vector> {
    let rows = [
        ("client_id", access().also("client_id", r#""another""#), MALFORMED),
        ("scope", access().also("scope", r#""items/read""#), MALFORMED),
        ("scope, once escaped", access().also(r"\u0073cope", r#""items/read""#), MALFORMED),
        ("cognito:groups", access().also("cognito:groups", "[]").also("cognito:groups", r#"["readers"]"#), MALFORMED),
    ];
    tokens("a claim that counts is there once in an access token", "access", rows)
}

fn missing() -> Vec<Vector> {
    let required = ["iss", "sub", "token_use", "exp", "aud"].map(|name| (name, id().without(name), MALFORMED));
    let others = ["iat", "auth_time", "jti", "origin_jti", "event_id", "cognito:username", "email"];
    let others = others.map(|name| (name, id().without(name), OK));
    let of_access_tokens = ["iss", "sub", "token_use", "exp", "client_id"];
    let of_access_tokens = of_access_tokens.map(|name| (name, access().without(name), MALFORMED));
    let scope = [("scope", access().without("scope"), OK)];
    [
        tokens("iss, sub, token_use, exp, aud are there", "id", required),
        tokens("other claims need not be there", "id", others),
        tokens("iss, sub, token_use, exp, client_id are there", "access", of_access_tokens),
        tokens("other claims need not be there in an access token", "access", scope),
    ]
    .concat()
}

/// A claim that is read has one type. The times have rows of their own.
fn types() -> Vec<Vector> {
    let wrong = |claims: &Claims, name: &str, json: &str| {
        (format!("{name} is {json}"), claims.clone().set(name, json), MALFORMED)
    };
    let (id, access) = (id(), access());
    let of_both = [
        ("iss", "null"),
        ("iss", "5"),
        ("iss", r#"["https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz"]"#),
        ("sub", "null"),
        ("sub", "5"),
        ("sub", r#"["s"]"#),
        ("token_use", "null"),
        ("token_use", r#"["id"]"#),
        ("jti", "null"),
        ("jti", "5"),
        ("origin_jti", "[]"),
        ("origin_jti", "null"),
    ];
    let of_id = of_both.map(|(name, json)| wrong(&id, name, json));
    let of_access = [
        ("client_id", "null"),
        ("client_id", "5"),
        ("client_id", r#"["4example23client56id78abcd"]"#),
        ("scope", "null"),
        ("scope", "5"),
        ("scope", r#"["items/read"]"#),
        ("cognito:groups", "null"),
        ("cognito:groups", "5"),
    ];
    let of_access = of_access.map(|(name, json)| wrong(&access, name, json));
    [
        tokens("a claim that is read has its type", "id", of_id),
        tokens("a claim that is read has its type in an access token", "access", of_access),
    ]
    .concat()
}
