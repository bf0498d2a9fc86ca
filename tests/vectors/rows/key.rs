//! Keys: `kid` names one of the issuer's, byte for byte (RFC 7515 section 4.1.4), and a key must be fit to verify with (RFC
//! 7517 section 4). Which pool's keys count is for `iss` to say.

use crate::{
    mint::{ACCESS_KEY, ACCESS_KID, Claims, ID_KEY, ID_KID, OTHER_KEY, headed, header, id},
    table::{Vector, tokens},
    verdict::{ISSUER, KEYS, KID, OK, SIGNATURE},
    world::{ODD_KIDS, OTHER_KID, UNFIT_KIDS},
};

pub(super) fn vectors() -> Vec<Vector> {
    [names(), other_names(), odd_keys(), unfit_keys(), two_pools(), one_pool_of_two(), no_keys()].concat()
}

/// A token whose header names its key in this JSON text.
fn kid(json: &str) -> String {
    headed(&format!(r#"{{"kid":{json},"alg":"RS256"}}"#))
}

fn names() -> Vec<Vector> {
    let json = format!("{ID_KID:?}");
    let rows = [
        ("as published", kid(&json), OK),
        ("slash escaped", kid(&json.replace('/', r"\/")), OK),
        ("plus and equals sign escaped", kid(&json.replace('+', r"\u002b").replace('=', r"\u003D")), OK),
        ("one letter long", kid(r#""k""#), OK),
        ("the key of access tokens", id().by(&ACCESS_KEY, ACCESS_KID).mint(), OK),
    ];
    tokens("kid names a key of the issuer", "id", rows)
}

fn other_names() -> Vec<Vector> {
    let changed = |from: &str, to: &str| kid(&format!("{:?}", ID_KID.replace(from, to)));
    let rows = [
        ("not published", kid(r#""not-published""#), KID),
        ("base64url of it", kid(&format!("{:?}", ID_KID.replace('+', "-").replace('/', "_"))), KID),
        ("without padding", changed("=", ""), KID),
        ("in small letters", kid(&format!("{:?}", ID_KID.to_lowercase())), KID),
        ("broken off", changed("6u=", ""), KID),
        ("goes on", changed("=", "=="), KID),
        ("space before", changed("ABC", " ABC"), KID),
        ("space behind", changed("=", "= "), KID),
        ("zero byte behind", kid(&format!("\"{ID_KID}\\u0000\"")), KID),
        ("percent-encoded", changed("+", "%2B"), KID),
        ("any", kid(r#""*""#), KID),
        ("place in the list", kid(r#""0""#), KID),
        ("path", kid(r#""../../../../dev/null""#), KID),
        ("address", kid(r#""http://127.0.0.1:1/jwks.json""#), KID),
        ("query", kid(r#""' OR '1'='1""#), KID),
        ("500 letters", kid(&format!("{:?}", "k".repeat(500))), KID),
        ("the identity pools'", kid(r#""ap-northeast-15""#), KID),
        ("a key of another pool", id().by(&OTHER_KEY, OTHER_KID).mint(), KID),
    ];
    tokens("kid is compared byte for byte", "id", rows)
}

fn signed_as(kid: &str) -> String {
    ID_KEY.token(&header(kid), id().json())
}

fn odd_keys() -> Vec<Vector> {
    tokens("a key that is published oddly is a key", "id", ODD_KIDS.map(|kid| (kid, signed_as(kid), OK)))
}

fn unfit_keys() -> Vec<Vector> {
    tokens("a key that is unfit is no key", "id", UNFIT_KIDS.map(|kid| (kid, signed_as(kid), KID)))
}

fn other() -> Claims {
    id().iss("https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Other")
}

/// Both pools have a key called [`ID_KID`], and they are two.
fn two_pools() -> Vec<Vector> {
    let rows = [
        ("of the one, by its key", id(), OK),
        ("of the other, by its key of the same name", other().by(&OTHER_KEY, ID_KID), OK),
        ("of the other, by its key of another name", other().by(&OTHER_KEY, OTHER_KID), OK),
        ("of the one, by the other's key of the same name", id().by(&OTHER_KEY, ID_KID), SIGNATURE),
        ("of the other, by the one's key of the same name", other(), SIGNATURE),
        ("of the one, by the other's key of another name", id().by(&OTHER_KEY, OTHER_KID), KID),
        ("of the other, by the one's key of another name", other().by(&ACCESS_KEY, ACCESS_KID), KID),
        ("of a third", id().iss("https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Third"), ISSUER),
        (
            "region of the one, id of the other",
            id().iss("https://cognito-idp.eu-west-1.amazonaws.com/us-east-1_Other"),
            ISSUER,
        ),
    ];
    tokens("iss picks one of two pools, and its keys alone", "both", rows)
}

fn one_pool_of_two() -> Vec<Vector> {
    let rows = [
        ("of its pool", other().by(&OTHER_KEY, ID_KID), OK),
        ("of another pool", id(), ISSUER),
        ("of another pool, by a key of its own", id().by(&OTHER_KEY, OTHER_KID), ISSUER),
    ];
    tokens("a route takes its own pools alone", "other", rows)
}

/// Undecidable is not unauthorized.
fn no_keys() -> Vec<Vector> {
    let cold = || id().iss("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Cold");
    let rows = [
        ("good", cold(), KEYS),
        ("of a form that may be", id().iss("https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Cold"), KEYS),
        ("expired: without a key nothing is said about a token", cold().set("exp", 1), KEYS),
        ("of another pool, which has keys", id(), ISSUER),
    ];
    tokens("a pool without keys decides nothing", "cold", rows)
}
