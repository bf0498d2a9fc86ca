//! The configuration that every vector is judged under, and the keys of its pools.

use cognigate_auth::revocation::{Revocation, Subject, SubjectKind};
use serde_json::{Value, json};

use crate::{
    mint::{ACCESS_KEY, ACCESS_KID, ID_KEY, ID_KID, Key, NOW, OTHER_KEY, encode},
    table::Sources,
};

/// The name of the one key that the pool `other` has and `main` has not.
pub(crate) const OTHER_KID: &str = "other+only/key=";

/// Names of keys of the pool `main` that no token may be signed with: each is [`ID_KEY`], or an impostor of it, published
/// in a way that makes it unfit (RFC 7517 section 4, RFC 7518 section 6.3).
pub(crate) const UNFIT_KIDS: [&str; 21] = [
    "alg is RS512",
    "alg is a number",
    "alg is null",
    "e is 1",
    "e is 3",
    "e has a leading zero",
    "key_ops is to encrypt",
    "kty is in small letters",
    "kty is not said",
    "kty is oct",
    "n has 1024 bits",
    "n has 2047 bits",
    "n has 8192 bits",
    "n has a leading zero",
    "n is even",
    "n is not said",
    "n is padded",
    "one name for two keys",
    "use is a number",
    "use is null",
    "use is to encrypt",
];

/// Names under which `main` publishes [`ID_KEY`], each fit, each of them odd.
pub(crate) const ODD_KIDS: [&str; 8] = [
    "alg is not said",
    "use is not said",
    "key_ops is to verify",
    "x5c is no list",
    "members that nobody knows",
    "listed twice",
    "../../keys/0",
    "\u{43a}\u{43b}\u{44e}\u{447} '; --",
];

/// The pools whose keys are in [`main_keys`].
pub(crate) const POOLS_OF_MAIN_KEYS: [&str; 5] = ["china", "emulator", "gov", "main", "skewed"];

/// A token that is revoked.
pub(crate) const REVOKED_TOKEN: &str = "5eed0001-4b5a-4978-8796-a5b4c3d2e1f0";

/// A session that was ended.
pub(crate) const ENDED_SESSION: &str = "5eed0002-4b5a-4978-8796-a5b4c3d2e1f0";

/// A user who was signed out everywhere [now](NOW).
pub(crate) const SIGNED_OUT: &str = "5eed0003-4b5a-4978-8796-a5b4c3d2e1f0";

/// A client, whose id is no UUID, whose tokens of before now are revoked.
pub(crate) const SIGNED_OUT_CLIENT: &str = "7machine89client01id23cdef";

/// `$MAIN`, `$OTHER`: where keys are; `$UPSTREAM`: where requests go; `$SOURCES`: where tokens are read; `$REVOKED`: what is
/// revoked.
const CONFIG: &str = r#"
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
token: { sources: $SOURCES }
identity: { headers: { x-email: email } }
revocation: { file: "$REVOKED" }
upstreams: { items: { endpoints: ["$UPSTREAM"] } }
user_pools:
  main:
    id: eu-west-1_AbC123xyz
    client_ids: [4example23client56id78abcd, 1second45client67id89efgh]
    additional_regions: [us-west-2]
    jwks_uri: "$MAIN"
  other: { id: us-east-1_Other, client_ids: [4example23client56id78abcd], jwks_uri: "$OTHER" }
  cold: { id: eu-west-1_Cold, any_client: true, jwks_uri: "http://127.0.0.1:1/jwks.json" }
  skewed: { id: eu-central-1_Skewed, any_client: true, jwks_uri: "$MAIN", clock_skew: 5m }
  gov: { id: us-gov-west-1_Gov1, any_client: true, jwks_uri: "$MAIN" }
  china: { id: cn-north-1_China1, any_client: true, jwks_uri: "$MAIN" }
  emulator: { issuer: "http://127.0.0.1:9229/local_Pool1", any_client: true, jwks_uri: "$MAIN" }
routes:
  - { name: id, match: { path: /id }, auth: { user_pools: [main] }, upstream: items }
  - { name: access, match: { path: /access }, auth: { user_pools: [main], token: access }, upstream: items }
  - { name: any, match: { path: /any }, auth: { user_pools: [main], token: any }, upstream: items }
  - name: scoped
    match: { path: /scoped }
    auth: { user_pools: [main], scopes_any: [items/read, items/write] }
    upstream: items
  - name: any-scoped
    match: { path: /any-scoped }
    auth: { user_pools: [main], token: any, scopes_any: [items/read] }
    upstream: items
  - name: grouped
    match: { path: /grouped }
    auth: { user_pools: [main], token: any, groups_any: [readers, writers] }
    upstream: items
  - name: strict
    match: { path: /strict }
    auth: { user_pools: [main], scopes_any: [items/read], groups_any: [readers] }
    upstream: items
  - { name: both, match: { path: /both }, auth: { user_pools: [main, other] }, upstream: items }
  - { name: other, match: { path: /other }, auth: { user_pools: [other] }, upstream: items }
  - { name: cold, match: { path: /cold }, auth: { user_pools: [cold] }, upstream: items }
  - { name: skewed, match: { path: /skewed }, auth: { user_pools: [skewed] }, upstream: items }
  - { name: gov, match: { path: /gov }, auth: { user_pools: [gov] }, upstream: items }
  - { name: china, match: { path: /china }, auth: { user_pools: [china] }, upstream: items }
  - { name: emulator, match: { path: /emulator }, auth: { user_pools: [emulator] }, upstream: items }
  - { name: open, match: { path: /open }, auth: none, upstream: items }
  - { name: deep, match: { path: "/deep/{proxy+}" }, auth: { user_pools: [main] }, upstream: items }
  - { name: get-only, match: { path: /get-only, methods: [GET] }, auth: { user_pools: [main] }, upstream: items }
  - { name: hosted, match: { host: private.example.com, path: /hosted }, auth: { user_pools: [main] }, upstream: items }
  - { name: unhosted, match: { path: /hosted }, auth: none, upstream: items }
