//! What was taken down of a request, as spans of OpenTelemetry.
//!
//! The span of the request is named, and all attributes are, as its conventions for HTTP have it. They are not followed where they
//! would have a query, a whole URL or a method that somebody made up told (`url.query`, `url.full`,
//! `http.request.method_original`), nor in the name of the span of an endpoint, which is `upstream`.

use std::net::IpAddr;

use http::{StatusCode, Version};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, SpanFlags, Status, span::SpanKind, status::StatusCode as SpanStatus},
};

use super::{
    Outcome, VERSION,
    record::{Attempt, Check, OTHER_METHOD, Record},
};
use crate::filter::trace_context::SpanId;

/// The attribute that says what was asked for.
const METHOD: &str = "http.request.method";

/// How many spans a request has.
pub(super) fn count(record: &Record) -> u64 {
    let children = record.attempts.len() + usize::from(record.check.is_some());
    u64::try_from(children).unwrap_or(u64::MAX).saturating_add(1)
}

/// The spans of a request: its own, and what it is made of.
pub(super) fn spans(record: &Record) -> Vec<Span> {
    let check = record.check.iter().map(|check| of_check(record, check));
    let attempts = (0..).zip(&record.attempts).map(|(number, attempt)| of_attempt(record, number, attempt));
    std::iter::once(of_request(record)).chain(check).chain(attempts).collect()
}

/// What a collector is sent.
pub(super) fn request(service_name: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = vec![text("service.name", service_name), text("service.version", VERSION)];
    let scope =
        InstrumentationScope { name: "cognigate".to_owned(), version: VERSION.to_owned(), ..Default::default() };
    let scope_spans = ScopeSpans { scope: Some(scope), spans, ..Default::default() };
    let resource = Resource { attributes: resource, ..Default::default() };
    let resource_spans =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope_spans], ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

/// The span of the request itself.
fn of_request(record: &Record) -> Span {
    let Outcome { route, status: answer, answered: _, reason } = &record.outcome;
    let method = if record.method == OTHER_METHOD { "HTTP" } else { record.method };
    let name = match route {
        Some(route) => [method, " ", &*route.path].concat(),
        None => method.to_owned(),
    };
    let scheme = if record.arrival.is_encrypted { "https" } else { "http" };
    let mut attributes = vec![
        text(METHOD, record.method),
        text("url.scheme", scheme),
        text("url.path", &record.path),
        text("network.protocol.version", version(record.version)),
        text("cognigate.request_id", &record.request_id),
    ];
    attributes.extend(
        route.iter().flat_map(|route| [text("http.route", &route.path), text("cognigate.route", &route.label)]),
    );
    attributes.extend(reason.map(|reason| text("cognigate.reason", reason)));
    attributes.extend(record.user_agent.iter().map(|agent| text("user_agent.original", agent)));
    attributes.extend(address("client.address", record.client));
    attributes.extend(address("network.peer.address", record.arrival.peer));
    attributes.extend(answer.map(status_attribute));
    let error = answer.filter(StatusCode::is_server_error);
    attributes.extend(error.map(|status| text("error.type", status.as_str())));
    Span {
        parent_span_id: record.parent.map(|parent| id(parent.span)).unwrap_or_default(),
        attributes,
        status: status(error.is_some()),
        start_time_unix_nano: record.began,
        end_time_unix_nano: record.at(record.ended),
        flags: flags(record, record.parent.is_some()),
        ..span(record, record.place.span, name, SpanKind::Server)
    }
}

/// The span of the decision on who calls.
fn of_check(record: &Record, check: &Check) -> Span {
    Span {
        attributes: vec![text("cognigate.reason", check.reason)],
        start_time_unix_nano: record.at(check.began),
        end_time_unix_nano: record.at(check.ended),
        ..span(record, check.span, "auth".to_owned(), SpanKind::Internal)
    }
}

/// The span of an endpoint that was tried.
fn of_attempt(record: &Record, number: i64, attempt: &Attempt) -> Span {
    let is_last = record.attempts.last().is_some_and(|last| last.span == attempt.span);
    let answered = record.outcome.answered.filter(|_| is_last);
    // Whatever had not ended otherwise when the next was tried has failed.
    let fault = attempt.fault.or_else(|| (!is_last).then_some("_OTHER"));
    let refused = answered.filter(|status| status.is_client_error() || status.is_server_error());
    let error = fault.or(refused.as_ref().map(StatusCode::as_str));
    let mut attributes = vec![
        text(METHOD, record.method),
        text("server.address", &attempt.endpoint.ip().to_string()),
        number_attribute("server.port", i64::from(attempt.endpoint.port())),
    ];
    attributes.extend(record.outcome.route.iter().map(|route| text("cognigate.upstream", &route.upstream)));
    attributes.extend((number > 0).then(|| number_attribute("http.request.resend_count", number)));
    attributes.extend(answered.map(status_attribute));
    attributes.extend(error.map(|error| text("error.type", error)));
    Span {
        attributes,
        status: status(error.is_some()),
        start_time_unix_nano: record.at(attempt.began),
        end_time_unix_nano: record.at(attempt.ended.unwrap_or(record.ended)),
        ..span(record, attempt.span, "upstream".to_owned(), SpanKind::Client)
    }
}

/// A span that the span of the request asks for, unless more is said.
fn span(record: &Record, span: SpanId, name: String, kind: SpanKind) -> Span {
    Span {
        trace_id: record.place.trace.as_bytes().to_vec(),
        span_id: id(span),
        trace_state: record.state.clone().unwrap_or_default(),
        parent_span_id: id(record.place.span),
        flags: flags(record, false),
        name,
        kind: kind.into(),
        ..Default::default()
    }
}

/// The flags of the trace, and whether the parent is a span of somebody else.
fn flags(record: &Record, is_remote: bool) -> u32 {
    let remote = if is_remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    u32::from(record.place.flags()) | SpanFlags::ContextHasIsRemoteMask as u32 | remote
}

fn id(span: SpanId) -> Vec<u8> {
    span.as_bytes().to_vec()
}

/// Nothing is said of what went well: that is for those to say who know what should have happened.
fn status(is_error: bool) -> Option<Status> {
    is_error.then(|| Status { message: String::new(), code: SpanStatus::Error.into() })
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

fn status_attribute(status: StatusCode) -> KeyValue {
    number_attribute("http.response.status_code", i64::from(status.as_u16()))
}

fn address(key: &str, address: Option<IpAddr>) -> Option<KeyValue> {
    address.map(|address| text(key, &address.to_string()))
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number_attribute(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}
