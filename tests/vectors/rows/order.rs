//! Which rule speaks first, and that it does so whether the token is remembered or not.

use crate::{
    mint::{ACCESS_KID, Claims, ID_KEY, ID_KID, NOW, OTHER_KEY, access, encode, headed, header, id},
    table::{Vector, routes, tokens},
    verdict::{ALG, CLIENT, EXPIRED, GROUP, ISSUER, KEYS, KID, MALFORMED, OK, OPEN, SCOPE, SIGNATURE, TOO_LARGE, USE},
    world::OTHER_KID,
};

pub(super) fn vectors() -> Vec<Vector> {
    [first_fault(), grants_last(), id_token_on_routes(), access_token_on_routes()].concat()
}

/// A token with everything wrong from some rule on, in the order of the rules.
fn first_fault() -> Vec<Vector> {
    let forged = |claims: Claims| claims.by(&OTHER_KEY, ID_KID);
    let stranger = || forged(access().text("client_id", "stranger").set("exp", 1));
    let elsewhere = || stranger().iss("https://example.com");
    let unknown = elsewhere().set("jti", 5).json();
    let none = r#"{"kid":"x","alg":"none"}"#;
    let rows = [
        ("size, then shape", "a.b".repeat(6_000), TOO_LARGE),
        ("shape, then alg", format!("{}.x.y.z", encode(none)), MALFORMED),
        ("UTF-8 of the claims, then alg", OTHER_KEY.token(none, b"\xff"), MALFORMED),
        ("crit, then alg", headed(r#"{"kid":"x","alg":"none","crit":["x"]}"#), MALFORMED),
        ("alg, then types", OTHER_KEY.token(none, &unknown), ALG),
        ("types, then issuer", OTHER_KEY.token(&header("x"), &unknown), MALFORMED),
        ("issuer, then kid", OTHER_KEY.token(&header("x"), elsewhere().json()), ISSUER),
        ("kid, then times", OTHER_KEY.token(&header("x"), stranger().json()), KID),
        ("exp, then token_use", stranger().mint(), EXPIRED),
        ("token_use, then client", stranger().set("exp", *NOW + 3600).mint(), USE),
        ("client, then signature", forged(id().text("aud", "stranger")).mint(), CLIENT),
        ("exp, then signature", forged(id().set("exp", *NOW - 1)).mint(), EXPIRED),
        ("signature, which is empty, comes after exp", unsigned(&id().set("exp", *NOW - 1)), EXPIRED),
    ];
    tokens("the first rule that is not met speaks", "id", rows)
}

fn unsigned(claims: &Claims) -> String {
    format!("{}.{}.", encode(header(ID_KID)), encode(claims.json()))
}

/// What was granted is said to the owner of a genuine token alone.
fn grants_last() -> Vec<Vector> {
    let forged = |claims: Claims| claims.by(&OTHER_KEY, ACCESS_KID);
    let scoped = [
        ("genuine, without a scope", access(), SCOPE),
        ("forged, without a scope", forged(access()), SIGNATURE),
        ("forged, with the scope", forged(access().text("scope", "items/read")), SIGNATURE),
        ("expired, without a scope", access().set("exp", *NOW - 1), EXPIRED),
        ("unknown key, without a scope", access().by(&OTHER_KEY, OTHER_KID), KID),
    ];
    let grouped = [("genuine", access(), GROUP), ("forged", forged(access()), SIGNATURE)];
    [
        tokens("scopes come after the signature", "scoped", scoped),
        tokens("groups come after the signature", "grouped", grouped),
    ]
    .concat()
}

/// One token, which is remembered from the first route on.
fn id_token_on_routes() -> Vec<Vector> {
    let token = id().set("cognito:groups", r#"["readers"]"#).mint();
    let rows = [
        ("id", OK),
        ("access", USE),
        ("any", OK),
        ("scoped", USE),
        ("any-scoped", SCOPE),
        ("grouped", OK),
        ("strict", USE),
        ("both", OK),
        ("other", ISSUER),
        ("cold", ISSUER),
        ("skewed", ISSUER),
        ("open", OPEN),
    ];
    routes("one ID token on every route", &token, rows)
}

fn access_token_on_routes() -> Vec<Vector> {
    let token = access().text("scope", "items/read").mint();
    let rows = [
        ("strict", GROUP),
        ("scoped", OK),
        ("id", USE),
        ("access", OK),
        ("any", OK),
        ("any-scoped", OK),
        ("grouped", GROUP),
        ("both", USE),
        ("other", ISSUER),
        ("open", OPEN),
    ];
    let forged = ID_KEY.token(&header(ACCESS_KID), access().text("scope", "items/read").json());
    let forgery = [("scoped", SIGNATURE), ("access", SIGNATURE), ("id", USE), ("open", OPEN)];
    let cold = id().iss("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Cold").mint();
    [
        routes("one access token on every route", &token, rows),
        routes("a forgery of a token that is remembered", &forged, forgery),
        routes("a token of a pool without keys", &cold, [("cold", KEYS), ("id", ISSUER), ("open", OPEN)]),
    ]
    .concat()
}
