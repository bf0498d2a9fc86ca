//! Hot path: no lock, no I/O, no info log.
//!
//! A line as a JSON object. What there is not is left out; the order is that of [`Entry`], with the times at the end.

use std::{fmt, time::Duration};

use super::{
    entry::{Caller, Entry, Sent},
    foreign,
    line::Line,
    moment::Moment,
};

/// Adds the object.
pub(super) fn write(line: &mut Line, entry: &Entry<'_>) {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let mut object = Object::begin(line, Moment::new(entry.began));
    object.text("request_id", Some(entry.request_id));
    object.shown("trace_id", entry.trace_id);
    object.shown("client", entry.client);
    object.text("method", Some(entry.method.as_bytes()));
    object.text("host", entry.host);
    object.text("path", Some(entry.path()));
    object.word("protocol", Some(entry.protocol));
    object.number("status", Some(entry.status.into()));
    object.number("bytes_received", Some(entry.bytes_received));
    object.number("bytes_sent", Some(entry.bytes_sent));
    object.text("user_agent", entry.user_agent);
    object.text("referer", entry.origin());
    object.text("route", entry.route.map(str::as_bytes));
    object.word("reason", entry.reason);
    object.word("refusal", entry.refusal);
    if let Some(Caller { sub, client_id, user_pool }) = entry.caller {
        object.text("sub", Some(sub.as_bytes()));
        object.text("client_id", Some(client_id.as_bytes()));
        object.text("user_pool", Some(user_pool.as_bytes()));
    }
    if let Some(Sent { upstream, endpoint, retries, took: _ }) = entry.sent {
        object.text("upstream", Some(upstream.as_bytes()));
        object.shown("endpoint", endpoint);
        object.number("retries", Some(number(retries)));
    }
    object.millis("duration_ms", Some(entry.took));
    object.millis("auth_ms", entry.auth_took);
    object.millis("upstream_ms", entry.sent.map(|sent| sent.took));
    object.word("tls", entry.tls);
    object.end();
}

/// An object while it is made.
struct Object<'l>(&'l mut Line);

impl<'l> Object<'l> {
    /// The first member is always there.
    fn begin(line: &'l mut Line, time: Moment) -> Self {
        line.text("{\"time\":\"");
        time.rfc3339(line);
        line.text("\"");
        Self(line)
    }

    fn name(&mut self, name: &'static str) {
        self.0.text(",\"");
        self.0.text(name);
        self.0.text("\":");
    }

    /// A string that came from elsewhere.
    fn text(&mut self, name: &'static str, value: Option<&[u8]>) {
        let Some(value) = value else { return };
        self.name(name);
        self.0.text("\"");
        foreign::add(self.0, value, foreign::as_json);
        self.0.text("\"");
    }

    /// A string of ours.
    fn word(&mut self, name: &'static str, value: Option<&'static str>) {
        let Some(value) = value else { return };
        self.name(name);
        self.0.text("\"");
        self.0.text(value);
        self.0.text("\"");
    }

    /// A string whose form is known to need no escapes.
    fn shown(&mut self, name: &'static str, value: Option<impl fmt::Display>) {
        let Some(value) = value else { return };
        self.name(name);
        self.0.text("\"");
        self.0.shown(value);
        self.0.text("\"");
    }

    fn number(&mut self, name: &'static str, value: Option<u64>) {
        let Some(value) = value else { return };
        self.name(name);
        self.0.number(value);
    }

    fn millis(&mut self, name: &'static str, value: Option<Duration>) {
        let Some(value) = value else { return };
        self.name(name);
        self.0.millis(value);
    }

    fn end(self) {
        self.0.text("}");
    }
}
