//! The list against a plain map: whatever was added, removed, replaced and purged, it says what the map says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TEXTS: [&str; 5] = ["a", "b", "A", UUID, "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f1"];

/// Fewer than there are subjects, so that there is not always room.
const MAX_ENTRIES: usize = 12;

#[derive(Clone, Debug)]
enum Step {
    Add(Source, Revocation),
    Purge(UnixSeconds),
    Remove(Source, Subject),
    Replace(Source, Vec<Revocation>),
}

fn source() -> impl Strategy<Value = Source> {
    prop::sample::select(Source::ALL.as_slice())
}

fn any_subject() -> impl Strategy<Value = Subject> {
    let kinds = prop::sample::select(SubjectKind::ALL.as_slice());
    (kinds, prop::sample::select(TEXTS.as_slice())).prop_map(|(kind, text)| subject(kind, text))
}

fn any_revocation() -> impl Strategy<Value = Revocation> {
    let ends = prop_oneof![4 => 0..8_u64, 1 => Just(UnixSeconds::MAX)];
    (any_subject(), 0..8_u64, ends, 0..8_u64).prop_map(|(subject, before, expires_at, made_at)| {
        let issued_before = (subject.kind() == SubjectKind::Sub).then_some(before);
        Revocation { subject, issued_before, expires_at, made_at }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (source(), any_revocation()).prop_map(|(source, entry)| Step::Add(source, entry)),
        1 => (0..8_u64).prop_map(Step::Purge),
        2 => (source(), any_subject()).prop_map(|(source, subject)| Step::Remove(source, subject)),
        2 => (source(), prop::collection::vec(any_revocation(), 0..10))
            .prop_map(|(source, entries)| Step::Replace(source, entries)),
    ]
}

/// What the list is to say.
#[derive(Clone, Default)]
struct Model(BTreeMap<(Subject, Source), Revocation>);

impl Model {
    fn apply(&mut self, step: Step) -> Outcome {
        let before = self.clone();
        let count = self.0.len();
        let outcome = match step {
            Step::Add(source, entry) => {
                self.add(source, &entry);
                Outcome::Room(self.0.len() <= MAX_ENTRIES)
            }
            Step::Purge(now) => {
                self.0.retain(|_, entry| entry.expires_at > now);
                Outcome::Count(count - self.0.len())
            }
            Step::Remove(source, subject) => Outcome::Count(usize::from(self.0.remove(&(subject, source)).is_some())),
            Step::Replace(source, entries) => {
                self.0.retain(|(_, other), _| *other != source);
                entries.into_iter().for_each(|entry| self.add(source, &entry));
                Outcome::Room(self.0.len() <= MAX_ENTRIES)
            }
        };
        if outcome == Outcome::Room(false) {
            *self = before;
        }
        outcome
    }

    fn add(&mut self, source: Source, entry: &Revocation) {
        let own = self.0.entry((entry.subject.clone(), source)).or_insert_with(|| entry.clone());
        own.issued_before = own.issued_before.max(entry.issued_before);
        own.expires_at = own.expires_at.max(entry.expires_at);
        own.made_at = own.made_at.max(entry.made_at);
    }

    fn find(&self, subject: &Subject) -> Vec<(Source, Revocation)> {
        let sources = Source::ALL.into_iter();
        sources.filter_map(|source| Some((source, self.0.get(&(subject.clone(), source))?.clone()))).collect()
    }

    fn revokes(&self, subject: &Subject, issued_at: Option<UnixSeconds>) -> bool {
        let is_before = |cut: Option<UnixSeconds>| match (cut, issued_at) {
            (Some(cut), Some(issued_at)) => issued_at < cut,
            (None, _) | (_, None) => true,
        };
        self.find(subject).iter().any(|(_, entry)| is_before(entry.issued_before))
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Count(usize),
    Room(bool),
}

fn apply(list: &RevocationList, step: Step) -> Outcome {
    match step {
        Step::Add(source, entry) => Outcome::Room(list.add(source, entry).is_ok()),
        Step::Purge(now) => Outcome::Count(list.purge(now)),
        Step::Remove(source, subject) => Outcome::Count(usize::from(list.remove(source, &subject))),
        Step::Replace(source, entries) => Outcome::Room(list.replace(source, entries).is_ok()),
    }
}

/// All entries, so many subjects at a time.
fn pages(list: &RevocationList, limit: usize) -> Vec<(Source, Revocation)> {
    let mut all: Vec<(Source, Revocation)> = Vec::new();
    loop {
        let page = list.entries(all.last().map(|(_, entry)| &entry.subject), limit);
        if page.is_empty() {
            return all;
        }
        let subjects: std::collections::BTreeSet<_> = page.iter().map(|(_, entry)| &entry.subject).collect();
        assert!(subjects.len() <= limit);
        all.extend(page);
    }
}

#[track_caller]
fn assert_agree(list: &RevocationList, model: &Model) {
    assert_eq!(list.len(), model.0.len());
    for source in Source::ALL {
        assert_eq!(list.len_of(source), model.0.keys().filter(|(_, other)| *other == source).count());
    }
    for kind in SubjectKind::ALL {
        let count = model.0.keys().filter(|(subject, _)| subject.kind() == kind).count();
        assert_eq!(list.kinds[kind as usize].load(Ordering::Relaxed), count, "{kind}");
        for text in TEXTS {
            let subject = subject(kind, text);
            assert_eq!(list.find(&subject), model.find(&subject), "{subject:?}");
            for issued_at in [None, Some(0), Some(3), Some(7)] {
                let expected = model.revokes(&subject, issued_at);
                assert_eq!(list.is_named(kind, text, issued_at), expected, "{subject:?} at {issued_at:?}");
            }
        }
    }
    let whole = list.entries(None, usize::MAX);
    for limit in 1..=3 {
        assert_eq!(pages(list, limit), whole, "by {limit}");
    }
    let whole: BTreeMap<_, _> =
        whole.into_iter().map(|(source, entry)| ((entry.subject.clone(), source), entry)).collect();
    assert_eq!(whole, model.0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_list_says_what_a_map_says(
        steps in prop::collection::vec(step(), 1..100),
        shards in prop::sample::select([1_usize, 4, 64].as_slice()),
    ) {
        let list = RevocationList::with_shards(shards, MAX_ENTRIES);
        let mut model = Model::default();
        for step in steps {
            prop_assert_eq!(apply(&list, step.clone()), model.apply(step));
            assert_agree(&list, &model);
        }
    }
}
