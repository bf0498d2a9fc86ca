//! Hot path: no lock, no I/O, no info log.
//!
//! A line as Apache's combined log format has it: `%h - %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`, the request line
//! without its query.

use super::{entry::Entry, foreign, line::Line, moment::Moment};

/// What stands for what there is not.
const NOTHING: &str = "-";

/// Adds the line.
pub(super) fn write(line: &mut Line, entry: &Entry<'_>) {
    match entry.client {
        Some(client) => line.shown(client),
        None => line.text(NOTHING),
    }
    line.text(" - ");
    add(line, entry.caller.map(|caller| caller.sub.as_bytes()));
    line.text(" [");
    Moment::new(entry.began).common(line);
    line.text("] \"");
    add(line, Some(entry.method.as_bytes()));
    line.text(" ");
    add(line, Some(entry.path()));
    line.text(" ");
    line.text(entry.protocol);
    line.text("\" ");
    line.number(entry.status.into());
    line.text(" ");
    match entry.bytes_sent {
        0 => line.text(NOTHING),
        sent => line.number(sent),
    }
    for field in [entry.origin(), entry.user_agent] {
        line.text(" \"");
        add(line, field);
        line.text("\"");
    }
}

fn add(line: &mut Line, value: Option<&[u8]>) {
    match value {
        Some(value) => foreign::add(line, value, foreign::as_apache),
        None => line.text(NOTHING),
    }
}
