//! What is revoked: a token by `jti`, a session by `origin_jti`, a user's tokens that were issued before a moment by `sub`
//! (Cognito developer guide, "Ending user sessions with token revocation"). Refused to the owner of a genuine token of the
//! route's kind and client alone, and before anyone looks at what was granted.

use crate::{
    mint::{Claims, ID_KID, NOW, OTHER_KEY, access, id},
    table::{Vector, routes, tokens},
    verdict::{CLIENT, EXPIRED, OK, OPEN, REVOKED, SIGNATURE, USE},
    world::{ENDED_SESSION, REVOKED_TOKEN, SIGNED_OUT, SIGNED_OUT_CLIENT},
};

pub(super) fn vectors() -> Vec<Vector> {
    [by_token(), by_session(), by_user(), by_client(), order(), revoked_token_on_routes()].concat()
}

fn by_token() -> Vec<Vector> {
    let escaped = format!(r#""{}""#, REVOKED_TOKEN.replacen('5', r"\u0035", 1));
    let rows = [
        ("the token", id().text("jti", REVOKED_TOKEN), REVOKED),
        ("the token, written in another way", id().set("jti", escaped), REVOKED),
        ("the same id in capitals", id().text("jti", &REVOKED_TOKEN.to_uppercase()), OK),
        ("the same id and a space", id().text("jti", &format!("{REVOKED_TOKEN} ")), OK),
        ("without its id", id().without("jti"), OK),
        ("empty id", id().text("jti", ""), OK),
        ("as the id of a session", id().text("origin_jti", REVOKED_TOKEN), OK),
        ("as the id of a user", id().text("sub", REVOKED_TOKEN), OK),
    ];
    tokens("a token is revoked by its id", "id", rows)
}

fn by_session() -> Vec<Vector> {
    let session = |claims: Claims| claims.text("origin_jti", ENDED_SESSION);
    let rows = [
        ("a token of the session", session(id()), REVOKED),
        ("another token of the session", session(id()).text("jti", "another"), REVOKED),
        ("a token that was issued later", session(id()).set("iat", *NOW + 60), REVOKED),
        ("a token that does not say when", session(id()).without("iat"), REVOKED),
        ("without a session", id().without("origin_jti"), OK),
        ("as the id of a token", id().text("jti", ENDED_SESSION), OK),
    ];
    tokens("a session ends with all of its tokens", "id", rows)
}

fn by_user() -> Vec<Vector> {
    let user = || id().text("sub", SIGNED_OUT);
    let rows = [
        ("a second before", user().set("iat", *NOW - 1), REVOKED),
        ("an hour before", user().set("iat", *NOW - 3600), REVOKED),
        ("at that second", user(), OK),
        ("later", user().set("iat", *NOW + 60), OK),
        ("not said when", user().without("iat"), REVOKED),
        ("as the id of a session", id().text("origin_jti", SIGNED_OUT).set("iat", *NOW - 1), OK),
    ];
    tokens("a user is signed out up to a moment", "id", rows)
}

fn by_client() -> Vec<Vector> {
    let client = || access().text("sub", SIGNED_OUT_CLIENT).without("origin_jti");
    let rows = [("before", client().set("iat", *NOW - 1), REVOKED), ("since", client(), OK)];
    tokens("an id that is no UUID is revoked as any other", "access", rows)
}

fn order() -> Vec<Vector> {
    let revoked = || id().text("jti", REVOKED_TOKEN);
    let rows = [
        ("exp, then revocation", revoked().set("exp", *NOW - 1), EXPIRED),
        ("client, then revocation", revoked().text("aud", "stranger"), CLIENT),
        ("signature, then revocation", revoked().by(&OTHER_KEY, ID_KID), SIGNATURE),
    ];
    tokens("only what is genuine and alive is looked for among what is revoked", "id", rows)
}

/// Those that ask for scopes and groups that the token has not, too.
fn revoked_token_on_routes() -> Vec<Vector> {
    let token = access().text("jti", REVOKED_TOKEN).mint();
    let rows = [
        ("access", REVOKED),
        ("any", REVOKED),
        ("scoped", REVOKED),
        ("grouped", REVOKED),
        ("strict", REVOKED),
        ("id", USE),
        ("open", OPEN),
    ];
    routes("one revoked token on every route", &token, rows)
}
