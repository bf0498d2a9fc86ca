//! One line of the state file.

use std::{borrow::Cow, io};

use cognigate_auth::{
    clock::{UnixMillis, UnixSeconds},
    revocation::{MAX_TOKEN_LIFETIME_SECONDS, Revocation, Subject, SubjectKind},
};
use serde::{Deserialize, Serialize};

use crate::revocation::change::{Change, Removal};

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Change(Change),
    Whole(Whole),
}

/// That nothing is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whole {
    /// Of what is shared where.
    pub(super) of: Box<str>,
    /// When.
    pub(super) at: UnixSeconds,
}

impl Whole {
    /// Whether nothing may be missing of what is shared there that matters now: what was added since then may be missing.
    pub(super) fn covers(&self, of: &str, now: UnixSeconds) -> bool {
        *self.of == *of && self.at.abs_diff(now) < MAX_TOKEN_LIFETIME_SECONDS
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeText<'c> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<Cow<'c, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin_jti: Option<Cow<'c, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<Cow<'c, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_before: Option<UnixSeconds>,
    made_at: UnixMillis,
    until: UnixSeconds,
}

impl Line {
    /// Reads a line without its end; nothing if it is none.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let (sign, text) = line.split_first()?;
        match sign {
            b'+' => {
                serde_json::from_slice::<ChangeText<'_>>(text).ok()?.addition().map(Change::Added).map(Self::Change)
            }
            b'-' => {
                serde_json::from_slice::<ChangeText<'_>>(text).ok()?.removal().map(Change::Removed).map(Self::Change)
            }
            b'=' => serde_json::from_slice(text).ok().map(Self::Whole),
            _ => None,
        }
    }
}

/// Writes a line that is a change.
pub(super) fn write_change(out: &mut impl io::Write, change: &Change) -> io::Result<()> {
    let sign = match change {
        Change::Added(_) => b"+",
        Change::Removed(_) => b"-",
    };
    write_json(out, sign, &ChangeText::of(change))
}

/// Writes the line that says that nothing is missing.
pub(super) fn write_whole(out: &mut impl io::Write, whole: &Whole) -> io::Result<()> {
    write_json(out, b"=", whole)
}

fn write_json(out: &mut impl io::Write, sign: &[u8], text: &impl Serialize) -> io::Result<()> {
    out.write_all(sign)?;
    serde_json::to_writer(&mut *out, text)?;
    out.write_all(b"\n")
}

impl<'c> ChangeText<'c> {
    fn of(change: &'c Change) -> Self {
        let issued_before = match change {
            Change::Added(entry) => entry.issued_before,
            Change::Removed(_) => None,
        };
        let (made_at, until) = (change.made_at(), change.until());
        let mut text = Self { jti: None, origin_jti: None, sub: None, issued_before, made_at, until };
        let place = match change.subject().kind() {
            SubjectKind::Jti => &mut text.jti,
            SubjectKind::OriginJti => &mut text.origin_jti,
            SubjectKind::Sub => &mut text.sub,
        };
        *place = Some(change.subject().to_text());
        text
    }

    fn subject(&self) -> Option<Subject> {
        let (kind, text) = match (&self.jti, &self.origin_jti, &self.sub) {
            (Some(text), None, None) => (SubjectKind::Jti, text),
            (None, Some(text), None) => (SubjectKind::OriginJti, text),
            (None, None, Some(text)) => (SubjectKind::Sub, text),
            _ => return None,
        };
        Subject::new(kind, text).ok()
    }

    fn addition(self) -> Option<Revocation> {
        let subject = self.subject()?;
        let Self { issued_before, made_at, until: expires_at, .. } = self;
        let is_complete = (subject.kind() == SubjectKind::Sub) == issued_before.is_some();
        is_complete.then_some(Revocation { subject, issued_before, expires_at, made_at })
    }

    fn removal(self) -> Option<Removal> {
        let subject = self.subject()?;
        let Self { issued_before, made_at, until, .. } = self;
        issued_before.is_none().then_some(Removal { subject, made_at, until })
    }
}
