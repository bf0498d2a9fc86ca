//! A user pool in memory, for demos and tests: throw-away RSA keys, their JWKS document, and tokens minted with them.
//!
//! Tokens have the shape of Cognito's, down to the escaped slashes in `iss`, which no stand-in emits. Nothing here is fit
//! to protect anything.

use std::fmt;

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use thiserror::Error;

use crate::{clock::UnixSeconds, policy::TokenUse};

/// A key could not be made or used.
#[derive(Debug, Error)]
pub enum LocalPoolError {
    /// The cryptographic library could not make a key.
    #[error("cannot make an RSA key")]
    KeyGeneration,
    /// The key could not be handed to the signer, or did not sign.
    #[error("cannot sign")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// A signing key and its name.
pub struct SigningKey {
    kid: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    encoding: EncodingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({})", self.kid)
    }
}

impl SigningKey {
    /// Makes a new 2048-bit key.
    ///
    /// # Errors
    ///
    /// [`LocalPoolError`].
    pub fn generate(kid: impl Into<String>) -> Result<Self, LocalPoolError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| LocalPoolError::KeyGeneration)?;
        let private = pair.as_der().map_err(|_| LocalPoolError::KeyGeneration)?;
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(private.as_ref()));
        let public = pair.public_key();
        Ok(Self {
            kid: kid.into(),
            modulus: public.modulus().big_endian_without_leading_zero().to_vec(),
            exponent: public.exponent().big_endian_without_leading_zero().to_vec(),
            encoding: EncodingKey::from_rsa_pem(pem.as_bytes())?,
        })
    }

    /// The same key under another name.
    #[must_use]
    pub fn renamed(&self, kid: impl Into<String>) -> Self {
        let Self { kid: _, modulus, exponent, encoding } = self;
        Self { kid: kid.into(), modulus: modulus.clone(), exponent: exponent.clone(), encoding: encoding.clone() }
    }

    /// The public half as a member of `keys` (RFC 7517 section 4).
    #[must_use]
    pub fn jwk(&self) -> Value {
        json!({
            "alg": "RS256",
            "e": URL_SAFE_NO_PAD.encode(&self.exponent),
            "kid": self.kid,
            "kty": "RSA",
            "n": URL_SAFE_NO_PAD.encode(&self.modulus),
            "use": "sig",
        })
    }

    /// A token with these claims and Cognito's header.
    ///
    /// # Errors
    ///
    /// [`LocalPoolError::Signing`].
    pub fn mint(&self, claims: &Value) -> Result<String, LocalPoolError> {
        let header = json!({ "kid": self.kid, "alg": "RS256" });
        self.mint_raw(&header.to_string(), &claims.to_string().replace("://", r":\/\/"))
    }

    /// A token with exactly these bytes as header and payload.
    ///
    /// # Errors
    ///
    /// [`LocalPoolError::Signing`].
    pub fn mint_raw<H, P>(&self, header: &H, payload: &P) -> Result<String, LocalPoolError>
    where
        H: AsRef<[u8]> + ?Sized,
        P: AsRef<[u8]> + ?Sized,
    {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &self.encoding, Algorithm::RS256)?;
        Ok(format!("{input}.{signature}"))
    }
}

/// A JWKS document of these keys.
#[must_use]
pub fn jwks<'k>(keys: impl IntoIterator<Item = &'k SigningKey>) -> String {
    let keys: Vec<_> = keys.into_iter().map(SigningKey::jwk).collect();
    json!({ "keys": keys }).to_string()
}

/// The claims of a session that Cognito would have opened at `issued_at` for an hour. Add to them or change them freely.
#[must_use]
pub fn claims(issuer: &str, client_id: &str, token_use: TokenUse, issued_at: UnixSeconds) -> Value {
    let mut claims = json!({
        "iss": issuer,
        "sub": "8f14e45f-ceea-467f-a8e8-3c1d2f0b9a01",
        "origin_jti": "0d9f5b0e-6f0b-4a53-9d3e-1f6a2b7c8d9e",
        "jti": "b7a1d4c2-93e8-4f6d-8c5b-2a1f0e9d8c7b",
        "event_id": "c3d2e1f0-5a4b-4c3d-9e8f-7a6b5c4d3e2f",
        "auth_time": issued_at,
        "iat": issued_at,
        "exp": issued_at + 3600,
    });
    let own = match token_use {
        TokenUse::Access => json!({
            "token_use": "access",
            "client_id": client_id,
            "scope": "aws.cognito.signin.user.admin",
            "username": "jane",
        }),
        TokenUse::Id => json!({
            "token_use": "id",
            "aud": client_id,
            "cognito:username": "jane",
            "email": "jane@example.com",
            "email_verified": true,
        }),
    };
    with(&mut claims, &own);
    claims
}

/// Sets each member of `changes` in `claims`; one that is `null` is taken out.
pub fn with(claims: &mut Value, changes: &Value) {
    let (Some(claims), Some(changes)) = (claims.as_object_mut(), changes.as_object()) else {
        return;
    };
    for (name, value) in changes {
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
}
