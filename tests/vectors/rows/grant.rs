//! What the caller was granted: one of the scopes and one of the groups that the route asks for, each name as it is (RFC 6749
//! section 3.3; Cognito developer guide, "Adding groups to a user pool").

use crate::{
    mint::{Claims, access, id},
    table::{Vector, tokens},
    verdict::{GROUP, MALFORMED, OK, SCOPE, USE},
};

pub(super) fn vectors() -> Vec<Vector> {
    [scopes(), scopes_of_id_tokens(), groups(), group_types(), scopes_and_groups()].concat()
}

fn scope(scopes: &str) -> Claims {
    access().text("scope", scopes)
}

fn scopes() -> Vec<Vector> {
    let rows = [
        ("one that is asked for", scope("items/read"), OK),
        ("another that is asked for", scope("items/write"), OK),
        ("first of several", scope("items/read openid email"), OK),
        ("last of several", scope("openid email items/read"), OK),
        ("slash escaped", access().set("scope", r#""items\/read""#), OK),
        ("spaces around and between", scope("  openid   items/read "), OK),
        ("others", scope("openid email aws.cognito.signin.user.admin"), SCOPE),
        ("none", scope(""), SCOPE),
        ("not said", access().without("scope"), SCOPE),
        ("goes on", scope("items/reader"), SCOPE),
        ("begins otherwise", scope("my-items/read"), SCOPE),
        ("broken off", scope("items/rea"), SCOPE),
        ("resource alone", scope("items"), SCOPE),
        ("any of the resource", scope("items/*"), SCOPE),
        ("any", scope("*"), SCOPE),
        ("in capitals", scope("ITEMS/READ"), SCOPE),
        ("two in one", scope("items items/ /read read"), SCOPE),
        ("commas between", scope("openid,items/read"), SCOPE),
        ("a tab between", scope("openid\titems/read"), SCOPE),
        ("a line end between", scope("openid\nitems/read"), SCOPE),
        ("a list", access().set("scope", r#"["items/read"]"#), MALFORMED),
        ("in scopes", access().without("scope").text("scopes", "items/read"), SCOPE),
        ("in scp", access().without("scope").set("scp", r#"["items/read"]"#), SCOPE),
    ];
    tokens("one of the scopes that are asked for", "scoped", rows)
}

/// Nobody granted what a trigger wrote there.
fn scopes_of_id_tokens() -> Vec<Vector> {
    let rows = [
        ("an access token with it", scope("items/read"), OK),
        ("an ID token that claims it", id().text("scope", "items/read"), SCOPE),
        ("an ID token", id(), SCOPE),
    ];
    let on_access_route = [("an ID token that claims it", id().text("scope", "items/read"), USE)];
    [
        tokens("an ID token has no scopes", "any-scoped", rows),
        tokens("an ID token has no scopes, and is not asked for them", "scoped", on_access_route),
    ]
    .concat()
}

fn with_groups(json: &str) -> Claims {
    id().set("cognito:groups", json)
}

fn groups() -> Vec<Vector> {
    let rows = [
        ("one that is asked for", with_groups(r#"["readers"]"#), OK),
        ("another that is asked for", with_groups(r#"["writers"]"#), OK),
        ("last of several", with_groups(r#"["a","b","readers"]"#), OK),
        ("of an access token", access().set("cognito:groups", r#"["readers"]"#), OK),
        ("one as text", with_groups(r#""readers""#), OK),
        ("escaped", with_groups(r#"["\u0072eaders"]"#), OK),
        ("others", with_groups(r#"["admins"]"#), GROUP),
        ("none", with_groups("[]"), GROUP),
        ("not said", id(), GROUP),
        ("in capitals", with_groups(r#"["Readers"]"#), GROUP),
        ("goes on", with_groups(r#"["readers2"]"#), GROUP),
        ("space behind", with_groups(r#"["readers "]"#), GROUP),
        ("any", with_groups(r#"["*"]"#), GROUP),
        ("two in one", with_groups(r#"["readers,writers"]"#), GROUP),
        ("two in one text", with_groups(r#""readers writers""#), GROUP),
        ("a list in a text", with_groups(r#""[readers]""#), GROUP),
        ("in groups", id().set("groups", r#"["readers"]"#), GROUP),
        ("in cognito:roles", id().set("cognito:roles", r#"["readers"]"#), GROUP),
        ("in custom:groups", id().text("custom:groups", "readers"), GROUP),
    ];
    tokens("one of the groups that are asked for", "grouped", rows)
}

fn group_types() -> Vec<Vector> {
    let wrong =
        ["null", "5", "true", "{}", r#"{"readers":true}"#, "[5]", r#"["readers",5]"#, r#"[["readers"]]"#, "[null]"];
    tokens("groups are names", "grouped", wrong.map(|json| (json, with_groups(json), MALFORMED)))
}

fn scopes_and_groups() -> Vec<Vector> {
    let token = |scopes: &str, groups: &str| scope(scopes).set("cognito:groups", groups);
    let rows = [
        ("both", token("items/read", r#"["readers"]"#), OK),
        ("the scope alone", token("items/read", r#"["writers"]"#), GROUP),
        ("the group alone", token("items/write", r#"["readers"]"#), SCOPE),
        ("neither", token("openid", "[]"), SCOPE),
    ];
    tokens("a scope and a group", "strict", rows)
}
