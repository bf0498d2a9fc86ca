//! What can be said about a subject, and what holds of all that was said.
//!
//! Everything that anybody does to a shared revocation has a moment, and what is known about a subject is the merge of it all:
//!
//! | | holds |
//! |---|---|
//! | two additions | the stricter times of both |
//! | two removals | one, remembered for as long as either |
//! | an addition and a removal | the later; of the same moment, the addition |
//!
//! The later moment goes with what holds. So it does not matter how often something is heard, from whom, after which restart
//! or in which order: whoever has heard the same knows whom to refuse. Only the times of an entry may stay stricter for one
//! that never heard that it was taken back in between.
//!
//! A change is made later than all that is known about its subject, whatever the clock says: who has heard of something and
//! then changes it, means to.

use std::collections::HashMap;

use cognigate_auth::{
    clock::{UnixMillis, UnixSeconds},
    revocation::{MAX_TOKEN_LIFETIME_SECONDS, Revocation, Subject},
};

/// One thing that was done to a subject, or all of them together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An entry was added.
    Added(Revocation),
    /// The entry of a subject was removed.
    Removed(Removal),
}

/// That the entry of a subject was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Whose.
    pub subject: Subject,
    /// When, in milliseconds since 1970.
    pub made_at: UnixMillis,
    /// When it may be forgotten: nobody has an entry any more that it could have removed.
    pub until: UnixSeconds,
}

impl Removal {
    /// The removal of an entry that is known, made now. Not before the entry was.
    #[must_use]
    pub fn of(entry: &Revocation, now: UnixMillis) -> Self {
        let made_at = now.max(entry.made_at.saturating_add(1));
        let until = (made_at / 1_000).saturating_add(MAX_TOKEN_LIFETIME_SECONDS).max(entry.expires_at);
        Self { subject: entry.subject.clone(), made_at, until }
    }
}

impl Change {
    /// Whom or what it is about.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        match self {
            Self::Added(Revocation { subject, .. }) | Self::Removed(Removal { subject, .. }) => subject,
        }
    }

    /// When it was made, in milliseconds since 1970.
    #[must_use]
    pub const fn made_at(&self) -> UnixMillis {
        match self {
            Self::Added(Revocation { made_at, .. }) | Self::Removed(Removal { made_at, .. }) => *made_at,
        }
    }

    /// When it means nothing any more.
    #[must_use]
    pub const fn until(&self) -> UnixSeconds {
        match self {
            Self::Added(Revocation { expires_at: until, .. }) | Self::Removed(Removal { until, .. }) => *until,
        }
    }

    /// Whether it means something.
    #[must_use]
    pub const fn is_alive(&self, now: UnixSeconds) -> bool {
        self.until() > now
    }

    /// What holds of two changes of one subject.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Added(one), Self::Added(other)) => Self::Added(Revocation {
                issued_before: one.issued_before.max(other.issued_before),
                expires_at: one.expires_at.max(other.expires_at),
                made_at: one.made_at.max(other.made_at),
                subject: one.subject,
            }),
            (Self::Removed(one), Self::Removed(other)) => Self::Removed(Removal {
                made_at: one.made_at.max(other.made_at),
                until: one.until.max(other.until),
                subject: one.subject,
            }),
            (Self::Added(added), Self::Removed(removed)) | (Self::Removed(removed), Self::Added(added)) => {
                match removed.made_at > added.made_at {
                    true => Self::Removed(Removal { until: removed.until.max(added.expires_at), ..removed }),
                    false => Self::Added(added),
                }
            }
        }
    }
}

