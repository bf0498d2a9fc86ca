//! Hot path: no lock, no I/O, no info log.
//!
//! Asks the authorizer about the request's token, where the route asks for one.

use std::sync::Arc;

use cognigate_auth::cache::VerifiedToken;
use pingora_http::RequestHeader;

use crate::{
    response::Refusal,
    runtime::{Access, Route, Runtime},
};

/// The caller of a request, or none on an open route. Every decision is counted.
///
/// # Errors
///
/// [`Refusal`] of an ambiguous request or of one that the route does not admit.
pub async fn admit(
    runtime: &Runtime,
    route: &Route,
    request: &RequestHeader,
) -> Result<Option<Arc<VerifiedToken>>, Refusal> {
    let (policy, decisions) = match &route.access {
        Access::Guarded { policy, decisions } => (policy, decisions),
        Access::Open { decisions } => {
            decisions.inc();
            return Ok(None);
        }
    };
    let token = runtime.token_sources.read(&request.headers).map_err(|fault| Refusal::Ambiguous(fault.into()))?;
    match runtime.authorizer.authorize(token, policy).await {
        Ok(token) => {
            decisions.ok.inc();
            Ok(Some(token))
        }
        Err(rejection) => {
            decisions.count_rejection(rejection);
            Err(Refusal::Rejected(rejection))
        }
    }
}
