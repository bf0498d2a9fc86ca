//! The user pool of the demo: keys made at start, a JWKS endpoint, and tokens as Cognito would issue them.

use async_trait::async_trait;
use cognigate_auth::{
    clock::UnixSeconds,
    local_pool::{LocalPoolError, SigningKey, claims, jwks, with},
    policy::TokenUse,
    pool::PoolId,
};
use http::{HeaderValue, Response, header};
use pingora_core::{apps::http_app::ServeHttp, protocols::http::ServerSession};
use serde_json::{Value, json};

/// The pool's id. Its issuer follows from it, as for a pool of Cognito's.
pub(super) const POOL_ID: &str = "eu-west-1_Demo12345";

/// The one app client.
pub(super) const CLIENT_ID: &str = "4demo23client56id78abcdefg";

/// How long ago the session of the expired token began, in seconds. Its tokens lived for an hour.
const LONG_AGO: u64 = 2 * 60 * 60;

/// The pool. As in Cognito, ID tokens and access tokens are signed with different keys.
pub(super) struct DemoPool {
    id_key: SigningKey,
    access_key: SigningKey,
}

impl DemoPool {
    pub(super) fn generate() -> Result<Self, LocalPoolError> {
        Ok(Self {
            id_key: SigningKey::generate("demo+id/kcPWvUpvHM9S8C1bQ2xNdLZ0e5mJtYhRaXo3=")?,
            access_key: SigningKey::generate("demo+access/9f2LrGkTqWnE7sVbC4dXhYmZjU1oP0aI=")?,
        })
    }

    pub(super) fn key_service(&self) -> KeyService {
        KeyService { document: jwks([&self.id_key, &self.access_key]) }
    }

    /// An ID token of a user in the group `readers`.
    pub(super) fn id_token(&self, now: UnixSeconds) -> Result<String, LocalPoolError> {
        self.id_key.mint(&Self::claims(TokenUse::Id, now))
    }

    /// One whose hour is over.
    pub(super) fn expired_token(&self, now: UnixSeconds) -> Result<String, LocalPoolError> {
        self.id_key.mint(&Self::claims(TokenUse::Id, now.saturating_sub(LONG_AGO)))
    }

    /// The header and signature of one token around the claims of another, which put the user in the group `admins`.
    pub(super) fn tampered_token(&self, now: UnixSeconds) -> Result<String, LocalPoolError> {
        let genuine = self.id_token(now)?;
        let mut claims = Self::claims(TokenUse::Id, now);
        with(&mut claims, &json!({ "cognito:groups": ["admins"] }));
        let other = self.access_key.mint(&claims)?;
        let parts = (genuine.split('.').next(), other.split('.').nth(1), genuine.split('.').nth(2));
        let (Some(header), Some(payload), Some(signature)) = parts else { return Ok(genuine) };
        Ok(format!("{header}.{payload}.{signature}"))
    }

    /// An access token of the same user.
    pub(super) fn access_token(&self, now: UnixSeconds) -> Result<String, LocalPoolError> {
        self.access_key.mint(&Self::claims(TokenUse::Access, now))
    }

    fn claims(token_use: TokenUse, issued_at: UnixSeconds) -> Value {
        let issuer = POOL_ID.parse::<PoolId>().map(|id| id.issuer().as_str().to_owned()).unwrap_or_default();
        let mut claims = claims(&issuer, CLIENT_ID, token_use, issued_at);
        with(&mut claims, &json!({ "cognito:groups": ["readers"] }));
        claims
    }
}

/// Serves the pool's JWKS document, on any path.
pub(super) struct KeyService {
    document: String,
}

#[async_trait]
impl ServeHttp for KeyService {
    async fn response(&self, _session: &mut ServerSession) -> Response<Vec<u8>> {
        json_response(self.document.clone().into_bytes())
    }
}

/// A 200 with a JSON body.
pub(super) fn json_response(body: Vec<u8>) -> Response<Vec<u8>> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
