//! Who may look at and change what the admin listener guards: whoever shows the bearer token (RFC 6750 section 2.1).
//!
//! What is shown and what is right are compared as digests and in constant time, so that the time of an answer tells nothing
//! about either. The token is read again when its file changes; a file that has none any more changes nothing.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{Digest, SHA256, digest},
};
use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};

use super::page::Page;
use crate::{
    config::secret::{Secret, SecretKind},
    watch::Watch,
};

/// The token that is right.
pub struct AdminToken(ArcSwap<Digest>);

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// More than one `Authorization` field.
    Ambiguous,
    /// No bearer token.
    Missing,
    /// No token is right.
    NotConfigured,
    /// Another token.
    Wrong,
}

impl AdminToken {
    /// The token is this one.
    #[must_use]
    pub fn new(token: &Secret) -> Self {
        Self(ArcSwap::from_pointee(fingerprint(token.expose().as_bytes())))
    }

    /// Reads the token again whenever its file may have changed, until it is dropped. Looks at it every `interval`.
    pub async fn follow(self: Arc<Self>, path: PathBuf, interval: Duration) {
        let mut watch = Watch::new(path, interval);
        loop {
            watch.changed().await;
            let path = watch.path().to_owned();
            match tokio::task::spawn_blocking(move || Secret::read(&path, SecretKind::BearerToken)).await {
                Ok(Ok(token)) => self.replace(&token),
                Ok(Err(error)) => refuse(&watch, &error),
                Err(lost) => refuse(&watch, &lost),
            }
        }
    }

    fn replace(&self, token: &Secret) {
        let fresh = fingerprint(token.expose().as_bytes());
        if fresh.as_ref() != self.0.load().as_ref().as_ref() {
            self.0.store(Arc::new(fresh));
            tracing::info!("the admin token was replaced");
        }
    }

    fn is(&self, shown: &[u8]) -> bool {
        let right = self.0.load();
        verify_slices_are_equal(fingerprint(shown).as_ref(), right.as_ref().as_ref()).is_ok()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("AdminToken(...)")
    }
}

fn fingerprint(token: &[u8]) -> Digest {
    digest(&SHA256, token)
}

fn refuse(watch: &Watch, error: &dyn std::error::Error) {
    tracing::error!(file = %watch.path().display(), %error, "the admin token is not replaced: the one before it holds");
}

/// Lets a request pass that shows the token.
///
/// # Errors
///
/// [`Refusal`].
pub(super) fn check(token: Option<&AdminToken>, headers: &HeaderMap) -> Result<(), Refusal> {
    let token = token.ok_or(Refusal::NotConfigured)?;
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::Ambiguous);
    }
    let shown = bearer(value.as_bytes()).ok_or(Refusal::Missing)?;
    if token.is(shown) { Ok(()) } else { Err(Refusal::Wrong) }
}

/// What follows `Bearer ` (RFC 9110 section 11.1: the scheme in any case).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(rest.trim_ascii())
}

impl Refusal {
    pub(super) fn page(self) -> Page {
        let (status, challenge, message) = match self {
            Self::Ambiguous => (
                StatusCode::UNAUTHORIZED,
                r#"Bearer realm="cognigate-admin", error="invalid_request""#,
                "several Authorization headers: exactly one is allowed",
            ),
            Self::Missing => (
                StatusCode::UNAUTHORIZED,
                r#"Bearer realm="cognigate-admin""#,
                "no bearer token: send `Authorization: Bearer TOKEN` with the token of admin.token_file",
            ),
            Self::NotConfigured => {
                let message = "nothing can be seen or changed here: no admin.token_file is configured";
                return Page::message(StatusCode::FORBIDDEN, message);
            }
            Self::Wrong => (
                StatusCode::UNAUTHORIZED,
                r#"Bearer realm="cognigate-admin", error="invalid_token""#,
                "the bearer token is not the one of admin.token_file",
            ),
        };
        Page::message(status, message).with_field(WWW_AUTHENTICATE, challenge)
    }
}
