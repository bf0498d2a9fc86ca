//! A JWKS document as Cognito publishes it, with as many keys as it takes.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::json;

/// A document of different 2048-bit keys. Nobody has their private halves: for a key to be read, its modulus only has to be
/// odd and of the right size.
#[must_use]
pub fn document(keys: u8) -> String {
    let key = |number: u8| {
        json!({
            "alg": "RS256",
            "e": "AQAB",
            "kid": STANDARD.encode([number; 32]),
            "kty": "RSA",
            "n": URL_SAFE_NO_PAD.encode([0xff - 2 * number; 256]),
            "use": "sig",
        })
    };
    json!({ "keys": (0..keys).map(key).collect::<Vec<_>>() }).to_string()
}
