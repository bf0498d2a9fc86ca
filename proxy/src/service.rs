//! Hot path: no lock, no I/O, no info log.
//!
//! The way of a request through Pingora's phases: each phase calls one named thing.

mod failure;
mod pace;
mod peer;
mod trace;
mod upstream;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{StatusCode, Version, header::TRANSFER_ENCODING};
use pingora_core::{
    Error, ErrorType, Result,
    modules::http::HttpModules,
    protocols::{Digest, tls::SslDigest},
    upstreams::peer::HttpPeer,
};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, HttpProxy, ProxyHttp, ProxyWarnLogContext, Session};

use self::failure::{final_response, refusal_of, report};
pub use self::upstream::MAX_ATTEMPTS;
use crate::{
    context::{Asked, RequestContext, WebSocket},
    cutoff::Bounded,
    drain::Drain,
    filter::{
        auth,
        forwarded::Arrival,
        hygiene, identity, limits, outgoing,
        request_id::{REQUEST_ID, RequestIds},
        rewrite, websocket,
    },
    listener::activity,
    response::Refusal,
    runtime::{Route, Runtime},
    telemetry::metrics::ProxyMetrics,
};

/// How long a client may refuse to take what it is sent.
const DOWNSTREAM_WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves requests.
#[derive(Debug)]
pub struct EdgeService {
    runtime: Arc<ArcSwap<Runtime>>,
    drain: Arc<Drain>,
    metrics: ProxyMetrics,
    request_ids: RequestIds,
}

/// What a listener hands its connections to.
pub type Server = Bounded<HttpProxy<EdgeService>>;

impl EdgeService {
    /// Serves requests with whatever `runtime` holds as they arrive, until `drain` begins.
    #[must_use]
    pub fn new(runtime: Arc<ArcSwap<Runtime>>, drain: Arc<Drain>, metrics: ProxyMetrics) -> Self {
        Self { runtime, drain, metrics, request_ids: RequestIds::new() }
    }

    /// Decides whether a request goes to an upstream.
    async fn admit(&self, request: &RequestHeader, context: &mut RequestContext) -> Result<Step, Refusal> {
        let runtime = Arc::clone(&context.runtime);
        limits::check(request, &runtime.limits)?;
        let target = hygiene::check(request).map_err(Refusal::Ambiguous)?;
        if runtime.responder.is_preflight(request) {
            return Ok(Step::AnswerPreflight);
        }
        context.route = runtime.find_route(&target, &request.method);
        context.take_of_source()?;
        let route = context.route().ok_or(Refusal::NoRoute)?;
        let is_timed = runtime.access_log.is_some() || context.trace.is_sampled();
        let asked_at = (is_timed && route.policy().is_some()).then(Instant::now);
        let admitted = auth::admit(&runtime, route, request, context.client).await;
        context.auth_took = asked_at.map(|asked_at| asked_at.elapsed());
        trace::decided(context, asked_at, &admitted);
        context.token = admitted?;
        context.take_of_caller()?;
        if websocket::is_asked_for(request) {
            websocket::check_origin(request, context.arrival, &runtime.token_sources, runtime.responder.cors())?;
            context.websocket = WebSocket::Asked;
        }
        Ok(Step::Forward)
    }

    /// The id of a request, kept or new.
    fn name(&self, session: &Session, context: &mut RequestContext) {
        let request = session.req_header();
        let kept = self.request_ids.kept(request).filter(|_| context.runtime.forwarding.trusts(context.arrival));
        context.request_id = kept.cloned().unwrap_or_else(|| self.request_ids.draw());
        context.method = request.method.clone();
    }

