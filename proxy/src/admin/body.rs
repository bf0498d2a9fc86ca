//! The body of a request, within bounds of size and time.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::EXPECT};
use pingora_core::protocols::http::ServerSession;
use tokio::time::timeout;

use super::page::Page;

/// The largest body that is read, in bytes: 1 MiB. Ten thousand entries fit.
const MAX_BYTES: usize = 1024 * 1024;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a body that nobody wants may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Why there is no body.
#[derive(Clone, Copy, Debug)]
pub(super) enum BodyFault {
    Broken,
    TooLarge,
    TooSlow,
}

/// Reads the whole body.
///
/// # Errors
///
/// [`BodyFault`].
pub(super) async fn read(session: &mut ServerSession) -> Result<Vec<u8>, BodyFault> {
    timeout(TIMEOUT, read_all(session)).await.unwrap_or(Err(BodyFault::TooSlow))
}

async fn read_all(session: &mut ServerSession) -> Result<Vec<u8>, BodyFault> {
    if is_awaited(&session.req_header().headers) {
        session.write_continue_response().await.map_err(|_| BodyFault::Broken)?;
    }
    let mut body = Vec::new();
    while let Some(part) = session.read_request_body().await.map_err(|_| BodyFault::Broken)? {
        if body.len() + part.len() > MAX_BYTES {
            return Err(BodyFault::TooLarge);
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// Whether the client waits to be asked for the body (RFC 9110 section 10.1.1).
fn is_awaited(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Reads what is left of the body and drops it. Says whether nothing is left.
pub(super) async fn discard(session: &mut ServerSession) -> bool {
    if session.is_body_done() {
        return true;
    }
    // A client that still waits to be asked is not: it sends nothing.
    if is_awaited(&session.req_header().headers) {
        return false;
    }
    let rest = async {
        let mut left = MAX_BYTES;
        while let Ok(Some(part)) = session.read_request_body().await {
            left = left.checked_sub(part.len())?;
        }
        Some(())
    };
    timeout(DISCARD_TIMEOUT, rest).await.is_ok_and(|rest| rest.is_some()) && session.is_body_done()
}

impl BodyFault {
    pub(super) fn page(self) -> Page {
        match self {
            Self::Broken => Page::message(StatusCode::BAD_REQUEST, "the body did not arrive whole"),
            Self::TooLarge => {
                Page::message(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large: at most 1048576 bytes (1 MiB)")
            }
            Self::TooSlow => Page::message(StatusCode::REQUEST_TIMEOUT, "the body took too long: at most 10 seconds"),
        }
    }
}