/// What holds of many changes: one for each subject, in the order in which the subjects come first.
#[must_use]
pub fn fold(changes: impl IntoIterator<Item = Change>) -> Vec<Change> {
    let mut folded: Vec<Option<Change>> = Vec::new();
    let mut places: HashMap<Subject, usize> = HashMap::new();
    for change in changes {
        let place = *places.entry(change.subject().clone()).or_insert(folded.len());
        match folded.get_mut(place) {
            Some(known) => *known = known.take().map(|known| known.merge(change)),
            None => folded.push(Some(change)),
        }
    }
    folded.into_iter().flatten().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use cognigate_auth::revocation::SubjectKind;
    use proptest::{prelude::*, sample::select};

    use super::*;

    /// A change of one of a few subjects at one of a few moments, so that many meet.
    pub(in crate::revocation) fn any_change() -> impl Strategy<Value = Change> {
        let subject = (select(SubjectKind::ALL.as_slice()), select(["a", "b"].as_slice()))
            .prop_map(|(kind, text)| Subject::new(kind, text).unwrap());
        let times = prop_oneof![6 => 0..9_u64, 1 => Just(u64::MAX)];
        (any::<bool>(), subject, 0..9_u64, times, 0..9_u64).prop_map(|(is_added, subject, before, until, made_at)| {
            let issued_before = (subject.kind() == SubjectKind::Sub).then_some(before);
            match is_added {
                true => Change::Added(Revocation { subject, issued_before, expires_at: until, made_at }),
                false => Change::Removed(Removal { subject, made_at, until }),
            }
        })
    }

    /// Who is revoked, in order, and since when that is known.
    fn verdicts(changes: Vec<Change>) -> Vec<(Subject, UnixMillis, bool)> {
        let verdict =
            |change: &Change| (change.subject().clone(), change.made_at(), matches!(change, Change::Added(_)));
        let mut verdicts: Vec<_> = fold(changes).iter().map(verdict).collect();
        verdicts.sort();
        verdicts
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_does_not_matter_who_hears_first(
            (told, heard) in prop::collection::vec(any_change(), 0..12)
                .prop_flat_map(|told| (Just(told.clone()), Just(told).prop_shuffle())),
        ) {
            prop_assert_eq!(verdicts(told), verdicts(heard));
        }

        #[test]
        fn what_is_heard_again_changes_nothing(
            told in prop::collection::vec(any_change(), 1..12),
            again in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let known = verdicts(told.clone());
            let echoes = again.iter().map(|index| index.get(&told).clone());
            prop_assert_eq!(verdicts(told.iter().cloned().chain(echoes).collect()), known);
            // What holds, told as it is, is no news at all.
            let state = fold(told);
            prop_assert_eq!(fold(state.iter().cloned().chain(state.clone())), state);
        }

        #[test]
        fn two_that_tell_each_other_what_they_know_agree(
            one in prop::collection::vec(any_change(), 0..12),
            other in prop::collection::vec(any_change(), 0..12),
        ) {
            let (one, other) = (fold(one), fold(other));
            let sorted = |mut changes: Vec<Change>| {
                changes.sort_by(|one, other| one.subject().cmp(other.subject()));
                changes
            };
            let heard = fold(one.iter().chain(&other).cloned());
            prop_assert_eq!(sorted(heard), sorted(fold(other.into_iter().chain(one))));
        }
    }

    #[test]
    fn the_later_of_an_addition_and_a_removal_holds() {
        let subject = Subject::new(SubjectKind::Sub, "a").unwrap();
        let added = |made_at, before, expires_at| {
            Change::Added(Revocation { subject: subject.clone(), issued_before: Some(before), expires_at, made_at })
        };
        let removed = |made_at, until| Change::Removed(Removal { subject: subject.clone(), made_at, until });
        for (one, other, expected) in [
            (added(1, 5, 9), added(2, 4, 8), added(2, 5, 9)),
            (removed(1, 9), removed(2, 8), removed(2, 9)),
            (added(1, 5, 9), removed(2, 8), removed(2, 9)),
            (added(2, 5, 9), removed(2, 10), added(2, 5, 9)),
            (added(3, 5, 9), removed(2, 10), added(3, 5, 9)),
        ] {
            assert_eq!(one.clone().merge(other.clone()), expected);
            assert_eq!(other.merge(one), expected);
        }
    }

    #[test]
    fn a_removal_is_later_than_what_it_removes_and_outlives_it() {
        let entry = |made_at, expires_at| Revocation {
            subject: Subject::new(SubjectKind::Jti, "a").unwrap(),
            issued_before: None,
            expires_at,
            made_at,
        };
        for (made_at, expires_at, expected) in [
            (4_000, 9, (5_000, 5 + MAX_TOKEN_LIFETIME_SECONDS)),
            (7_999, 9, (8_000, 8 + MAX_TOKEN_LIFETIME_SECONDS)),
            (4_000, u64::MAX, (5_000, u64::MAX)),
        ] {
            let Removal { made_at, until, .. } = Removal::of(&entry(made_at, expires_at), 5_000);
            assert_eq!((made_at, until), expected);
        }
    }
}
