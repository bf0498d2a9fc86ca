//! Hot path: no lock, no I/O, no info log.
//!
//! Asks the authorizer about the request's token, where the route asks for one.

use std::{net::IpAddr, sync::Arc};

use cognigate_auth::{authorizer::Denial, cache::VerifiedToken};
use pingora_http::RequestHeader;

use crate::{
    filter::failed_auth::{FailedAuth, Failures},
    response::Refusal,
    runtime::{Route, Runtime},
};

/// The caller of a request, or none on an open route. Every decision is counted; none was made where too many tokens from
/// `client` were forged, and this one is not remembered.
///
/// # Errors
///
/// [`Refusal`] of an ambiguous request, of one that the route does not admit, or of a token that nobody looked at.
pub async fn admit(
    runtime: &Runtime,
    route: &Route,
    request: &RequestHeader,
    client: Option<IpAddr>,
) -> Result<Option<Arc<VerifiedToken>>, Refusal> {
    let Some(policy) = &route.policy else {
        route.metrics.count_open();
        return Ok(None);
    };
    let token = runtime.token_sources.read(&request.headers).map_err(|fault| Refusal::Ambiguous(fault.into()))?;
    let failures = runtime.failed_auth.as_ref().zip(client).map(|(limit, client)| FailedAuth::of(limit, client));
    let may_verify = || failures.as_ref().map_or(Ok(()), Failures::check);
    match runtime.authorizer.authorize(token, policy, may_verify).await {
        Ok(token) => {
            route.metrics.count_accepted();
            Ok(Some(token))
        }
        Err(Denial::Rejected(rejection)) => {
            route.metrics.count_rejection(rejection);
            if let Some(failures) = &failures {
                failures.count(rejection);
            }
            Err(Refusal::Rejected(rejection))
        }
        Err(Denial::Unverified(refusal)) => Err(refusal),
    }
}
