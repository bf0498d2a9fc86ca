//! Hot path: no lock, no I/O, no info log.
//!
//! Fits the endpoint that was chosen to the request that goes there.

use std::time::Duration;

use pingora_core::{
    Result,
    protocols::ALPN,
    upstreams::peer::{H1UpgradePolicy, HttpPeer},
};
use tokio::time::Instant;

use super::pace::{cutoff_of, within};
use crate::{
    context::{RequestContext, WebSocket},
    cutoff,
};

/// Allows no wait that the request has no time for, and what a WebSocket needs.
///
/// # Errors
///
/// If no time is left.
pub(super) fn adapt(peer: &mut HttpPeer, context: &mut RequestContext) -> Result<()> {
    let options = &mut peer.options;
    // Over HTTP/2 it is a request like any other.
    if context.websocket == WebSocket::Asked && options.alpn != ALPN::H2 {
        options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::WebSocketOnly;
        if options.alpn == ALPN::H2H1 {
            options.alpn = ALPN::H1;
        }
        // The endpoint's answer has the time of any answer. The wait for the endpoint cannot be set when it comes, so that of
        // the WebSocket has to be set now (it is also that within an answer that declines), and the one before be a cutoff.
        let answer = [options.total_connection_timeout, options.read_timeout].into_iter().flatten().sum::<Duration>();
        context.answer_by = Instant::now().checked_add(answer);
        cutoff::set(cutoff_of(context));
        options.read_timeout = Some(context.runtime.limits.websocket_idle_timeout);
        return Ok(());
    }
    hurry(peer, context)
}

/// An endpoint as it is spoken to by a request that has a deadline; nothing, for one that has none.
///
/// # Errors
///
/// If no time is left.
pub(super) fn hurried(peer: &HttpPeer, context: &RequestContext) -> Result<Option<Box<HttpPeer>>> {
    if context.deadline.is_none() {
        return Ok(None);
    }
    let mut peer = Box::new(peer.clone());
    hurry(&mut peer, context)?;
    Ok(Some(peer))
}

/// Gives each wait what is left of the request's time, where that has an end.
fn hurry(peer: &mut HttpPeer, context: &RequestContext) -> Result<()> {
    let options = &mut peer.options;
    let waits = [
        &mut options.connection_timeout,
        &mut options.total_connection_timeout,
        &mut options.read_timeout,
        &mut options.write_timeout,
    ];
    for wait in waits.into_iter().flatten() {
        *wait = within(context, *wait)?;
    }
    Ok(())
}
