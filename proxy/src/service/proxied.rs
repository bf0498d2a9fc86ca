//! Hot path: no lock, no I/O, no info log.
//!
//! The way of any request there can be, through Pingora's proxy: each of its phases is one of ours.

use std::{mem, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Version};
use pingora_core::{
    Error, ErrorType, Result, modules::http::HttpModules, protocols::Digest, upstreams::peer::HttpPeer,
};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use super::{
    EdgeService, body_bytes, count_connection, finish, in_lower_case, pace, pass_response_body, trace, upstream,
};
use crate::{
    context::{RequestContext, WebSocket},
    filter::limits,
};

/// The service, as Pingora's proxy calls it.
#[derive(Debug)]
pub(super) struct Proxied(pub(super) Arc<EdgeService>);

#[async_trait]
impl ProxyHttp for Proxied {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        self.0.context()
    }

    /// No modules: the default would allocate one for compression on every request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, context: &mut RequestContext) -> Result<()> {
        self.0.receive(session, context);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut RequestContext) -> Result<bool> {
        self.0.decide(session, context).await
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut RequestContext,
    ) -> Result<()> {
        // An empty last chunk would be written as a second end of a chunked body, which is the beginning of the next request
        // to the upstream (cloudflare/pingora#935).
        if end_of_stream && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        upstream::pass_body(context, end_of_stream);
        pace::keep(session, context)?;
        context.body_bytes = body_bytes(session);
        let (length, _) = context.body_bytes;
        match limits::check_body(length, &context.runtime.limits) {
            Err(refusal) if context.websocket != WebSocket::Open => {
                context.refusal = Some(refusal);
                Err(Error::explain(ErrorType::ReadError, "a body over the limit").into_down())
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn upstream_peer(&self, session: &mut Session, context: &mut RequestContext) -> Result<Box<HttpPeer>> {
        let peer = upstream::choose(session, context)?;
        trace::chosen(context);
        Ok(peer)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        context: &mut RequestContext,
    ) -> Result<()> {
        count_connection(context, reused);
        Ok(())
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        context: &mut RequestContext,
        mut error: Box<Error>,
    ) -> Box<Error> {
        upstream::fail_to_connect(session, context, &mut error);
        context.trace.fail_attempt(&error);
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        context: &mut RequestContext,
        client_reused: bool,
    ) -> Box<Error> {
        upstream::fail_at_endpoint(session, context, &mut error, client_reused);
        context.trace.fail_attempt(&error);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream_request: &mut RequestHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        let blank = RequestHeader::build_no_case(Method::GET, b"/", Some(0))?;
        let request = mem::replace(upstream_request, blank);
        *upstream_request = self.0.prepare(session, request.into(), context)?;
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        if session.req_header().version < Version::HTTP_2 {
            *response = in_lower_case(response)?;
        }
        self.0.answer(session, response, context)
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        _body: &mut Option<Bytes>,
        _end_of_stream: bool,
        context: &mut RequestContext,
    ) -> Result<Option<Duration>> {
        pass_response_body(session, context).map(|()| None)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, context: &mut RequestContext) -> FailToProxy {
        let error_code = self.0.give_up(session, error, context).await;
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// A request that is given up has its own line, without the request's target.
    fn suppress_error_log(&self, _session: &Session, _context: &RequestContext, _error: &Error) -> bool {
        true
    }

    /// A second try has a counter.
    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _context: &RequestContext,
        _error: &Error,
        _log: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, context: &mut RequestContext) {
        finish(session, context);
    }
}
