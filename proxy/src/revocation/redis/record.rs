//! How entries are written in Redis: one field of a hash for each subject.
//!
//! ```text
//! origin_jti:3c4d...   + - 1767312000            revoked until then
//! sub:5e6f...          + 1767225600 1767312600   tokens issued before the first, until the second
//! jti:7a8b...          - - 1767312000            was taken back; remembered for as long as it would have held
//! @version             17                        how often anything was changed
//! ```

use cognigate_auth::{
    clock::UnixSeconds,
    revocation::{MAX_TOKEN_LIFETIME_SECONDS, Revocation, Subject, SubjectKind},
};

use crate::revocation::shared::Change;

/// The field that counts changes. No subject has such a name.
pub(super) const VERSION_FIELD: &str = "@version";

/// What stands for a moment that is not said.
const NONE: &str = "-";

/// A field and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) field: String,
    pub(super) value: String,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) change: Change,
    /// When it means nothing any more.
    pub(super) until: UnixSeconds,
}

impl Record {
    /// A change that is made at `now`. That an entry was taken back has to be remembered for as long as somebody may have
    /// the entry: Redis knows better if it has it too.
    pub(super) fn of(change: &Change, now: UnixSeconds) -> Self {
        match change {
            Change::Added(Revocation { subject, issued_before, expires_at }) => {
                let before = issued_before.map_or_else(|| NONE.to_owned(), |moment| moment.to_string());
                Self { field: field(subject), value: format!("+ {before} {expires_at}") }
            }
            Change::Removed(subject) => {
                let until = now.saturating_add(MAX_TOKEN_LIFETIME_SECONDS);
                Self { field: field(subject), value: format!("- {NONE} {until}") }
            }
        }
    }

    /// What it says; nothing if nobody who speaks this language wrote it.
    pub(super) fn read(&self) -> Option<Statement> {
        let (kind, text) = self.field.split_once(':')?;
        let kind = SubjectKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        let subject = Subject::new(kind, text).ok()?;
        let mut words = self.value.split(' ');
        let (sign, before, expires_at) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        let change = match sign {
            "+" => {
                let issued_before = if before == NONE { None } else { Some(before.parse().ok()?) };
                Change::Added(Revocation { subject, issued_before, expires_at })
            }
            "-" => Change::Removed(subject),
            _ => return None,
        };
        words.next().is_none().then_some(Statement { change, until: expires_at })
    }
}

fn field(subject: &Subject) -> String {
    format!("{}:{}", subject.kind(), subject.to_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(kind: SubjectKind, text: &str) -> Subject {
        Subject::new(kind, text).unwrap()
    }

    #[test]
    fn a_change_comes_back_as_it_was_written() {
        let entry = |kind, text, issued_before, expires_at| {
            Change::Added(Revocation { subject: subject(kind, text), issued_before, expires_at })
        };
        for (change, field, value) in [
            (entry(SubjectKind::Jti, "a", None, 2_000), "jti:a", "+ - 2000"),
            (entry(SubjectKind::OriginJti, "a:b c", None, u64::MAX), "origin_jti:a:b c", "+ - 18446744073709551615"),
            (entry(SubjectKind::Sub, "u", Some(900), 2_000), "sub:u", "+ 900 2000"),
            (Change::Removed(subject(SubjectKind::Sub, "u")), "sub:u", "- - 88000"),
        ] {
            let record = Record::of(&change, 1_000);
            assert_eq!((&*record.field, &*record.value), (field, value));
            assert_eq!(record.read().unwrap().change, change);
        }
    }

    #[test]
    fn what_nobody_wrote_says_nothing() {
        for (field, value) in [
            (VERSION_FIELD, "17"),
            ("jti", "+ - 1"),
            ("jti:", "+ - 1"),
            ("aud:a", "+ - 1"),
            ("jti:a", ""),
            ("jti:a", "+ -"),
            ("jti:a", "+ - x"),
            ("jti:a", "+ x 1"),
            ("jti:a", "* - 1"),
            ("jti:a", "+ - 1 1"),
            ("jti:a", "+ - -1"),
        ] {
            let record = Record { field: field.to_owned(), value: value.to_owned() };
            assert_eq!(record.read(), None, "{field} {value}");
        }
    }
}
