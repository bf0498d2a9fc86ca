//! What the times of an entry mean where they are left out, and how entries look in JSON.
//!
//! | | `issued_before` of a `sub` | `expires_at` |
//! |---|---|---|
//! | file | has to be there | `sub`: a token's longest life after `issued_before`; else as long as the file names it |
//! | admin listener | one second from now, so that tokens of this very second are meant too; at most 5 minutes ahead | a token's longest life from now |

use std::borrow::Cow;

use cognigate_auth::{
    clock::UnixSeconds,
    revocation::{MAX_TOKEN_LIFETIME_SECONDS, Revocation, Source, Subject, SubjectKind},
};
use serde::Serialize;
use thiserror::Error;

use crate::config::revocations::RevocationEntry;

/// How far ahead of now an entry may reach that is made at the admin listener, in seconds: as far as clocks may differ.
const MAX_AHEAD_SECONDS: u64 = 5 * 60;

/// Why an entry makes no sense at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UntimelyEntry {
    /// It would end before it begins.
    #[error("`expires_at` {found} has passed: it is {now} now")]
    Expired {
        /// When it would end.
        found: UnixSeconds,
        /// What time it is.
        now: UnixSeconds,
    },
    /// It would revoke tokens that are not issued yet.
    #[error("`issued_before` {found} is too far ahead: it is {now} now, and at most {most} is allowed")]
    TooFarAhead {
        /// What it says.
        found: UnixSeconds,
        /// What time it is.
        now: UnixSeconds,
        /// What it may say.
        most: UnixSeconds,
    },
}

/// An entry of the file; nothing if it has expired.
#[must_use]
pub fn of_file(entry: &RevocationEntry, now: UnixSeconds) -> Option<Revocation> {
    let RevocationEntry { subject, issued_before, expires_at } = entry.clone();
    let until_none_is_left =
        issued_before.map_or(UnixSeconds::MAX, |moment| moment.saturating_add(MAX_TOKEN_LIFETIME_SECONDS));
    let expires_at = expires_at.unwrap_or(until_none_is_left);
    (expires_at > now).then_some(Revocation { subject, issued_before, expires_at, made_at: 0 })
}

/// An entry that somebody makes now. When exactly is said once it is its turn.
///
/// # Errors
///
/// [`UntimelyEntry`].
pub fn of_admin(entry: RevocationEntry, now: UnixSeconds) -> Result<Revocation, UntimelyEntry> {
    let RevocationEntry { subject, issued_before, expires_at } = entry;
    let issued_before = match subject.kind() {
        SubjectKind::Sub => Some(issued_before.unwrap_or(now.saturating_add(1))),
        SubjectKind::Jti | SubjectKind::OriginJti => None,
    };
    let most = now.saturating_add(MAX_AHEAD_SECONDS);
    if let Some(found) = issued_before.filter(|found| *found > most) {
        return Err(UntimelyEntry::TooFarAhead { found, now, most });
    }
    match expires_at.unwrap_or(now.saturating_add(MAX_TOKEN_LIFETIME_SECONDS)) {
        found if found <= now => Err(UntimelyEntry::Expired { found, now }),
        expires_at => Ok(Revocation { subject, issued_before, expires_at, made_at: 0 }),
    }
}

/// An entry in JSON: the keys of the revocation file, and where it comes from if that is asked for.
#[derive(Debug, Serialize)]
pub struct EntryText<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_jti: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<UnixSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
}

impl<'e> EntryText<'e> {
    /// A subject, without any time.
    #[must_use]
    pub fn of_subject(subject: &'e Subject) -> Self {
        let mut text =
            Self { jti: None, origin_jti: None, sub: None, issued_before: None, expires_at: None, source: None };
        let place = match subject.kind() {
            SubjectKind::Jti => &mut text.jti,
            SubjectKind::OriginJti => &mut text.origin_jti,
            SubjectKind::Sub => &mut text.sub,
        };
        *place = Some(subject.to_text());
        text
    }

