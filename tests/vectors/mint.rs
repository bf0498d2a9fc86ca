//! Tokens to the byte, and the keys that sign them.
//!
//! Claims are kept as the text that they are written in, in order, so that `1e3`, a claim that is there twice and an escape
//! are as easily said as what Cognito issues.

use std::{fmt::Display, sync::LazyLock};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaEncoding},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cognigate_auth::clock::UnixSeconds;
use e2e::pool::now;
use serde_json::{Value, json};

/// When the tokens are minted, and when the library judges them.
pub(crate) static NOW: LazyLock<UnixSeconds> = LazyLock::new(now);

/// The app client that the tokens are for.
pub(crate) const CLIENT_ID: &str = "4example23client56id78abcd";

/// The name of the key that signs ID tokens: as Cognito's, standard base64 with all that this has.
pub(crate) const ID_KID: &str = "ABCDEFGHIJKLMNOPQRabc/1A2B3CZ5x6y7MA56Cy+6u=";

/// The name of the key that signs access tokens.
pub(crate) const ACCESS_KID: &str = "zyXWVutsRQPonMLKjihGFE+dcBA/98765432abCDeFg=";

pub(crate) static ID_KEY: LazyLock<Key> = LazyLock::new(Key::generate);
pub(crate) static ACCESS_KEY: LazyLock<Key> = LazyLock::new(Key::generate);

/// The key of another pool, which calls it [`ID_KID`] too.
pub(crate) static OTHER_KEY: LazyLock<Key> = LazyLock::new(Key::generate);

/// An RSA key of 2048 bits.
pub(crate) struct Key(KeyPair);

impl Key {
    fn generate() -> Self {
        Self(KeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn modulus(&self) -> Vec<u8> {
        self.0.public_key().modulus().big_endian_without_leading_zero().to_vec()
    }

    /// What some library would take for its PEM or DER file.
    pub(crate) fn public_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// The public half as a member of `keys` (RFC 7517 section 4).
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let n = encode(self.modulus());
        json!({ "alg": "RS256", "e": "AQAB", "kid": kid, "kty": "RSA", "n": n, "use": "sig" })
    }

    pub(crate) fn sign(&self, encoding: &'static dyn RsaEncoding, input: &str) -> Vec<u8> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(encoding, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        signature
    }

    /// A token with this header and payload.
    pub(crate) fn token(&self, header: &str, payload: impl AsRef<[u8]>) -> String {
        self.token_of_segments(&encode(header), &encode(payload))
    }

    /// A token with this header and payload, which are encoded in some way or other.
    pub(crate) fn token_of_segments(&self, header: &str, payload: &str) -> String {
        let input = format!("{header}.{payload}");
        let signature = self.sign(&RSA_PKCS1_SHA256, &input);
        format!("{input}.{}", encode(signature))
    }
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The header that Cognito writes for a key of this name.
pub(crate) fn header(kid: &str) -> String {
    format!(r#"{{"kid":"{kid}","alg":"RS256"}}"#)
}

/// An ID token with this header.
pub(crate) fn headed(header: &str) -> String {
    ID_KEY.token(header, id().json())
}

/// A token with this payload and the header of an ID token.
pub(crate) fn paid(payload: impl AsRef<[u8]>) -> String {
    ID_KEY.token(&header(ID_KID), payload)
}

/// An issuer, or any other text, with the slashes escaped as Cognito escapes them.
fn escaped(text: &str) -> String {
    json!(text).to_string().replace('/', r"\/")
}

/// The claims of a token, in order, each as it is written.
#[derive(Clone)]
pub(crate) struct Claims {
    members: Vec<(String, String)>,
    key: &'static LazyLock<Key>,
    kid: &'static str,
}

/// An ID token that was issued now for an hour.
pub(crate) fn id() -> Claims {
    let claims = Claims { members: Vec::new(), key: &ID_KEY, kid: ID_KID };
    claims
        .text("sub", "8f14e45f-ceea-467f-a8e8-3c1d2f0b9a01")
        .set("email_verified", true)
        .iss("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz")
        .text("cognito:username", "jane")
        .text("origin_jti", "0d9f5b0e-6f0b-4a53-9d3e-1f6a2b7c8d9e")
        .text("aud", CLIENT_ID)
        .text("event_id", "c3d2e1f0-5a4b-4c3d-9e8f-7a6b5c4d3e2f")
        .text("token_use", "id")
        .set("auth_time", *NOW)
        .set("exp", *NOW + 3600)
        .set("iat", *NOW)
        .text("jti", "b7a1d4c2-93e8-4f6d-8c5b-2a1f0e9d8c7b")
        .text("email", "jane@example.com")
}

/// An access token that was issued now for an hour.
pub(crate) fn access() -> Claims {
    let claims = Claims { members: Vec::new(), key: &ACCESS_KEY, kid: ACCESS_KID };
    claims
        .text("sub", "8f14e45f-ceea-467f-a8e8-3c1d2f0b9a01")
        .iss("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz")
        .set("version", 2)
        .text("client_id", CLIENT_ID)
        .text("origin_jti", "0d9f5b0e-6f0b-4a53-9d3e-1f6a2b7c8d9e")
        .text("token_use", "access")
        .text("scope", "openid email")
        .set("auth_time", *NOW)
        .set("exp", *NOW + 3600)
        .set("iat", *NOW)
        .text("jti", "b7a1d4c2-93e8-4f6d-8c5b-2a1f0e9d8c7b")
        .text("username", "jane")
}

impl Claims {
    /// With this JSON text as the value of a claim.
    pub(crate) fn set(mut self, name: &str, json: impl Display) -> Self {
        let json = json.to_string();
        match self.members.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => *value = json,
            None => self.members.push((name.to_owned(), json)),
        }
        self
    }

    /// With this string as the value of a claim.
    pub(crate) fn text(self, name: &str, text: &str) -> Self {
        self.set(name, json!(text))
    }

    /// With this issuer, slashes escaped.
    pub(crate) fn iss(self, issuer: &str) -> Self {
        self.set("iss", escaped(issuer))
    }

    /// With a claim more, also if it is there already. The name is JSON text without its quotes.
    pub(crate) fn also(mut self, name: &str, json: &str) -> Self {
        self.members.push((name.to_owned(), json.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.members.retain(|(known, _)| known != name);
        self
    }

    /// Signed by another key, whatever it is called.
    pub(crate) fn by(mut self, key: &'static LazyLock<Key>, kid: &'static str) -> Self {
        (self.key, self.kid) = (key, kid);
        self
    }

    pub(crate) fn json(&self) -> String {
        let members: Vec<_> = self.members.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
        format!("{{{}}}", members.join(","))
    }

    pub(crate) fn mint(&self) -> String {
        self.key.token(&header(self.kid), self.json())
    }
}

impl From<Claims> for String {
    fn from(claims: Claims) -> Self {
        claims.mint()
    }
}