    /// Counts what was turned away without a look at who calls.
    fn count_refusal(&self, refusal: Refusal) {
        self.metrics.count_rejected(refusal.reason());
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

    async fn early_request_filter(&self, session: &mut Session, context: &mut RequestContext) -> Result<()> {
        activity::head_is_whole(session);
        context.arrival = arrival(session);
        context.client = context.runtime.forwarding.client(session.req_header(), context.arrival);
        self.name(session, context);
        trace::enter(session, context);
        if context.runtime.access_log.is_some() {
            context.asked = Some(Asked::new(session.req_header(), tls_of(session)));
        }
        session.set_write_timeout(Some(DOWNSTREAM_WRITE_TIMEOUT));
        // Such a client takes what comes before a response for the response.
        let takes_one_response = is_before_http_1_1(session);
        session.set_ignore_info_resp(takes_one_response);
        // How long a connection waits for its next request is the listener's business.
        if self.drain.has_begun() {
            session.set_keepalive(None);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut RequestContext) -> Result<bool> {
        let refusal = match self.admit(session.req_header(), context).await {
            Ok(Step::Forward) => {
                pace::begin(session, context)?;
                return Ok(false);
            }
            Ok(Step::AnswerPreflight) => {
                context.runtime.responder.answer_preflight(session, &context.request_id).await?;
                return Ok(true);
            }
            Err(refusal) => refusal,
        };
        tracing::debug!(request_id = ?context.request_id, ?refusal, "refused");
        self.count_refusal(refusal);
        context.turned_away = Some(refusal);
        let policy = context.route().and_then(Route::policy);
        context.runtime.responder.refuse(session, refusal, policy, context.rate_fields(), &context.request_id).await?;
        Ok(true)
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
        if let Some(route) = context.route() {
            let metrics = route.upstream.metrics();
            let counter = if reused { &metrics.reused } else { &metrics.connected };
            counter.inc();
        }
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
        let runtime = &context.runtime;
        if !runtime.forwards_token {
            identity::hide_token(upstream_request, &runtime.token_sources)?;
        }
        outgoing::normalize(upstream_request, session.req_header().version)?;
        runtime.forwarding.apply(upstream_request, context.arrival)?;
        self.request_ids.apply(upstream_request, &context.request_id)?;
        context.trace.apply(upstream_request)?;
        let certificate = tls_of(session).and_then(|tls| tls.extension.get());
        runtime.identity_headers.apply(upstream_request, context.token.as_deref(), certificate)?;
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
            pace::open_websocket(session, context)?;
        } else if !response.status.is_informational() {
            pace::decline_websocket(context);
        }
        if !response.status.is_informational() || context.websocket == WebSocket::Open {
            context.answered = Some(response.status);
            upstream::take_answer(context, response.status);
        }
        response.insert_header(REQUEST_ID, context.request_id.clone())?;
        if let Some(fields) = context.rate_fields() {
            fields.tell(response)?;
        }
        if is_before_http_1_1(session) && response.headers.contains_key(TRANSFER_ENCODING) {
            // Such a client takes chunks for text, and the end of the connection for the end of the response.
            response.remove_header(&TRANSFER_ENCODING);
            session.set_keepalive(None);
        }
        if self.drain.has_begun() && !response.status.is_informational() {
            // The request came before the stop: its client is told all the same.
            session.set_keepalive(None);
        }
        match context.runtime.responder.cors() {
            Some(cors) => cors.mark_forwarded(session.req_header(), response),
            None => Ok(()),
        }
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        _body: &mut Option<Bytes>,
        _end_of_stream: bool,
        context: &mut RequestContext,
    ) -> Result<Option<Duration>> {
        context.body_bytes = body_bytes(session);
        context.prove_attempt();
        pace::keep(session, context).map(|()| None)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, context: &mut RequestContext) -> FailToProxy {
        let refusal = refusal_of(error, context);
        context.refusal = refusal;
        pace::decline_websocket(context);
        report(error, refusal, context);
        if let Some(refusal) = refusal.filter(|_| context.websocket != WebSocket::Open) {
            self.count_refusal(refusal);
        }
        let is_answerable = final_response(session).is_none();
        let error_code = match refusal.filter(|_| is_answerable) {
            Some(refusal) => {
                // What is left of the request would be taken for the next one.
                session.set_keepalive(None);
                let responder = &context.runtime.responder;
                match responder.refuse(session, refusal, None, context.rate_fields(), &context.request_id).await {
                    Ok(()) => session.response_written().map_or(0, |response| response.status.as_u16()),
                    Err(_) => 0,
                }
            }
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
        context.body_bytes = body_bytes(session);
        upstream::finish(context);
        context.count(final_response(session).map(|response| response.status));
    }
}

/// How a request got here.
fn arrival(session: &Session) -> Arrival {
    let tls = tls_of(session);
    let has_certificate = tls.is_some_and(|tls| !tls.cert_digest.is_empty());
    Arrival::new(session.client_addr(), tls.is_some(), has_certificate)
}

fn tls_of(session: &Session) -> Option<&SslDigest> {
    session.digest()?.ssl_digest.as_deref()
}

/// The lengths of the bodies so far: what was received, and what was sent.
fn body_bytes(session: &Session) -> (u64, u64) {
    let [received, sent] =
        [session.body_bytes_read(), session.body_bytes_sent()].map(|length| u64::try_from(length).unwrap_or(u64::MAX));
    (received, sent)
}

fn is_before_http_1_1(session: &Session) -> bool {
    session.req_header().version < Version::HTTP_11
}
