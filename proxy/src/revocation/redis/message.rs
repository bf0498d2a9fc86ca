//! What processes tell each other over the channel, and what a connection has to say.
//!
//! A message is lines: who speaks, the version that the change made, then field and value of each record.

use redis::{PushInfo, PushKind, Value};

use super::record::Record;

/// A change that somebody made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) version: u64,
    pub(super) records: Vec<Record>,
}

/// What a connection says without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is over.
    Lost,
    /// Somebody changed something.
    Message(Message),
    /// Nothing that matters, or that is understood.
    Other,
}

impl Pushed {
    pub(super) fn read(push: &PushInfo) -> Self {
        match (&push.kind, push.data.last()) {
            (PushKind::Disconnection, _) => Self::Lost,
            (PushKind::Message, Some(payload)) => match text(payload).and_then(Message::read) {
                Some(message) => Self::Message(message),
                None => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

impl Message {
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let (_who, version) = (lines.next()?, lines.next()?.parse().ok()?);
        let mut records = Vec::new();
        while let (Some(field), Some(value)) = (lines.next(), lines.next()) {
            records.push(Record { field: field.to_owned(), value: value.to_owned() });
        }
        Some(Self { version, records })
    }
}

fn text(value: &Value) -> Option<&str> {
    if let Value::BulkString(bytes) = value { str::from_utf8(bytes).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_is_told() {
        let push = |kind, payload: &[u8]| PushInfo {
            kind,
            data: vec![Value::BulkString(b"channel".to_vec()), Value::BulkString(payload.to_vec())],
        };
        let record = |field: &str, value: &str| Record { field: field.to_owned(), value: value.to_owned() };
        let message = Message { version: 17, records: vec![record("jti:a", "+ 7 - 1"), record("sub:b", "- 8 - 2")] };
        for (payload, expected) in [
            (&b"me\n17\njti:a\n+ 7 - 1\nsub:b\n- 8 - 2"[..], Pushed::Message(message)),
            (b"me\nx\njti:a\n+ - 1", Pushed::Other),
            (b"me", Pushed::Other),
            (b"\xff", Pushed::Other),
        ] {
            assert_eq!(Pushed::read(&push(PushKind::Message, payload)), expected);
        }
        assert_eq!(Pushed::read(&push(PushKind::Subscribe, b"1")), Pushed::Other);
        assert_eq!(Pushed::read(&PushInfo { kind: PushKind::Disconnection, data: Vec::new() }), Pushed::Lost);
    }
}
