//! What is answered: a status, a body and the few fields that belong to them.

use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::Serialize;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// A response that is not made yet.
#[derive(Debug)]
pub(super) struct Page {
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
    field: Option<(HeaderName, &'static str)>,
}

/// What the body of a refusal says.
#[derive(Serialize)]
struct Message<'m> {
    message: &'m str,
}

impl Page {
    pub(super) const fn new(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status, content_type, body, field: None }
    }

    pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self::new(status, PLAIN_TEXT, text.into().into_bytes())
    }

    /// A value in JSON.
    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(status, JSON, body),
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    /// `{"message":"..."}`
    pub(super) fn message(status: StatusCode, message: &str) -> Self {
        Self::json(status, &Message { message })
    }

    /// A status without a body.
    pub(super) const fn empty(status: StatusCode) -> Self {
        Self::new(status, PLAIN_TEXT, Vec::new())
    }

    /// Adds a field.
    pub(super) fn with_field(mut self, name: HeaderName, value: &'static str) -> Self {
        self.field = Some((name, value));
        self
    }

    /// A method that the path does not have; `allowed` are those that it has.
    pub(super) fn allowing(self, allowed: &'static str) -> Self {
        self.with_field(ALLOW, allowed)
    }

    pub(super) fn respond(self, is_head: bool) -> Response<Vec<u8>> {
        let Self { status, content_type, body, field } = self;
        let length = body.len();
        let mut response = Response::new(if is_head { Vec::new() } else { body });
        *response.status_mut() = status;
        let headers = response.headers_mut();
        // RFC 9110 section 8.6: a 204 has neither.
        if status != StatusCode::NO_CONTENT {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = field {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
