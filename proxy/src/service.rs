//! Hot path: no lock, no I/O, no info log.
//!
//! The way of a request through Pingora's phases: each phase calls one named thing.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::{StatusCode, Version, header::TRANSFER_ENCODING};
use pingora_core::{
    Error, ErrorSource, ErrorType, Result, modules::http::HttpModules, protocols::Digest, upstreams::peer::HttpPeer,
};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::{
    context::RequestContext,
    drain::Drain,
    filter::{auth, hygiene, identity, rewrite},
    response::Refusal,
    runtime::{Route, Runtime},
    telemetry::metrics::ProxyMetrics,
};

/// How often a request is tried: once, and once more on another endpoint if no connection could be made or, for an
/// idempotent request, if the connection it was sent on had died unnoticed.
pub const MAX_ATTEMPTS: usize = 2;

/// How long a connection may wait for its next request, in seconds.
const KEEPALIVE_SECONDS: u64 = 75;

/// How long a client may refuse to take what it is sent.
const DOWNSTREAM_WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves requests.
#[derive(Debug)]
pub struct EdgeService {
    runtime: Arc<ArcSwap<Runtime>>,
    drain: Arc<Drain>,
    metrics: ProxyMetrics,
}

impl EdgeService {
    /// Serves requests with whatever `runtime` holds as they arrive, until `drain` begins.
    #[must_use]
    pub const fn new(runtime: Arc<ArcSwap<Runtime>>, drain: Arc<Drain>, metrics: ProxyMetrics) -> Self {
        Self { runtime, drain, metrics }
    }

    /// Decides whether a request goes to an upstream.
    async fn admit(&self, request: &RequestHeader, context: &mut RequestContext) -> Result<Step, Refusal> {
        let runtime = Arc::clone(&context.runtime);
        let target = hygiene::check(request).map_err(Refusal::Ambiguous)?;
        if runtime.responder.is_preflight(request) {
            return Ok(Step::AnswerPreflight);
        }
        context.route = runtime.find_route(&target, &request.method);
        let route = context.route().ok_or(Refusal::NoRoute)?;
        context.token = auth::admit(&runtime, route, request).await?;
        Ok(Step::Forward)
    }
}

/// What is done with a request that is not refused.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A browser is told what a page may send; the request that it asks for comes next, or does not.
    AnswerPreflight,
    /// It goes to an upstream.
    Forward,
}

