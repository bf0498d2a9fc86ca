//! `iss`: byte for byte an issuer of a pool of the route, whatever the escapes that it is written with (RFC 7519 section
//! 4.1.1; Cognito developer guide, "Verifying a JSON web token").

use crate::{
    mint::{Claims, id},
    table::{Vector, tokens},
    verdict::{ISSUER, OK},
};

/// The issuer of the pool `main`.
const MAIN: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz";

pub(super) fn vectors() -> Vec<Vector> {
    [forms(), spellings(), lookalikes(), strangers(), partitions(), emulators()].concat()
}

fn iss(issuer: &str) -> Claims {
    id().iss(issuer)
}

fn forms() -> Vec<Vector> {
    let rows = [
        ("slashes escaped, as Cognito does", iss(MAIN), OK),
        ("slashes not escaped", id().text("iss", MAIN), OK),
        ("slashes as \\u002f", id().set("iss", format!("{MAIN:?}").replace('/', r"\u002f")), OK),
        ("form UPDATED", iss("https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz"), OK),
        ("a replica", iss("https://cognito-idp.us-west-2.amazonaws.com/eu-west-1_AbC123xyz"), OK),
        ("a replica elsewhere", iss("https://cognito-idp.us-east-2.amazonaws.com/eu-west-1_AbC123xyz"), ISSUER),
        (
            "form UPDATED of a replica's region",
            iss("https://issuer-cognito-idp.us-west-2.amazonaws.com/eu-west-1_AbC123xyz"),
            ISSUER,
        ),
        (
            "form UPDATED with a slash behind",
            iss("https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz/"),
            ISSUER,
        ),
        ("slashes escaped twice", id().text("iss", &MAIN.replace('/', r"\/")), ISSUER),
    ];
    tokens("the forms of an issuer", "id", rows)
}

fn spellings() -> Vec<Vector> {
    let rows = [
        ("a slash behind", iss(&format!("{MAIN}/")), ISSUER),
        ("a slash too many", iss(&MAIN.replace(".com/", ".com//")), ISSUER),
        ("http", iss(&MAIN.replace("https", "http")), ISSUER),
        ("no scheme", iss(&MAIN.replace("https://", "")), ISSUER),
        ("scheme in capitals", iss(&MAIN.replace("https", "HTTPS")), ISSUER),
        ("host in capitals", iss(&MAIN.replace("amazonaws", "AMAZONAWS")), ISSUER),
        ("pool in capitals", iss(&MAIN.replace("AbC123xyz", "ABC123XYZ")), ISSUER),
        ("pool in small letters", iss(&MAIN.replace("AbC123xyz", "abc123xyz")), ISSUER),
        ("port", iss(&MAIN.replace(".com/", ".com:443/")), ISSUER),
        ("dot behind the host", iss(&MAIN.replace(".com/", ".com./")), ISSUER),
        ("user", iss(&MAIN.replace("https://", "https://me@")), ISSUER),
        ("query", iss(&format!("{MAIN}?")), ISSUER),
        ("fragment", iss(&format!("{MAIN}#")), ISSUER),
        ("dot segment", iss(&MAIN.replace(".com/", ".com/./")), ISSUER),
        ("percent-encoded", iss(&MAIN.replace("eu-west-1_", "eu-west-1%5F")), ISSUER),
        ("space before", iss(&format!(" {MAIN}")), ISSUER),
        ("space behind", iss(&format!("{MAIN} ")), ISSUER),
        ("line end behind", iss(&format!("{MAIN}\n")), ISSUER),
        ("zero byte behind", iss(&format!("{MAIN}\0")), ISSUER),
        ("letter of another script", iss(&MAIN.replace("cognito", "c\u{43e}gnito")), ISSUER),
    ];
    tokens("an issuer is compared byte for byte", "id", rows)
}

fn lookalikes() -> Vec<Vector> {
    let rows = [
        ("host goes on", iss(&MAIN.replace(".com/", ".com.example.org/")), ISSUER),
        ("host begins otherwise", iss(&MAIN.replace("https://", "https://x")), ISSUER),
        ("pool goes on", iss(&format!("{MAIN}z")), ISSUER),
        ("pool broken off", iss(MAIN.strip_suffix('z').unwrap()), ISSUER),
        ("pool is another's path", iss("https://example.org/eu-west-1_AbC123xyz"), ISSUER),
        ("issuer is another's query", iss(&format!("https://example.org/?{MAIN}")), ISSUER),
        ("issuer is another's user", iss(&MAIN.replace(".com/", ".com@example.org/")), ISSUER),
        ("two issuers", iss(&format!("{MAIN} https://example.org")), ISSUER),
        ("address of the keys", iss(&format!("{MAIN}/.well-known/jwks.json")), ISSUER),
        ("pool alone", iss("eu-west-1_AbC123xyz"), ISSUER),
        ("name of the pool", iss("main"), ISSUER),
    ];
    tokens("a lookalike is another issuer", "id", rows)
}

fn strangers() -> Vec<Vector> {
    let rows = [
        ("empty", iss(""), ISSUER),
        ("another pool of the region", iss("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Stranger1"), ISSUER),
        ("a pool that other routes take", iss("https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Other"), ISSUER),
        ("the identity pools", iss("https://cognito-identity.amazonaws.com"), ISSUER),
        ("a domain of the pool", iss("https://main.auth.eu-west-1.amazoncognito.com"), ISSUER),
        ("another provider", iss("https://accounts.google.com"), ISSUER),
    ];
    tokens("an issuer of no pool of the route", "id", rows)
}

/// The region names the partition, and the partition the host.
fn partitions() -> Vec<Vector> {
    let gov = "https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_Gov1";
    let china = "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_China1";
    let gov_rows = [
        ("its issuer", iss(gov), OK),
        ("form UPDATED", iss(&gov.replace("cognito-idp", "issuer-cognito-idp")), OK),
        ("endpoint for FIPS 140", iss(&gov.replace("cognito-idp", "cognito-idp-fips")), ISSUER),
    ];
    let china_rows = [
        ("its issuer", iss(china), OK),
        ("form UPDATED", iss(&china.replace("cognito-idp", "issuer-cognito-idp")), OK),
        ("as in other partitions", iss(&china.replace(".com.cn", ".com")), ISSUER),
    ];
    [tokens("partition aws-us-gov", "gov", gov_rows), tokens("partition aws-cn", "china", china_rows)].concat()
}

/// An issuer that the configuration names is the only one of its pool.
fn emulators() -> Vec<Vector> {
    let rows = [
        ("as it is written", iss("http://127.0.0.1:9229/local_Pool1"), OK),
        ("https", iss("https://127.0.0.1:9229/local_Pool1"), ISSUER),
        ("another name of the host", iss("http://localhost:9229/local_Pool1"), ISSUER),
        ("a slash behind", iss("http://127.0.0.1:9229/local_Pool1/"), ISSUER),
        ("an issuer of Cognito", iss(MAIN), ISSUER),
    ];
    tokens("an issuer of one's own", "emulator", rows)
}
