//! Where the token is in a request: bare or behind `Bearer`, in any letter case (RFC 6750 section 2.1, RFC 9110 section 11.1),
//! or in a cookie where the configuration says so; and one at most.

use crate::{
    mint::{access, id},
    table::{Request, Vector, ask, bearer, requests},
    verdict::{MALFORMED, MISSING, OK, OPEN, TWO_TOKENS, USE},
};

pub(super) fn vectors() -> Vec<Vector> {
    [schemes(), other_schemes(), several(), elsewhere(), cookies(), several_cookies(), on_open_routes()].concat()
}

fn authorization(value: impl Into<String>) -> Request {
    ask().field("Authorization", value)
}

fn schemes() -> Vec<Vector> {
    let token = id().mint();
    let rows = [
        ("Bearer", authorization(format!("Bearer {token}")), OK),
        ("bearer", authorization(format!("bearer {token}")), OK),
        ("BEARER", authorization(format!("BEARER {token}")), OK),
        ("bEaReR", authorization(format!("bEaReR {token}")), OK),
        ("bare", authorization(&token), OK),
        ("spaces between", authorization(format!("Bearer    {token}")), OK),
        ("spaces around", authorization(format!("  Bearer {token}  ")), OK),
        ("name of the field in capitals", ask().field("AUTHORIZATION", &token), OK),
        ("Bearer alone", authorization("Bearer"), MALFORMED),
        ("bearer and a space", authorization("bearer "), MALFORMED),
        ("a tab between", authorization(format!("Bearer\t{token}")), MALFORMED),
        ("no space between", authorization(format!("Bearer{token}")), MALFORMED),
        ("twice", authorization(format!("Bearer Bearer {token}")), MALFORMED),
        ("something behind", authorization(format!("Bearer {token} x")), MALFORMED),
        ("two tokens", authorization(format!("Bearer {token}, Bearer {token}")), MALFORMED),
        ("a byte beyond ASCII", authorization(format!("Bearer \u{e9}{token}")), MALFORMED),
    ];
    requests("a token is bare or behind Bearer", "id", rows)
}

fn other_schemes() -> Vec<Vector> {
    let token = id().mint();
    let rows = [
        ("no field", ask(), MISSING),
        ("empty", authorization(""), MISSING),
        ("a space", authorization(" "), MISSING),
        ("Basic", authorization("Basic dXNlcjpwYXNz"), MISSING),
        ("Digest", authorization("Digest username=\"me\""), MISSING),
        ("Token", authorization(format!("Token {token}")), MISSING),
        ("JWT", authorization(format!("JWT {token}")), MISSING),
        ("Bearer with a comma", authorization(format!("Bearer, {token}")), MISSING),
        ("Bearer with a colon", authorization(format!("Bearer: {token}")), MISSING),
        ("a token before Bearer", authorization(format!("{token} Bearer")), MISSING),
    ];
    requests("another scheme shows no token", "id", rows)
}

/// Nobody knows which of two an upstream believes, so that two are refused even where they are equal.
fn several() -> Vec<Vector> {
    let (token, other) = (id().mint(), access().mint());
    let query = |name: &str| format!("/id?a=1&{name}={token}");
    let rows = [
        ("two, and equal", bearer(&token).field("Authorization", format!("Bearer {token}")), TWO_TOKENS),
        ("two", bearer(&token).field("Authorization", format!("Bearer {other}")), TWO_TOKENS),
        ("two, one of them bad", bearer(&token).field("authorization", "Bearer x"), TWO_TOKENS),
        ("a scheme more", bearer(&token).field("Authorization", "Basic dXNlcjpwYXNz"), TWO_TOKENS),
        ("an empty one more", bearer(&token).field("Authorization", ""), TWO_TOKENS),
        (
            "one in the field, one in the query, which is the upstream's business",
            bearer(&token).target(query("access_token")),
            OK,
        ),
        ("one in the query, which is not read", ask().target(query("access_token")), MISSING),
        ("one in the query under another name", ask().target(query("id_token")), MISSING),
    ];
    requests("one token at most", "id", rows)
}

