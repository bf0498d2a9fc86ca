//! Hot path: no lock, no I/O, no info log.
//!
//! The way of a request, phase by phase: each calls one named thing. Who calls the phases is `proxied`, through Pingora's
//! proxy, for any request there can be; and `direct` for those that are nothing but a head.

mod direct;
mod failure;
mod pace;
mod peer;
mod proxied;
mod trace;
mod upstream;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use http::{StatusCode, Version, header::TRANSFER_ENCODING, request::Parts};
use pingora_core::{Error, Result, protocols::tls::SslDigest};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use self::failure::{final_response, refusal_of, report};
pub use self::{direct::Edge, upstream::MAX_ATTEMPTS};
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
    runtime::Runtime,
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
pub type Server = Bounded<Edge>;

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
        let asked_at = (is_timed && route.policy.is_some()).then(Instant::now);
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

    /// The context of a request that has just been read.
    fn context(&self) -> RequestContext {
        RequestContext::new(self.runtime.load_full())
    }

    /// Takes down how a request got here, and what it is called.
    fn receive(&self, session: &mut Session, context: &mut RequestContext) {
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
    }

    /// Answers a request that goes to no upstream. Whether it was answered.
    async fn decide(&self, session: &mut Session, context: &mut RequestContext) -> Result<bool> {
        let refusal = match self.admit(session.req_header(), context).await {
            Ok(Step::Forward) => {
                pace::begin(session, context)?;
                return Ok(false);
            }
            Ok(Step::AnswerPreflight) => {
                Box::pin(context.runtime.responder.answer_preflight(session, &context.request_id)).await?;
                return Ok(true);
            }
            Err(refusal) => refusal,
        };
        tracing::debug!(request_id = ?context.request_id, ?refusal, "refused");
        self.count_refusal(refusal);
        context.turned_away = Some(refusal);
        let policy = context.route().and_then(|route| route.policy.as_deref());
        context.runtime.responder.refuse(session, refusal, policy, context.rate_fields(), &context.request_id).await?;
        Ok(true)
    }

    /// Makes the client's request the one that the upstream gets. Names of fields are in lower case from here on, whatever
    /// the version of HTTP.
    fn prepare(&self, session: &Session, mut request: Parts, context: &RequestContext) -> Result<RequestHeader> {
        let runtime = &context.runtime;
        if !runtime.forwards_token {
            identity::hide_token(&mut request.headers, &runtime.token_sources);
        }
        outgoing::normalize(&mut request, session.req_header().version)?;
        let fields = &mut request.headers;
        runtime.forwarding.apply(fields, context.arrival);
        self.request_ids.apply(fields, &context.request_id);
        context.trace.apply(fields);
        let certificate = tls_of(session).and_then(|tls| tls.extension.get());
        runtime.identity_headers.apply(fields, context.token.as_deref(), certificate);
        // A target that passed hygiene is in the parts to the byte.
        let mut request = RequestHeader::from(request);
        if let Some(route) = context.route() {
            rewrite::apply(route, &mut request)?;
        }
        Ok(request)
    }

    /// Makes the upstream's response the one that the client gets.
    fn answer(&self, session: &mut Session, response: &mut ResponseHeader, context: &mut RequestContext) -> Result<()> {
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

    /// Gives a request up that failed on its way: with an answer, if there is nothing of one yet. The answer's status; 0, if
    /// there is none.
    async fn give_up(&self, session: &mut Session, error: &Error, context: &mut RequestContext) -> u16 {
        let refusal = refusal_of(error, context);
        context.refusal = refusal;
        pace::decline_websocket(context);
        report(error, refusal, context);
        if let Some(refusal) = refusal.filter(|_| context.websocket != WebSocket::Open) {
            self.count_refusal(refusal);
        }
        let Some(refusal) = refusal.filter(|_| final_response(session).is_none()) else { return 0 };
        // What is left of the request would be taken for the next one.
        session.set_keepalive(None);
        let responder = &context.runtime.responder;
        match responder.refuse(session, refusal, None, context.rate_fields(), &context.request_id).await {
            Ok(()) => session.response_written().map_or(0, |response| response.status.as_u16()),
            Err(_) => 0,
        }
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

/// A copy of a response's head that does not know how the names of its fields were spelt.
fn in_lower_case(response: &ResponseHeader) -> Result<ResponseHeader> {
    let mut copy = ResponseHeader::from(response.as_owned_parts());
    copy.set_reason_phrase(response.get_reason_phrase())?;
    Ok(copy)
}

/// Takes down that some of a response goes to the client.
fn pass_response_body(session: &mut Session, context: &mut RequestContext) -> Result<()> {
    context.body_bytes = body_bytes(session);
    context.prove_attempt();
    pace::keep(session, context)
}

/// Takes down that an endpoint is connected, anew or still.
fn count_connection(context: &RequestContext, is_reused: bool) {
    if let Some(route) = context.route() {
        let metrics = route.upstream.metrics();
        let counter = if is_reused { &metrics.reused } else { &metrics.connected };
        counter.inc();
    }
}

/// Takes down that a request has ended.
fn finish(session: &Session, context: &mut RequestContext) {
    context.body_bytes = body_bytes(session);
    upstream::finish(context);
    context.count(final_response(session).map(|response| response.status));
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
