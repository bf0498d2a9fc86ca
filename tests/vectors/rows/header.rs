//! The JOSE header (RFC 7515 section 4.1): `alg` is RS256, `kid` is text, and nothing changes how the token is to be read.

use crate::{
    mint::{ID_KEY, ID_KID, OTHER_KEY, encode, headed, id},
    table::{Vector, tokens},
    verdict::{ALG, KID, MALFORMED, OK, SIGNATURE},
};

pub(super) fn vectors() -> Vec<Vector> {
    [algorithm(), algorithm_type(), kid_type(), extensions(), keys_in_the_token(), parameters(), json()].concat()
}

/// A token whose header has this `alg`, signed as RS256 is.
fn alg(json: &str) -> String {
    headed(&format!(r#"{{"kid":"{ID_KID}","alg":{json}}}"#))
}

/// A token with members more in its header.
fn with(members: &str) -> String {
    headed(&format!(r#"{{"kid":"{ID_KID}","alg":"RS256",{members}}}"#))
}

fn algorithm() -> Vec<Vector> {
    let algorithms = [
        "none", "None", "NONE", "nOnE", "", "HS256", "HS512", "RS384", "RS512", "RS1", "PS256", "PS512", "ES256",
        "ES256K", "EdDSA", "rs256", "Rs256", "RS256 ", " RS256", "RSA", "RSA-OAEP", "dir",
    ];
    let other = algorithms.map(|name| (format!("{name:?}"), alg(&format!("{name:?}")), ALG));
    let rs256 = [r#""RS256""#, r#""\u0052S256""#].map(|json| (json.to_owned(), alg(json), OK));
    let zero = [(r#""RS256\u0000""#.to_owned(), alg(r#""RS256\u0000""#), ALG)];
    [
        tokens("alg is RS256 and nothing else", "id", rs256),
        tokens("alg is RS256 and nothing else", "id", other),
        tokens("alg is RS256 and nothing else", "id", zero),
    ]
    .concat()
}

fn algorithm_type() -> Vec<Vector> {
    let rows = [
        ("not said", headed(&format!(r#"{{"kid":"{ID_KID}"}}"#)), MALFORMED),
        ("null", alg("null"), MALFORMED),
        ("a number", alg("256"), MALFORMED),
        ("true", alg("true"), MALFORMED),
        ("a list", alg(r#"["RS256"]"#), MALFORMED),
        ("an object", alg(r#"{"RS256":null}"#), MALFORMED),
    ];
    tokens("alg is text", "id", rows)
}

fn kid_type() -> Vec<Vector> {
    let kid = |json: &str| headed(&format!(r#"{{"kid":{json},"alg":"RS256"}}"#));
    let rows = [
        ("not said", headed(r#"{"alg":"RS256"}"#), MALFORMED),
        ("null", kid("null"), MALFORMED),
        ("a number", kid("5"), MALFORMED),
        ("false", kid("false"), MALFORMED),
        ("a list", kid(&format!(r#"["{ID_KID}"]"#)), MALFORMED),
        ("an object", kid("{}"), MALFORMED),
        ("empty", kid(r#""""#), KID),
    ];
    tokens("kid is text", "id", rows)
}

/// Cognito writes none of them, and a reader who does not know one must not accept the token (RFC 7515 section 4.1.11).
fn extensions() -> Vec<Vector> {
    let rows = [
        ("crit", r#""crit":["exp"],"exp":1"#),
        ("crit, of what everybody knows", r#""crit":["alg"]"#),
        ("crit, empty", r#""crit":[]"#),
        ("crit, null", r#""crit":null"#),
        ("crit, escaped", r#""\u0063rit":["x"],"x":1"#),
        ("crit and b64", r#""crit":["b64"],"b64":false"#),
        ("b64, as it is anyway", r#""b64":true"#),
        ("zip", r#""zip":"DEF""#),
        ("zip, null", r#""zip":null"#),
        ("enc", r#""enc":"A128GCM""#),
        ("cty", r#""cty":"JWT""#),
    ];
    tokens("no crit, b64, zip, enc, cty", "id", rows.map(|(name, members)| (name, with(members), MALFORMED)))
}

/// The configuration says whose keys count. What the token says about keys is not followed.
fn keys_in_the_token() -> Vec<Vector> {
    let jwk = OTHER_KEY.jwk(ID_KID);
    let header = |members: &str| format!(r#"{{"kid":"{ID_KID}","alg":"RS256",{members}}}"#);
    let embedded = header(&format!(r#""jwk":{jwk}"#));
    let fetched = header(r#""jku":"http://127.0.0.1:1/jwks.json","x5u":"http://127.0.0.1:1/x5u""#);
    let chained = header(r#""x5c":["MIIB"],"x5t":"AAAA","x5t#S256":"AAAA""#);
    let rows = [
        ("jwk, and signed with it", OTHER_KEY.token(&embedded, id().json()), SIGNATURE),
        ("jku and x5u, and signed with a key of theirs", OTHER_KEY.token(&fetched, id().json()), SIGNATURE),
        ("x5c, and signed with its key", OTHER_KEY.token(&chained, id().json()), SIGNATURE),
        ("jwk, and signed with the pool's key", ID_KEY.token(&embedded, id().json()), OK),
        ("jku and x5u, and signed with the pool's key", ID_KEY.token(&fetched, id().json()), OK),
    ];
    tokens("a key in the token is not a key", "id", rows)
}

fn parameters() -> Vec<Vector> {
    let rows = [
        ("typ", with(r#""typ":"JWT""#), OK),
        ("typ of other tokens", with(r#""typ":"at+jwt""#), OK),
        ("one that nobody knows", with(r#""x":{"alg":"none","crit":["x"]}"#), OK),
        ("names in capitals are other names", with(r#""CRIT":["x"],"Alg":"none","KID":"x""#), OK),
        ("alg in capitals", headed(&format!(r#"{{"kid":"{ID_KID}","ALG":"RS256"}}"#)), MALFORMED),
    ];
    tokens("other parameters are ignored", "id", rows)
}

fn json() -> Vec<Vector> {
    let text = |text: &str| headed(&text.replace("KID", &format!(r#""kid":"{ID_KID}""#)));
    let rows = [
        ("kid last", text(r#"{"alg":"RS256",KID}"#), OK),
        ("white space", text(" {\n\t\"alg\" : \"RS256\",\r\n KID }\n"), OK),
        ("alg twice and equal", text(r#"{KID,"alg":"RS256","alg":"RS256"}"#), MALFORMED),
        ("alg twice, RS256 last", text(r#"{KID,"alg":"none","alg":"RS256"}"#), MALFORMED),
        ("alg twice, RS256 first", text(r#"{KID,"alg":"RS256","alg":"none"}"#), MALFORMED),
        ("alg twice, once escaped", text(r#"{KID,"alg":"RS256","\u0061lg":"RS256"}"#), MALFORMED),
        ("kid twice", text(r#"{KID,KID,"alg":"RS256"}"#), MALFORMED),
        ("a list of the values", headed(&format!(r#"["RS256","{ID_KID}"]"#)), MALFORMED),
        ("an object in a list", text(r#"[{KID,"alg":"RS256"}]"#), MALFORMED),
        ("a string", headed(r#""RS256""#), MALFORMED),
        ("null", headed("null"), MALFORMED),
        ("empty object", headed("{}"), MALFORMED),
        ("something behind", text(r#"{KID,"alg":"RS256"} {}"#), MALFORMED),
        ("a byte order mark", text("\u{feff}{KID,\"alg\":\"RS256\"}"), MALFORMED),
        ("a comma too many", text(r#"{KID,"alg":"RS256",}"#), MALFORMED),
        ("single quotes", text(r"{KID,'alg':'RS256'}"), MALFORMED),
        ("not closed", text(r#"{KID,"alg":"RS256""#), MALFORMED),
        ("encoded twice", ID_KEY.token(&encode(format!(r#"{{"kid":"{ID_KID}"}}"#)), id().json()), MALFORMED),
    ];
    tokens("the header is one JSON object", "id", rows)
}
