//! One key of a JWKS document (RFC 7517 section 4).
//!
//! A key is used if it can only be what Cognito signs tokens with: an RSA key for RS256 signatures. A key that is anything
//! else is left out with a reason; it never costs the rest of the set.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use thiserror::Error;

use crate::{
    json::{self, present},
    signature::{VerifyingKey, WeakKey},
};

#[derive(Deserialize)]
struct JwkDocument<'a> {
    #[serde(borrow)]
    kty: Cow<'a, str>,
    #[serde(borrow)]
    kid: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present", rename = "use")]
    usage: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    alg: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    key_ops: Option<Vec<String>>,
    #[serde(borrow, default)]
    n: Cow<'a, str>,
    #[serde(borrow, default)]
    e: Cow<'a, str>,
}

/// A key that can verify tokens, and its name.
#[derive(Debug)]
pub(crate) struct Jwk {
    pub(crate) kid: Box<str>,
    pub(crate) key: VerifyingKey,
}

/// Why a key of the document is not used.
#[derive(Debug, Error)]
pub(crate) enum UnusableKey {
    #[error("the algorithm is not RS256")]
    Algorithm,
    #[error("n or e is not canonical base64url")]
    Encoding,
    #[error("not a JSON Web Key")]
    Shape(#[source] serde_json::Error),
    #[error("the key type is not RSA")]
    Type,
    #[error("the key is not for verifying signatures")]
    Usage,
    #[error(transparent)]
    Weak(#[from] WeakKey),
}

impl Jwk {
    /// Reads one member of `keys`.
    ///
    /// # Errors
    ///
    /// [`UnusableKey`].
    pub(crate) fn parse(json: &str) -> Result<Self, UnusableKey> {
        let JwkDocument { kty, kid, usage, alg, key_ops, n, e } = json::object(json).map_err(UnusableKey::Shape)?;
        if kty != "RSA" {
            return Err(UnusableKey::Type);
        }
        if usage.is_some_and(|usage| usage != "sig") || key_ops.is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
        {
            return Err(UnusableKey::Usage);
        }
        if alg.is_some_and(|alg| alg != "RS256") {
            return Err(UnusableKey::Algorithm);
        }
        let key = VerifyingKey::from_components(&decode(&n)?, &decode(&e)?)?;
        Ok(Self { kid: (*kid).into(), key })
    }
}

fn decode(text: &str) -> Result<Vec<u8>, UnusableKey> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| UnusableKey::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 256 octets of 0xff: the right size, odd, no leading zero.
    fn modulus() -> String {
        URL_SAFE_NO_PAD.encode([0xff; 256])
    }

    fn parse(members: &str) -> Result<Box<str>, String> {
        let json = format!(r#"{{"kid":"k+/=",{members}}}"#).replace('N', &modulus());
        Jwk::parse(&json).map(|jwk| jwk.kid).map_err(|error| error.to_string())
    }

    #[test]
    fn the_keys_that_cognito_publishes_are_used() {
        for members in [
            r#""alg":"RS256","e":"AQAB","kty":"RSA","n":"N","use":"sig""#,
            r#""e":"AQAB","kty":"RSA","n":"N""#,
            r#""e":"AQAB","kty":"RSA","n":"N","key_ops":["verify"],"x5c":"z","other":{}"#,
        ] {
            assert_eq!(parse(members).as_deref(), Ok("k+/="), "{members}");
        }
    }

    #[test]
    fn rfc7517_4_other_keys_are_left_out() {
        for (members, error) in [
            (r#""kty":"oct","k":"AAAA""#, "the key type is not RSA"),
            (r#""kty":"EC","crv":"P-256""#, "the key type is not RSA"),
            (r#""kty":"RSA","e":"AQAB","n":"N","use":"enc""#, "the key is not for verifying signatures"),
            (r#""kty":"RSA","e":"AQAB","n":"N","key_ops":["encrypt"]"#, "the key is not for verifying signatures"),
            (r#""kty":"RSA","e":"AQAB","n":"N","alg":"RS512""#, "the algorithm is not RS256"),
            (r#""kty":"RSA","e":"AQAB","n":"N=""#, "n or e is not canonical base64url"),
            (r#""kty":"RSA","e":"AQAB","n":"N","alg":5"#, "not a JSON Web Key"),
            (r#""kty":"RSA","e":"AQAB","n":"N","kid":"twice""#, "not a JSON Web Key"),
            (r#""kty":"RSA","e":"AQAB","n":"N","alg":null"#, "not a JSON Web Key"),
            (r#""kty":"RSA","e":"AQAB","n":"N","use":null"#, "not a JSON Web Key"),
            (r#""kty":"RSA","e":"AQAB","n":"N","key_ops":null"#, "not a JSON Web Key"),
            (r#""kty":"RSA","e":"AQAB","n":null"#, "not a JSON Web Key"),
            (r#""kty":"RSA","e":"Aw","n":"N""#, "the exponent is not 65537"),
        ] {
            assert_eq!(parse(members).err().as_deref(), Some(error), "{members}");
        }
        let in_order_of_the_fields = format!(r#"["RSA","k","sig","RS256",["verify"],"{}","AQAB"]"#, modulus());
        let no_name = format!(r#"{{"kty":"RSA","kid":null,"e":"AQAB","n":"{}"}}"#, modulus());
        for json in ["null", &in_order_of_the_fields, &no_name] {
            assert!(Jwk::parse(json).is_err(), "{json}");
        }
    }
}
