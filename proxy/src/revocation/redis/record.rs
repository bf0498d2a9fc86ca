//! How entries are written in Redis: one field of a hash for each subject.
//!
//! ```text
//! origin_jti:3c4d...   + 1767225600123 - 1767312000            revoked then, until then
//! sub:5e6f...          + 1767225600123 1767225600 1767312600   tokens issued before the second, until the third
//! jti:7a8b...          - 1767225601456 - 1767312601            removed then; remembered for as long as it would have held
//! @version             17                                      how often anything was changed
//! ```
//!
//! Whatever is read can be kept: what makes no sense for its kind is left out, or means what is safe.

use cognigate_auth::{
    clock::UnixSeconds,
    revocation::{Revocation, Subject, SubjectKind},
};

use crate::revocation::change::{Change, Removal};

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

impl Record {
    pub(super) fn of(change: &Change) -> Self {
        let (sign, before) = match change {
            Change::Added(Revocation { issued_before, .. }) => ('+', *issued_before),
            Change::Removed(_) => ('-', None),
        };
        let before = before.map_or_else(|| NONE.to_owned(), |moment| moment.to_string());
        let value = format!("{sign} {} {before} {}", change.made_at(), change.until());
        Self { field: field(change.subject()), value }
    }

    /// What it says; nothing if nobody who speaks this language wrote it.
    pub(super) fn read(&self) -> Option<Change> {
        let (kind, text) = self.field.split_once(':')?;
        let kind = SubjectKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        let subject = Subject::new(kind, text).ok()?;
        let mut words = self.value.split(' ');
        let (sign, made_at, before, until) =
            (words.next()?, words.next()?.parse().ok()?, moment(words.next()?)?, words.next()?.parse().ok()?);
        if words.next().is_some() {
            return None;
        }
        match sign {
            "+" => {
                let issued_before = match kind {
                    SubjectKind::Jti | SubjectKind::OriginJti => None,
                    SubjectKind::Sub => Some(before.unwrap_or(UnixSeconds::MAX)),
                };
                Some(Change::Added(Revocation { subject, issued_before, expires_at: until, made_at }))
            }
            "-" => Some(Change::Removed(Removal { subject, made_at, until })),
            _ => None,
        }
    }
}

/// The outer `None`: no moment at all, said or not.
fn moment(word: &str) -> Option<Option<UnixSeconds>> {
    if word == NONE { Some(None) } else { word.parse().ok().map(Some) }
}

fn field(subject: &Subject) -> String {
    format!("{}:{}", subject.kind(), subject.to_text())
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::revocation::state_file;

    fn subject(kind: SubjectKind, text: &str) -> Subject {
        Subject::new(kind, text).unwrap()
    }

    #[test]
    fn a_change_comes_back_as_it_was_written() {
        let entry = |kind, text, issued_before, expires_at| {
            Change::Added(Revocation { subject: subject(kind, text), issued_before, expires_at, made_at: 7 })
        };
        for (change, field, value) in [
            (entry(SubjectKind::Jti, "a", None, 2_000), "jti:a", "+ 7 - 2000"),
            (entry(SubjectKind::OriginJti, "a:b c", None, u64::MAX), "origin_jti:a:b c", "+ 7 - 18446744073709551615"),
            (entry(SubjectKind::Sub, "u", Some(900), 2_000), "sub:u", "+ 7 900 2000"),
            (
                Change::Removed(Removal { subject: subject(SubjectKind::Sub, "u"), made_at: 8, until: 9 }),
                "sub:u",
                "- 8 - 9",
            ),
        ] {
            let record = Record::of(&change);
            assert_eq!((&*record.field, &*record.value), (field, value));
            assert_eq!(record.read(), Some(change));
        }
    }

    #[test]
    fn what_makes_no_sense_for_its_kind_means_what_is_safe() {
        for (field, value, expected) in [
            ("jti:a", "+ 7 5 9", "+ 7 - 9"),
            ("sub:a", "+ 7 - 9", "+ 7 18446744073709551615 9"),
            ("sub:a", "- 7 5 9", "- 7 - 9"),
        ] {
            let record = Record { field: field.to_owned(), value: value.to_owned() };
            assert_eq!(Record::of(&record.read().unwrap()).value, expected, "{field} {value}");
        }
    }

    #[test]
    fn what_nobody_wrote_says_nothing() {
        for (field, value) in [
            (VERSION_FIELD, "17"),
            ("jti", "+ 1 - 1"),
            ("jti:", "+ 1 - 1"),
            ("aud:a", "+ 1 - 1"),
            ("jti:a", ""),
            ("jti:a", "+ 1 -"),
            ("jti:a", "+ 1 - x"),
            ("jti:a", "+ 1 x 1"),
            ("jti:a", "+ - - 1"),
            ("jti:a", "* 1 - 1"),
            ("jti:a", "+ 1 - 1 1"),
            ("jti:a", "+ 1 - -1"),
        ] {
            let record = Record { field: field.to_owned(), value: value.to_owned() };
            assert_eq!(record.read(), None, "{field} {value}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_read_can_be_kept_over_a_restart_and_told_on(
            kind in select(["jti", "origin_jti", "sub", "aud"].as_slice()),
            text in "[ -~é]{0,12}",
            sign in select(["+", "-", "*"].as_slice()),
            numbers in prop::array::uniform3(prop_oneof![
                Just("-".to_owned()),
                Just(u64::MAX.to_string()),
                "[0-9]{1,20}",
            ]),
        ) {
            let [made_at, before, until] = numbers;
            let record = Record { field: format!("{kind}:{text}"), value: format!("{sign} {made_at} {before} {until}") };
            if let Some(change) = record.read() {
                prop_assert_eq!(state_file::round_trip(&change), Some(change.clone()));
                prop_assert_eq!(Record::of(&change).read(), Some(change));
            }
        }
    }
}