    /// An entry, with its times.
    #[must_use]
    pub fn of(entry: &'e Revocation) -> Self {
        let Revocation { subject, issued_before, expires_at, made_at: _ } = entry;
        Self { issued_before: *issued_before, expires_at: Some(*expires_at), ..Self::of_subject(subject) }
    }

    /// An entry and where it comes from. One that lasts as long as its source names it has no `expires_at`.
    #[must_use]
    pub fn with_source(source: Source, entry: &'e Revocation) -> Self {
        let text = Self::of(entry);
        let expires_at = text.expires_at.filter(|expires_at| *expires_at != UnixSeconds::MAX);
        Self { expires_at, source: Some(source.as_str()), ..text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = 1_767_225_600;

    fn entry(kind: SubjectKind, issued_before: Option<u64>, expires_at: Option<u64>) -> RevocationEntry {
        RevocationEntry { subject: Subject::new(kind, "a").unwrap(), issued_before, expires_at }
    }

    #[test]
    fn an_entry_of_the_file_lasts_as_long_as_it_is_needed() {
        use SubjectKind::{Jti, Sub};
        for (case, written, expires_at) in [
            ("named", entry(Jti, None, None), Some(u64::MAX)),
            ("until then", entry(Jti, None, Some(NOW + 1)), Some(NOW + 1)),
            ("expired", entry(Jti, None, Some(NOW)), None),
            ("user", entry(Sub, Some(NOW), None), Some(NOW + MAX_TOKEN_LIFETIME_SECONDS)),
            ("user, long ago", entry(Sub, Some(NOW - MAX_TOKEN_LIFETIME_SECONDS), None), None),
            ("user, always", entry(Sub, Some(u64::MAX), None), Some(u64::MAX)),
        ] {
            assert_eq!(of_file(&written, NOW).map(|entry| entry.expires_at), expires_at, "{case}");
        }
    }

    #[test]
    fn an_entry_that_is_made_now_means_every_token_until_now() {
        use SubjectKind::{OriginJti, Sub};
        let last = NOW + MAX_TOKEN_LIFETIME_SECONDS;
        for (case, written, issued_before, expires_at) in [
            ("session", entry(OriginJti, None, None), None, last),
            ("user", entry(Sub, None, None), Some(NOW + 1), last),
            ("user, before", entry(Sub, Some(7), Some(NOW + 1)), Some(7), NOW + 1),
            ("user, ahead", entry(Sub, Some(NOW + 300), None), Some(NOW + 300), last),
        ] {
            let entry = of_admin(written, NOW).unwrap();
            assert_eq!((entry.issued_before, entry.expires_at), (issued_before, expires_at), "{case}");
        }
        let ahead = UntimelyEntry::TooFarAhead { found: NOW + 301, now: NOW, most: NOW + 300 };
        assert_eq!(of_admin(entry(Sub, Some(NOW + 301), None), NOW), Err(ahead));
        let expired = UntimelyEntry::Expired { found: NOW, now: NOW };
        assert_eq!(of_admin(entry(OriginJti, None, Some(NOW)), NOW), Err(expired));
    }

    #[test]
    fn an_entry_is_written_with_its_own_keys_only() {
        let revocation = Revocation {
            subject: Subject::new(SubjectKind::Sub, "a\"b").unwrap(),
            issued_before: Some(1),
            expires_at: 2,
            made_at: 3,
        };
        let text = serde_json::to_string(&EntryText::of(&revocation)).unwrap();
        assert_eq!(text, r#"{"sub":"a\"b","issued_before":1,"expires_at":2}"#);
        let forever = Revocation {
            subject: Subject::new(SubjectKind::Jti, "a").unwrap(),
            issued_before: None,
            expires_at: u64::MAX,
            made_at: 0,
        };
        let text = serde_json::to_string(&EntryText::with_source(Source::File, &forever)).unwrap();
        assert_eq!(text, r#"{"jti":"a","source":"file"}"#);
        assert!(serde_json::to_string(&EntryText::of(&forever)).unwrap().contains("18446744073709551615"));
    }
}
