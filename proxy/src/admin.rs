//! The admin listener: whether the process lives, whether it is ready, and what it counts.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
};
use pingora_core::{apps::http_app::ServeHttp, protocols::http::ServerSession};
use prometheus::{Encoder, Registry, TextEncoder};

use crate::{drain::Drain, runtime::Runtime};

/// Serves `/livez`, `/readyz` and `/metrics`.
#[derive(Debug)]
pub struct AdminService {
    runtime: Arc<ArcSwap<Runtime>>,
    drain: Arc<Drain>,
    registry: Registry,
}

/// A status and a body.
type Page = (StatusCode, &'static str, Vec<u8>);

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

impl AdminService {
    /// Tells about this process.
    #[must_use]
    pub const fn new(runtime: Arc<ArcSwap<Runtime>>, drain: Arc<Drain>, registry: Registry) -> Self {
        Self { runtime, drain, registry }
    }

    fn page(&self, path: &str) -> Page {
        match path {
            "/livez" => (StatusCode::OK, PLAIN_TEXT, b"ok\n".to_vec()),
            "/readyz" => self.readiness(),
            "/metrics" => self.metrics(),
            _ => (StatusCode::NOT_FOUND, PLAIN_TEXT, b"not found (known: /livez, /readyz, /metrics)\n".to_vec()),
        }
    }

    /// Ready is: not stopping, and every pool that a route asks for can decide.
    fn readiness(&self) -> Page {
        if self.drain.has_begun() {
            return (StatusCode::SERVICE_UNAVAILABLE, PLAIN_TEXT, b"stopping\n".to_vec());
        }
        let runtime = self.runtime.load();
        let mut missing: Vec<_> = runtime.pools_missing_keys().collect();
        if missing.is_empty() {
            return (StatusCode::OK, PLAIN_TEXT, b"ok\n".to_vec());
        }
        missing.sort_unstable();
        let reason = format!("keys_unavailable: no usable keys of user pools: {}\n", missing.join(", "));
        (StatusCode::SERVICE_UNAVAILABLE, PLAIN_TEXT, reason.into_bytes())
    }

    fn metrics(&self) -> Page {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => (StatusCode::OK, prometheus::TEXT_FORMAT, text),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN_TEXT, format!("{error}\n").into_bytes()),
        }
    }
}

#[async_trait]
impl ServeHttp for AdminService {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let is_read = [Method::GET, Method::HEAD].contains(&request.method);
        let page = match is_read {
            true => self.page(request.uri.path()),
            false => {
                (StatusCode::METHOD_NOT_ALLOWED, PLAIN_TEXT, b"method not allowed (allowed: GET, HEAD)\n".to_vec())
            }
        };
        respond(page, request.method == Method::HEAD)
    }
}

fn respond((status, content_type, body): Page, is_head: bool) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(if is_head { Vec::new() } else { body });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
