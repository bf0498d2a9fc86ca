//! The one place that asks for keys over the network.
//!
//! One `GET` without redirects, bounded in time and in bytes; only a `200` counts. Proxy settings of the environment
//! (`HTTPS_PROXY`, `NO_PROXY`) and the system's certificate authorities (`SSL_CERT_FILE`, `SSL_CERT_DIR`) are honoured.
//! Plain `http` goes past every proxy: it is trusted only because it does not leave the machine.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect::Policy};
use thiserror::Error;

use crate::pool::JwksUri;

/// The longest document that is read, in bytes. Cognito's have two keys in under 1 KiB.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// Fetches JWKS documents. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fetcher {
    secure: Client,
    loopback: Client,
}

/// Why there is no document.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The answer is not 200: redirects are not followed.
    #[error("answered {0}")]
    Status(StatusCode),
    /// The document is longer than 64 KiB.
    #[error("the document is longer than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
    /// No connection, no TLS, no answer in time, or a broken one.
    #[error("no answer")]
    Transport(#[source] reqwest::Error),
}

/// The HTTP client could not be made: most likely the certificate authorities of the system cannot be read.
#[derive(Debug, Error)]
#[error("cannot make an HTTP client for JWKS documents")]
pub struct NoClient(#[source] reqwest::Error);

impl Fetcher {
    /// A fetcher on the runtime of the caller.
    ///
    /// # Errors
    ///
    /// [`NoClient`].
    pub fn new() -> Result<Self, NoClient> {
        Ok(Self {
            secure: client().https_only(true).build().map_err(NoClient)?,
            loopback: client().no_proxy().build().map_err(NoClient)?,
        })
    }

    /// Fetches one document within `timeout`, from the look-up of the name to the last byte.
    ///
    /// # Errors
    ///
    /// [`FetchError`].
    pub async fn fetch(&self, uri: &JwksUri, timeout: Duration) -> Result<Vec<u8>, FetchError> {
        let request = self.client_for(uri).get(uri.as_str()).timeout(timeout);
        let answer = request.send().await.map_err(|error| FetchError::Transport(error.without_url()))?;
        match answer.status() {
            StatusCode::OK => bounded_body(answer).await,
            status => Err(FetchError::Status(status)),
        }
    }

    fn client_for(&self, uri: &JwksUri) -> &Client {
        if uri.is_plain() { &self.loopback } else { &self.secure }
    }
}

fn client() -> ClientBuilder {
    Client::builder().redirect(Policy::none()).user_agent(concat!("cognigate/", env!("CARGO_PKG_VERSION")))
}

async fn bounded_body(mut answer: Response) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| FetchError::Transport(error.without_url()))? {
        if body.len() + chunk.len() > MAX_DOCUMENT_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_past_every_proxy_and_https_never_becomes_plain() {
        let fetcher = Fetcher::new().unwrap();
        for (uri, client) in [("http://127.0.0.1:1/k", &fetcher.loopback), ("https://127.0.0.1:1/k", &fetcher.secure)] {
            assert!(std::ptr::eq(fetcher.client_for(&uri.parse().unwrap()), client), "{uri}");
        }
    }
}
