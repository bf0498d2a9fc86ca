//! Who calls: `token_use`, and the app client, which is `aud` of an ID token and `client_id` of an access token (Cognito
//! developer guide, "Understanding the ID token", "Understanding the access token").

use crate::{
    mint::{CLIENT_ID, access, id},
    table::{Vector, tokens},
    verdict::{CLIENT, MALFORMED, OK, USE},
};

/// Another app client that the pool lists.
const SECOND_CLIENT: &str = "1second45client67id89efgh";

pub(super) fn vectors() -> Vec<Vector> {
    [kinds(), other_kinds(), of_id_tokens(), of_access_tokens(), audience_of_access_tokens(), any_client()].concat()
}

fn kinds() -> Vec<Vector> {
    let rows =
        |id_verdict, access_verdict| [("id token", id(), id_verdict), ("access token", access(), access_verdict)];
    [
        tokens("a route for ID tokens", "id", rows(OK, USE)),
        tokens("a route for access tokens", "access", rows(USE, OK)),
        tokens("a route for either", "any", rows(OK, OK)),
    ]
    .concat()
}

fn other_kinds() -> Vec<Vector> {
    let named = ["", "ID", "Id", "id ", " id", "Access", "refresh", "identity", "id access", "any"];
    let rows = named.map(|kind| (format!("{kind:?}"), id().text("client_id", CLIENT_ID).text("token_use", kind), USE));
    let spoken = [
        ("says access, and is an id token".to_owned(), id().text("token_use", "access"), MALFORMED),
        ("says id, and is an access token".to_owned(), access().text("token_use", "id"), MALFORMED),
        ("escaped".to_owned(), id().set("token_use", r#""\u0069d""#), OK),
    ];
    tokens("token_use is id or access", "any", rows.into_iter().chain(spoken))
}

fn of_id_tokens() -> Vec<Vector> {
    let aud = |text: &str| id().text("aud", text);
    let rows = [
        ("listed", aud(CLIENT_ID), OK),
        ("listed second", aud(SECOND_CLIENT), OK),
        ("escaped", id().set("aud", r#""\u0034example23client56id78abcd""#), OK),
        ("not listed", aud("9stranger10client11id12ijkl"), CLIENT),
        ("empty", aud(""), CLIENT),
        ("in capitals", aud(&CLIENT_ID.to_uppercase()), CLIENT),
        ("goes on", aud(&format!("{CLIENT_ID}e")), CLIENT),
        ("broken off", aud(CLIENT_ID.strip_suffix('d').unwrap()), CLIENT),
        ("space behind", aud(&format!("{CLIENT_ID} ")), CLIENT),
        ("two of them", aud(&format!("{CLIENT_ID} {SECOND_CLIENT}")), CLIENT),
        ("any", aud("*"), CLIENT),
        ("the pool", aud("eu-west-1_AbC123xyz"), CLIENT),
        ("not listed, and client_id is", aud("stranger").text("client_id", CLIENT_ID), CLIENT),
        ("listed, and client_id is not", aud(CLIENT_ID).text("client_id", "stranger"), OK),
        ("client_id alone", id().without("aud").text("client_id", CLIENT_ID), MALFORMED),
        ("azp alone", id().without("aud").text("azp", CLIENT_ID), MALFORMED),
        ("a list of one", id().set("aud", format!("[{CLIENT_ID:?}]")), MALFORMED),
        ("a list of two", id().set("aud", format!("[{CLIENT_ID:?},\"stranger\"]")), MALFORMED),
        ("an empty list", id().set("aud", "[]"), MALFORMED),
        ("an object", id().set("aud", format!("{{{CLIENT_ID:?}:true}}")), MALFORMED),
        ("a number", id().set("aud", 4), MALFORMED),
        ("null", id().set("aud", "null"), MALFORMED),
    ];
    tokens("the client of an ID token is aud", "id", rows)
}

fn of_access_tokens() -> Vec<Vector> {
    let client = |text: &str| access().text("client_id", text);
    let rows = [
        ("listed", client(CLIENT_ID), OK),
        ("listed second", client(SECOND_CLIENT), OK),
        ("not listed", client("9stranger10client11id12ijkl"), CLIENT),
        ("empty", client(""), CLIENT),
        ("in capitals", client(&CLIENT_ID.to_uppercase()), CLIENT),
        ("not listed, and aud is", client("stranger").text("aud", CLIENT_ID), CLIENT),
        ("aud alone", access().without("client_id").text("aud", CLIENT_ID), MALFORMED),
        ("of a machine, whose sub is its client", client(CLIENT_ID).text("sub", CLIENT_ID), OK),
    ];
    tokens("the client of an access token is client_id", "access", rows)
}

/// The resource that the token is bound to, where the app asked for one: text, or a list of texts (RFC 7519 section 4.1.3).
fn audience_of_access_tokens() -> Vec<Vector> {
    let rows = [
        ("a resource", access().text("aud", "https://api.example.com"), OK),
        ("a client that is not listed", access().text("aud", "stranger"), OK),
        ("a list of resources", access().set("aud", r#"["https://api.example.com","https://b.example.com"]"#), OK),
        ("a number", access().set("aud", 5), MALFORMED),
        ("null", access().set("aud", "null"), MALFORMED),
        ("an object", access().set("aud", "{}"), MALFORMED),
        ("a list with a number", access().set("aud", r#"["https://api.example.com",5]"#), MALFORMED),
        ("twice", access().text("aud", "a").also("aud", r#""b""#), MALFORMED),
    ];
    tokens("aud of an access token is a resource", "access", rows)
}

fn any_client() -> Vec<Vector> {
    let id = || id().iss("http://127.0.0.1:9229/local_Pool1");
    let rows = [
        ("not listed anywhere", id().text("aud", "stranger"), OK),
        ("not said", id().without("aud"), MALFORMED),
        ("a list", id().set("aud", r#"["stranger"]"#), MALFORMED),
    ];
    tokens("any_client takes any, but one", "emulator", rows)
}
