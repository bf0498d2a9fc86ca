//! Hot path: no lock, no I/O, no info log.
//!
//! What the access log tells about a request: what it asked for, taken down as it arrives because a request that is cut off
//! leaves nothing else behind, and what became of it.

use std::fmt;

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Version,
    header::{HOST, REFERER, USER_AGENT},
    uri::{Authority, PathAndQuery},
};
use pingora_core::protocols::tls::SslDigest;
use pingora_http::RequestHeader;

use super::RequestContext;
use crate::{
    response::Refusal,
    telemetry::access_log::{Caller, Entry, Sent},
};

/// What a request asked for. The bytes are those of its head, which are shared.
#[derive(Debug)]
pub struct Asked {
    target: Target,
    host: Option<Host>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    version: Version,
    tls: Option<&'static str>,
}

/// The target of a request, as it was written.
#[derive(Debug)]
enum Target {
    /// A path, and perhaps a query.
    Path(PathAndQuery),
    /// Something else.
    Other(Box<[u8]>),
}

/// The host that a request asks for.
#[derive(Debug)]
enum Host {
    /// `:authority` of HTTP/2.
    Authority(Authority),
    /// The first `Host` field.
    Field(HeaderValue),
}

impl Asked {
    /// Takes down what a request asks for, over this connection.
    #[must_use]
    pub fn new(request: &RequestHeader, tls: Option<&SslDigest>) -> Self {
        let target = match request.uri.path_and_query() {
            Some(path) if path.as_str().as_bytes() == request.raw_path() => Target::Path(path.clone()),
            Some(_) | None => Target::Other(request.raw_path().into()),
        };
        let authority = request.uri.authority().filter(|_| request.version == Version::HTTP_2);
        let host = match authority {
            Some(authority) => Some(Host::Authority(authority.clone())),
            None => field(&request.headers, HOST).map(Host::Field),
        };
        Self {
            target,
            host,
            user_agent: field(&request.headers, USER_AGENT),
            referer: field(&request.headers, REFERER),
            version: request.version,
            tls: tls.map(version_of),
        }
    }

    fn host(&self) -> Option<&[u8]> {
        self.host.as_ref().map(|host| match host {
            Host::Authority(authority) => authority.as_str().as_bytes(),
            Host::Field(field) => field.as_bytes(),
        })
    }

    fn target(&self) -> &[u8] {
        match &self.target {
            Target::Path(path) => path.as_str().as_bytes(),
            Target::Other(target) => target,
        }
    }

    fn protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_09 => "HTTP/0.9",
            _ => "HTTP/1.1",
        }
    }
}

impl RequestContext {
    /// Writes the line of the request, where there is an access log.
    pub(super) fn log_access(&self, status: StatusCode) {
        if let (Some(log), Some(asked)) = (&self.runtime.access_log, &self.asked) {
            log.write(&self.entry(asked, status));
        }
    }

    fn entry<'r>(&'r self, asked: &'r Asked, status: StatusCode) -> Entry<'r> {
        let took = self.started.elapsed();
        let (bytes_received, bytes_sent) = self.body_bytes;
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Entry {
            began: self.runtime.clock.now_millis().saturating_sub(millis),
            request_id: self.request_id.as_bytes(),
            trace_id: self.trace_id().map(|id| id as &dyn fmt::Display),
            client: self.client,
            method: self.method.as_str(),
            host: asked.host(),
            target: asked.target(),
            protocol: asked.protocol(),
            status: status.as_u16(),
            bytes_received,
            bytes_sent,
            user_agent: asked.user_agent.as_ref().map(HeaderValue::as_bytes),
            referer: asked.referer.as_ref().map(HeaderValue::as_bytes),
            route: self.route().map(|route| route.metrics.label()),
            reason: self.reason(),
            refusal: self.refused().filter(|refusal| !matches!(refusal, Refusal::Rejected(_))).map(Refusal::reason),
            caller: self.caller(),
            sent: self.sent(),
            took,
            auth_took: self.auth_took,
            tls: asked.tls,
        }
    }

    /// Why it was not served, if anyone knows.
    pub(super) fn refused(&self) -> Option<Refusal> {
        self.turned_away.or(self.refusal)
    }

    /// What was decided about the caller, if it came to that.
    pub(super) fn reason(&self) -> Option<&'static str> {
        let is_open = self.route()?.policy.is_none();
        match self.refused() {
            Some(Refusal::Rejected(rejection)) => Some(rejection.reason()),
            // Its source had no request left: nobody asked any more whether the route is open.
            Some(Refusal::RateLimited { .. }) if is_open => None,
            _ if is_open => Some("open"),
            _ => self.token.as_ref().map(|_| "ok"),
        }
    }

    fn caller(&self) -> Option<Caller<'_>> {
        let identity = self.token.as_ref()?.identity();
        Some(Caller { sub: identity.sub(), client_id: identity.client_id(), user_pool: &identity.pool().name })
    }

    fn sent(&self) -> Option<Sent<'_>> {
        let (started, route) = (self.upstream_started?, self.route()?);
        let (endpoint, retries) = (self.endpoint(), self.retries());
        Some(Sent { upstream: route.upstream.name(), endpoint, retries, took: started.elapsed() })
    }
}

fn field(fields: &HeaderMap, name: HeaderName) -> Option<HeaderValue> {
    fields.get(name).cloned()
}

/// As OpenSSL spells it, and with it most logs.
fn version_of(tls: &SslDigest) -> &'static str {
    match &*tls.version {
        "TLSv1_2" => "TLSv1.2",
        "TLSv1_3" => "TLSv1.3",
        _ => "unknown",
    }
}