#[async_trait]
impl ProxyHttp for EdgeService {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::new(self.runtime.load_full())
    }

    /// No modules: the default would allocate one for compression on every request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, _context: &mut RequestContext) -> Result<()> {
        session.set_write_timeout(Some(DOWNSTREAM_WRITE_TIMEOUT));
        // Such a client takes what comes before a response for the response.
        let takes_one_response = is_before_http_1_1(session);
        session.set_ignore_info_resp(takes_one_response);
        if self.drain.has_begun() {
            session.set_keepalive(None);
        } else if session.get_keepalive().is_some() {
            // Only where Pingora kept the connection: it gives up on ambiguous framing and on HTTP/1.0.
            session.set_keepalive(Some(KEEPALIVE_SECONDS));
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut RequestContext) -> Result<bool> {
        let refusal = match self.admit(session.req_header(), context).await {
            Ok(Step::Forward) => return Ok(false),
            Ok(Step::AnswerPreflight) => {
                context.runtime.responder.answer_preflight(session).await?;
                return Ok(true);
            }
            Err(refusal) => refusal,
        };
        tracing::debug!(?refusal, "refused");
        if let Refusal::Ambiguous(fault) = refusal {
            self.metrics.count_fault(fault);
        }
        let policy = context.route().and_then(Route::policy);
        context.runtime.responder.refuse(session, refusal, policy).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _session: &mut Session, context: &mut RequestContext) -> Result<Box<HttpPeer>> {
        context.upstream_started.get_or_insert_with(Instant::now);
        let is_retry = context.attempts > 0;
        context.attempts += 1;
        let pool = context.route().map(|route| &route.upstream);
        if let Some(pool) = pool.filter(|_| is_retry) {
            pool.metrics().retries.inc();
        }
        let next = pool.and_then(|pool| pool.next_peer(context.endpoint));
        let next = next.map(|(endpoint, peer)| (endpoint, Box::new(peer.clone())));
        let (endpoint, peer) = next.ok_or_else(|| Error::new_up(ErrorType::ConnectNoRoute))?;
        context.endpoint = Some(endpoint);
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
        if let Some(route) = context.route() {
            let metrics = route.upstream.metrics();
            let counter = if reused { &metrics.reused } else { &metrics.connected };
            counter.inc();
        }
        Ok(())
    }

    /// Nothing was written yet, so that another endpoint may take any request.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        context: &mut RequestContext,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.set_retry(context.attempts < MAX_ATTEMPTS);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream_request: &mut RequestHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        let runtime = &context.runtime;
        if !runtime.forwards_token {
            identity::hide_token(upstream_request, &runtime.token_sources)?;
        }
        runtime.forwarding.apply(upstream_request, session.client_addr())?;
        runtime.identity_headers.apply(upstream_request, context.token.as_deref())?;
        match context.route() {
            Some(route) => rewrite::apply(route, upstream_request),
            None => Ok(()),
        }
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            let fault = Error::explain(ErrorType::InvalidHTTPHeader, "nobody asked to switch protocols");
            return Err(fault.into_up());
        }
        if is_before_http_1_1(session) && response.headers.contains_key(TRANSFER_ENCODING) {
            // Such a client takes chunks for text, and the end of the connection for the end of the response.
            response.remove_header(&TRANSFER_ENCODING);
            session.set_keepalive(None);
        }
        match context.runtime.responder.cors() {
            Some(cors) => cors.mark_forwarded(session.req_header(), response),
            None => Ok(()),
        }
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, context: &mut RequestContext) -> FailToProxy {
        let refusal = refusal_of(error);
        report(error, context);
        let is_answerable = final_response(session).is_none();
        let error_code = match refusal.filter(|_| is_answerable) {
            Some(refusal) => match context.runtime.responder.refuse(session, refusal, None).await {
                Ok(()) => session.response_written().map_or(0, |response| response.status.as_u16()),
                Err(_) => 0,
            },
            None => 0,
        };
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// [`fail_to_proxy`](Self::fail_to_proxy) has its own line, without the request's target.
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
        let status = final_response(session).map_or_else(client_closed_request, |response| response.status);
        let requests = context.route().map_or(&context.runtime.unmatched, |route| &route.requests);
        requests.observe(&session.req_header().method, status, context.started.elapsed());
        if let (Some(route), Some(started)) = (context.route(), context.upstream_started) {
            route.upstream.metrics().duration.observe(started.elapsed().as_secs_f64());
        }
    }
}

fn is_before_http_1_1(session: &Session) -> bool {
    session.req_header().version < Version::HTTP_11
}

/// The response that the client got, if it got one: what came before it does not count.
fn final_response(session: &Session) -> Option<&ResponseHeader> {
    session.response_written().filter(|response| !response.status.is_informational())
}

/// One line for a request that failed on its way. Of the error only what cannot hold bytes of a message: an upstream's
/// broken response, which may set cookies, is part of its text.
fn report(error: &Error, context: &RequestContext) {
    let upstream = context.route().map_or("", |route| route.upstream.name());
    let endpoint = context.endpoint.and_then(|place| context.route()?.upstream.address(place));
    let (source, kind) = (error.esource().as_str(), error.etype().as_str());
    let cause = error.root_cause().downcast_ref::<io::Error>().map(io::Error::kind);
    if *error.esource() == ErrorSource::Downstream {
        tracing::debug!(upstream, source, kind, ?cause, "the client broke off");
    } else {
        tracing::warn!(upstream, ?endpoint, source, kind, ?cause, "request failed");
    }
}

/// Why a request failed on its way, if there is anyone left to tell.
fn refusal_of(error: &Error) -> Option<Refusal> {
    match error.esource() {
        ErrorSource::Upstream => {
            Some(if is_timeout(error.etype()) { Refusal::GatewayTimeout } else { Refusal::BadGateway })
        }
        ErrorSource::Downstream => (!is_gone(error.etype())).then_some(Refusal::BadRequest),
        ErrorSource::Internal | ErrorSource::Unset => Some(Refusal::Internal),
    }
}

fn is_timeout(error: &ErrorType) -> bool {
    [ErrorType::ConnectTimedout, ErrorType::ReadTimedout, ErrorType::WriteTimedout].contains(error)
}

fn is_gone(error: &ErrorType) -> bool {
    [ErrorType::ConnectionClosed, ErrorType::ReadError, ErrorType::WriteError].contains(error)
}

/// The status of a request whose client left before there was an answer: 499, as nginx has it.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}