"#;

/// The configuration of a proxy that reads tokens from there.
pub(crate) fn config(sources: Sources, main: &str, other: &str, upstream: &str, revoked: &str) -> String {
    let sources = match sources {
        Sources::CookieAndHeader => "[{ cookie: session }, { header: authorization }]",
        Sources::Header => "[{ header: authorization }]",
    };
    let values =
        [("$MAIN", main), ("$OTHER", other), ("$UPSTREAM", upstream), ("$SOURCES", sources), ("$REVOKED", revoked)];
    values.iter().fold(CONFIG.to_owned(), |config, (name, value)| config.replace(name, value))
}

/// Everyone and everything that is revoked.
pub(crate) fn revocations() -> [Revocation; 4] {
    [
        (SubjectKind::Jti, REVOKED_TOKEN, None),
        (SubjectKind::OriginJti, ENDED_SESSION, None),
        (SubjectKind::Sub, SIGNED_OUT, Some(*NOW)),
        (SubjectKind::Sub, SIGNED_OUT_CLIENT, Some(*NOW)),
    ]
    .map(|(kind, text, issued_before)| {
        let subject = Subject::new(kind, text).unwrap();
        Revocation { subject, issued_before, expires_at: u64::MAX, made_at: 0 }
    })
}

/// The file that says so.
pub(crate) fn revocation_file() -> String {
    let entry = |Revocation { subject, issued_before, expires_at: _, made_at: _ }| {
        let issued_before = issued_before.map_or(String::new(), |time| format!(", issued_before: {time}"));
        format!("  - {{ {}: {subject}{issued_before} }}\n", subject.kind())
    };
    revocations().map(entry).into_iter().fold("revocations:\n".to_owned(), |file, entry| file + &entry)
}

/// The keys of every pool but `other` and `cold`.
pub(crate) fn main_keys() -> String {
    let nameless = [json!(null), json!("a key"), json!({}), changed(&ID_KEY, "", ("kid", Some(json!(5))))];
    let mut keys = vec![ID_KEY.jwk(ID_KID), ACCESS_KEY.jwk(ACCESS_KID), ID_KEY.jwk("k")];
    keys.extend(nameless);
    keys.extend(ODD_KIDS.map(odd).into_iter().flatten());
    keys.extend(UNFIT_KIDS.map(unfit).into_iter().flatten());
    json!({ "keys": keys }).to_string()
}

/// The keys of the pool `other`: one has the name of one of `main`'s, the other a name of its own.
pub(crate) fn other_keys() -> String {
    json!({ "keys": [OTHER_KEY.jwk(ID_KID), OTHER_KEY.jwk(OTHER_KID)] }).to_string()
}

fn odd(kid: &str) -> Vec<Value> {
    let change = match kid {
        "alg is not said" => ("alg", None),
        "use is not said" => ("use", None),
        "key_ops is to verify" => ("key_ops", Some(json!(["verify"]))),
        "x5c is no list" => ("x5c", Some(json!("z"))),
        "members that nobody knows" => ("exp", Some(json!({ "iat": [null] }))),
        "listed twice" => return vec![ID_KEY.jwk(kid), ID_KEY.jwk(kid)],
        _ => return vec![ID_KEY.jwk(kid)],
    };
    vec![changed(&ID_KEY, kid, change)]
}

fn unfit(kid: &str) -> Vec<Value> {
    let n = || ID_KEY.modulus();
    let change = match kid {
        "alg is RS512" => ("alg", Some(json!("RS512"))),
        "alg is a number" => ("alg", Some(json!(5))),
        "alg is null" => ("alg", Some(json!(null))),
        "e is 1" => ("e", Some(json!("AQ"))),
        "e is 3" => ("e", Some(json!("Aw"))),
        "e has a leading zero" => ("e", Some(json!("AAEAAQ"))),
        "key_ops is to encrypt" => ("key_ops", Some(json!(["encrypt"]))),
        "kty is in small letters" => ("kty", Some(json!("rsa"))),
        "kty is not said" => ("kty", None),
        "kty is oct" => ("kty", Some(json!("oct"))),
        "n has 1024 bits" => ("n", Some(json!(encode([0xff; 128])))),
        "n has 2047 bits" => ("n", Some(json!(encode([vec![0x7f], vec![0xff; 255]].concat())))),
        "n has 8192 bits" => ("n", Some(json!(encode([0xff; 1024])))),
        "n has a leading zero" => ("n", Some(json!(encode([vec![0], n()].concat())))),
        "n is even" => ("n", Some(json!(encode([vec![0xff; 255], vec![0xfe]].concat())))),
        "n is not said" => ("n", None),
        "n is padded" => ("n", Some(json!(format!("{}==", encode(n()))))),
        "one name for two keys" => return vec![ID_KEY.jwk(kid), OTHER_KEY.jwk(kid)],
        "use is a number" => ("use", Some(json!(1))),
        "use is null" => ("use", Some(json!(null))),
        "use is to encrypt" => ("use", Some(json!("enc"))),
        _ => panic!("{kid}"),
    };
    vec![changed(&ID_KEY, kid, change)]
}

/// The public half of a key with one member set, or taken out.
fn changed(key: &Key, kid: &str, (member, value): (&str, Option<Value>)) -> Value {
    let mut jwk = key.jwk(kid);
    let members = jwk.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(member.to_owned(), value),
        None => members.remove(member),
    };
    jwk
}