fn elsewhere() -> Vec<Vector> {
    let token = id().mint();
    let fields =
        ["Proxy-Authorization", "X-Authorization", "X-Amzn-Oidc-Data", "X-Amz-Security-Token", "Authorization-"];
    let rows = fields.map(|name| (name, ask().field(name, format!("Bearer {token}")), MISSING));
    let cookie = [("Cookie", ask().field("Cookie", format!("session={token}")), MISSING)];
    requests("a token where none is read", "id", rows.into_iter().chain(cookie))
}

fn cookie(value: impl Into<String>) -> Request {
    ask().with_cookies().field("Cookie", value)
}

fn cookies() -> Vec<Vector> {
    let token = id().mint();
    let rows = [
        ("alone", cookie(format!("session={token}")), OK),
        ("first of several", cookie(format!("session={token}; a=1; b=2")), OK),
        ("last of several", cookie(format!("a=1; b=2; session={token}")), OK),
        ("no space between", cookie(format!("a=1;session={token};b=2")), OK),
        ("in quotes", cookie(format!("session=\"{token}\"")), OK),
        ("bad", cookie("session=a.b.c"), MALFORMED),
        ("of the wrong kind", cookie(format!("session={}", access().mint())), USE),
        ("behind Bearer", cookie(format!("session=Bearer {token}")), MALFORMED),
        ("empty", cookie("session="), MISSING),
        ("name in capitals", cookie(format!("Session={token}")), MISSING),
        ("name goes on", cookie(format!("session2={token}")), MISSING),
        ("name begins otherwise", cookie(format!("__Host-session={token}")), MISSING),
        ("in the value of another", cookie(format!("a=session={token}")), MISSING),
        ("no cookie", ask().with_cookies(), MISSING),
        ("in the other source", bearer(&token).with_cookies(), OK),
    ];
    requests("a token in a cookie", "id", rows)
}

fn several_cookies() -> Vec<Vector> {
    let (token, other) = (id().mint(), id().text("sub", "other").mint());
    let session = |token: &str| format!("session={token}");
    let in_both = |cookie: &str, field: &str| bearer(field).with_cookies().field("Cookie", session(cookie));
    let rows = [
        ("twice, and equal", cookie(format!("session={token}; session={token}")), OK),
        ("twice", cookie(format!("session={token}; session={other}")), TWO_TOKENS),
        ("in two fields", cookie(session(&token)).field("Cookie", session(&other)), TWO_TOKENS),
        ("in one of two fields", cookie("a=1").field("Cookie", session(&token)), OK),
        ("equal in cookie and header", in_both(&token, &token), OK),
        ("different in cookie and header", in_both(&token, &other), TWO_TOKENS),
        ("good in the cookie, bad in the header", in_both(&token, "a.b.c"), TWO_TOKENS),
        ("bad in the cookie, good in the header", in_both("a.b.c", &token), TWO_TOKENS),
        ("another scheme in the header", cookie(session(&token)).field("Authorization", "Basic dXNlcjpwYXNz"), OK),
        ("empty in the cookie", in_both("", &token), OK),
    ];
    requests("one token at most in all places", "id", rows)
}

/// They ask for nothing, and look at nothing; but two fields are ambiguous to whoever is behind them.
fn on_open_routes() -> Vec<Vector> {
    let rows = [
        ("nothing", ask(), OPEN),
        ("a bad token", bearer("a.b.c"), OPEN),
        ("an expired token", bearer(&id().set("exp", 1).mint()), OPEN),
        ("another scheme", authorization("Basic dXNlcjpwYXNz"), OPEN),
        ("two fields", bearer("a.b.c").field("Authorization", "Bearer a.b.c"), TWO_TOKENS),
    ];
    requests("an open route", "open", rows)
}
