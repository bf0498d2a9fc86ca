//! Tokens that are signed with the keys of this process.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cognigate_auth::{
    clock::UnixSeconds,
    local_pool,
    policy::{Policy, TokenUse},
};
use serde_json::{Value, json};

use super::claims::{self, Claims};
use crate::{
    gate::{KEYS, NOW, POOLS},
    input::Input,
};

/// Members of headers and claims that a verdict may depend on.
const NAMES: [&str; 16] = [
    "alg",
    "kid",
    "crit",
    "iss",
    "sub",
    "token_use",
    "exp",
    "nbf",
    "iat",
    "aud",
    "client_id",
    "scope",
    "cognito:groups",
    "jti",
    "email",
    "custom:tags",
];

/// What they are set to, as JSON.
const VALUES: [&str; 32] = [
    "null",
    "0",
    "-1",
    "1.5",
    "1699999999",
    "1700000000",
    "1700000001",
    "1700086400",
    "1700086700",
    "1700086701",
    "1700086760",
    "1700086761",
    "18446744073709551615",
    "18446744073709551616",
    "true",
    "[]",
    "{}",
    r#""""#,
    r#""a""#,
    r#""b""#,
    r#""none""#,
    r#""RS256""#,
    r#""HS256""#,
    r#""id""#,
    r#""access""#,
    r#""client""#,
    r#"["client"]"#,
    r#"" s  g ""#,
    r#"["g","x y",",%"]"#,
    r#"["g",1]"#,
    r#""https:\/\/cognito-idp.eu-west-1.amazonaws.com\/eu-west-1_Main""#,
    r#""https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Lenient""#,
];

/// Good tokens, and tokens that lack one thing. The good ones come first.
pub(super) static MINTED: LazyLock<Vec<Minted>> = LazyLock::new(|| {
    let (id, access) = (TokenUse::Id, TokenUse::Access);
    vec![
        minted(0, 0, "a", id, &json!({ "cognito:groups": ["g"], "custom:tags": ["x", "y,z"] })),
        minted(0, 0, "a", access, &json!({ "scope": "s t", "cognito:groups": "h", "nbf": NOW })),
        minted(1, 1, "b", id, &json!({ "exp": NOW + 86_760 })),
        minted(1, 1, "b", access, &json!({ "iat": null, "client_id": "anyone" })),
        minted(0, 0, "a", id, &json!({ "exp": NOW })),
        minted(0, 0, "a", id, &json!({ "nbf": NOW + 1 })),
        minted(0, 0, "a", id, &json!({ "exp": NOW + 86_701 })),
        minted(0, 0, "a", id, &json!({ "aud": "stranger" })),
        minted(0, 0, "a", id, &json!({ "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other" })),
        minted(0, 0, "z", id, &json!({})),
        minted(0, 1, "a", id, &json!({})),
        minted(0, 1, "b", id, &json!({})),
    ]
});

/// A token and what it was made from.
pub(super) struct Minted {
    pub(super) token: Vec<u8>,
    pub(super) header: Vec<u8>,
    pub(super) payload: Vec<u8>,
    /// The place of its key among the pools.
    pub(super) signer: usize,
}

impl Minted {
    /// Signs these bytes.
    pub(super) fn sign(header: &[u8], payload: &[u8], signer: usize) -> Self {
        let key = KEYS.get(signer).expect("a key for each pool");
        let token = key.mint_raw(header, payload).expect("a signature").into_bytes();
        Self { token, header: header.to_vec(), payload: payload.to_vec(), signer }
    }

    /// The same token with a signature that fits nothing.
    pub(super) fn with_false_signature(header: &[u8], payload: &[u8]) -> Vec<u8> {
        let parts = [header, payload, &[0x11; 256]].map(|part| URL_SAFE_NO_PAD.encode(part));
        parts.join(".").into_bytes()
    }

    /// What the bearer is to pass with at `now`; none if the token is to be refused.
    pub(super) fn deserves(&self, policy: &Policy, now: UnixSeconds) -> Option<Claims<'_>> {
        claims::read(&self.header, &self.payload, policy, now).filter(|claims| claims.pool == self.signer)
    }
}

/// The claims of a token that a pool issues now, with these changes, and a header that names this key.
fn minted(pool: usize, signer: usize, kid: &str, token_use: TokenUse, changes: &Value) -> Minted {
    let pool = POOLS.get(pool).expect("a pool");
    let mut claims = local_pool::claims(pool.issuer, "client", token_use, NOW);
    local_pool::with(&mut claims, changes);
    let header = json!({ "kid": kid, "alg": "RS256" }).to_string();
    Minted::sign(header.as_bytes(), claims.to_string().as_bytes(), signer)
}

/// A member and, as JSON, what it is to be.
pub(super) type Change = (&'static str, &'static str);

/// The change that an input describes.
pub(super) fn change(input: &mut Input<'_>) -> Change {
    (*input.pick(&NAMES), *input.pick(&VALUES))
}

/// A JSON object with some members set to a value, or taken out where that is `null`. What is no object stays as it is.
pub(super) fn with_members(object: &[u8], changes: &[Change]) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice(object) else { return object.to_vec() };
    for (name, text) in changes {
        let member: Value = serde_json::from_str(text).expect("JSON");
        local_pool::with(&mut value, &json!({ *name: member }));
    }
    value.to_string().into_bytes()
}
