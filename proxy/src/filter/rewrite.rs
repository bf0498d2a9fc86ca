//! Hot path: no lock, no I/O, no info log.
//!
//! Gives the upstream another path than the client asked for, where the route says so. The query stays.

use pingora_core::{Error, ErrorType, OrErr, Result};
use pingora_http::RequestHeader;

use crate::{route::path, runtime::Route};

/// Rewrites the path of a request on its way out.
///
/// # Errors
///
/// An internal error if the path does not fit the route any more: it is not sent anywhere.
pub fn apply(route: &Route, request: &mut RequestHeader) -> Result<()> {
    let Some(rewrite) = &route.rewrite else { return Ok(()) };
    let target = path::check(request.raw_path()).or_err(ErrorType::InternalError, "a path that was checked")?;
    let path = rewrite.apply(target.path());
    let mut rewritten =
        path.ok_or_else(|| Error::explain(ErrorType::InternalError, "a path that matched its route"))?;
    if let Some(query) = target.query() {
        rewritten.push('?');
        rewritten.push_str(query);
    }
    request.set_raw_path(rewritten.as_bytes())
}
