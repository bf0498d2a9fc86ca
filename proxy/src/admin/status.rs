//! `/livez`, `/readyz` and `/metrics`: open to whoever reaches the listener, and they change nothing.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{Method, StatusCode};
use prometheus::{Encoder, Registry, TextEncoder};

use super::page::Page;
use crate::{drain::Drain, runtime::Runtime};

/// What can be told about the process.
#[derive(Debug)]
pub(super) struct StatusPages {
    pub(super) runtime: Arc<ArcSwap<Runtime>>,
    pub(super) drain: Arc<Drain>,
    pub(super) registry: Registry,
}

impl StatusPages {
    pub(super) fn page(&self, method: &Method, path: &str) -> Page {
        if ![Method::GET, Method::HEAD].contains(method) {
            let refusal = "method not allowed (allowed: GET, HEAD)\n";
            return Page::text(StatusCode::METHOD_NOT_ALLOWED, refusal).allowing("GET, HEAD");
        }
        match path {
            "/livez" => Page::text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            "/metrics" => self.metrics(),
            _ => super::not_found(),
        }
    }

    /// Ready is: not stopping, every pool that a route asks for can decide, and what is revoked is known.
    fn readiness(&self) -> Page {
        if self.drain.is_announced() {
            return Page::text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
        }
        let runtime = self.runtime.load();
        let mut missing: Vec<_> = runtime.pools_missing_keys().collect();
        missing.sort_unstable();
        let mut reasons = String::new();
        if !missing.is_empty() {
            reasons = format!("keys_unavailable: no usable keys of user pools: {}\n", missing.join(", "));
        }
        if !runtime.knows_revocations() {
            reasons.push_str("revocations_unavailable: what was revoked elsewhere is not known yet\n");
        }
        match reasons.is_empty() {
            true => Page::text(StatusCode::OK, "ok\n"),
            false => Page::text(StatusCode::SERVICE_UNAVAILABLE, reasons),
        }
    }

    fn metrics(&self) -> Page {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => Page::new(StatusCode::OK, prometheus::TEXT_FORMAT, text),
            Err(error) => Page::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }
}
