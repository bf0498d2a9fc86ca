//! What is on the list, for whom, and for how long.

mod concurrency;
mod model;

use super::{shard::Shard, *};

const UUID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

fn subject(kind: SubjectKind, text: &str) -> Subject {
    Subject::new(kind, text).unwrap()
}

fn revocation(
    kind: SubjectKind,
    text: &str,
    issued_before: Option<UnixSeconds>,
    expires_at: UnixSeconds,
) -> Revocation {
    Revocation { subject: subject(kind, text), issued_before, expires_at, made_at: 0 }
}

/// The entries of a kind that needs no moment, for as long as their source names them.
fn tokens<'t>(texts: impl IntoIterator<Item = &'t str>) -> Vec<Revocation> {
    texts.into_iter().map(|text| revocation(SubjectKind::Jti, text, None, UnixSeconds::MAX)).collect()
}

#[test]
fn a_kind_of_entry_names_its_own_claim_alone() {
    for kind in SubjectKind::ALL {
        for text in [UUID, "4example23client56id78abcd"] {
            let list = RevocationList::new(10);
            list.add(Source::Shared, revocation(kind, text, Some(100), 200)).unwrap();
            for other in SubjectKind::ALL {
                assert_eq!(list.is_named(other, text, None), kind == other, "{kind} {text}, asked for {other}");
            }
            for stranger in ["", "stranger", &text.to_uppercase(), text.split_at(1).1] {
                assert!(!list.is_named(kind, stranger, None), "{kind} {text}, asked for {stranger:?}");
            }
        }
    }
}

#[test]
fn a_user_keeps_the_tokens_that_were_issued_after_the_cut() {
    for (issued_before, issued_at, is_revoked) in [
        (Some(100), Some(99), true),
        (Some(100), Some(100), false),
        (Some(100), Some(101), false),
        (Some(100), None, true),
        (Some(0), Some(0), false),
        (Some(0), None, true),
        (None, Some(99), true),
        (None, None, true),
    ] {
        let list = RevocationList::new(10);
        list.add(Source::File, revocation(SubjectKind::Sub, UUID, issued_before, 200)).unwrap();
        assert_eq!(list.is_named(SubjectKind::Sub, UUID, issued_at), is_revoked, "{issued_before:?}, {issued_at:?}");
    }
}

#[test]
fn a_session_is_revoked_whenever_its_tokens_were_issued() {
    let list = RevocationList::new(10);
    list.add(Source::File, revocation(SubjectKind::OriginJti, UUID, Some(100), 200)).unwrap();
    assert!(list.is_named(SubjectKind::OriginJti, UUID, Some(100)));
    let found = list.find(&subject(SubjectKind::OriginJti, UUID));
    assert_eq!(found, [(Source::File, revocation(SubjectKind::OriginJti, UUID, None, 200))], "the moment says nothing");
}

#[test]
fn of_two_entries_of_one_source_the_stricter_times_hold() {
    let entry = |before, expires_at| revocation(SubjectKind::Sub, UUID, Some(before), expires_at);
    for (first, second, expected) in [
        ((100, 200), (100, 200), (100, 200)),
        ((100, 200), (101, 199), (101, 200)),
        ((101, 199), (100, 200), (101, 200)),
        ((100, 200), (99, UnixSeconds::MAX), (100, UnixSeconds::MAX)),
    ] {
        let expected = vec![(Source::File, entry(expected.0, expected.1))];
        let (added, replaced) = (RevocationList::new(1), RevocationList::new(1));
        let both = [first, second].map(|(before, expires_at)| entry(before, expires_at));
        for entry in both.clone() {
            added.add(Source::File, entry).unwrap();
        }
        replaced.replace(Source::File, both.to_vec()).unwrap();
        for list in [added, replaced] {
            assert_eq!(list.find(&expected[0].1.subject), expected, "{first:?}, {second:?}");
        }
    }
}

#[test]
fn sources_do_not_speak_for_each_other() {
    let list = RevocationList::new(10);
    let subject = subject(SubjectKind::Sub, UUID);
    list.add(Source::Shared, revocation(SubjectKind::Sub, UUID, Some(300), 900)).unwrap();
    list.replace(Source::File, vec![revocation(SubjectKind::Sub, UUID, Some(100), 500)]).unwrap();
    assert_eq!(list.find(&subject).len(), 2);
    assert!(list.is_named(SubjectKind::Sub, UUID, Some(299)), "the stricter of the two");

    assert!(list.remove(Source::Shared, &subject));
    assert!(!list.remove(Source::Shared, &subject), "it is gone");
    assert!(!list.is_named(SubjectKind::Sub, UUID, Some(299)));
    assert!(list.is_named(SubjectKind::Sub, UUID, Some(99)));
    list.replace(Source::File, Vec::new()).unwrap();
    assert!(list.is_empty() && !list.is_named(SubjectKind::Sub, UUID, None));
}

#[test]
fn what_has_expired_is_purged_and_until_then_holds() {
    let list = RevocationList::new(10);
    for (text, expires_at) in [("past", 99), ("now", 100), ("future", 101), ("forever", UnixSeconds::MAX)] {
        list.add(Source::Shared, revocation(SubjectKind::Jti, text, None, expires_at)).unwrap();
    }
    assert!(list.is_named(SubjectKind::Jti, "past", None));
    assert_eq!((list.purge(100), list.purge(100)), (2, 0));
    let left = ["past", "now", "future", "forever"].map(|text| list.is_named(SubjectKind::Jti, text, None));
    assert_eq!(left, [false, false, true, true]);
    assert_eq!((list.purge(UnixSeconds::MAX), list.len()), (1, 1), "the last has no end");
}

#[test]
fn a_full_list_takes_nothing_more_and_stays_as_it_is() {
    let list = RevocationList::new(3);
    let full = Err(ListFull { max_entries: 3 });
    list.replace(Source::File, tokens(["a", "b", "b"])).unwrap();
    list.replace(Source::Shared, tokens(["c"])).unwrap();
    assert_eq!(list.add(Source::Shared, revocation(SubjectKind::Jti, "d", None, 1)), full);
    assert_eq!(list.add(Source::Shared, revocation(SubjectKind::Jti, "c", None, 1)), Ok(()), "it is there already");
    assert_eq!(list.replace(Source::Shared, tokens(["d", "e"])), full);
    assert!(list.is_named(SubjectKind::Jti, "c", None));
    list.replace(Source::Shared, tokens(["d"])).unwrap();
    list.replace(Source::File, tokens(["a", "e"])).unwrap();
    assert_eq!((list.len_of(Source::File), list.len_of(Source::Shared)), (2, 1));
    assert!(RevocationList::new(0).add(Source::File, revocation(SubjectKind::Jti, "a", None, 1)).is_err());
}

#[test]
fn entries_whose_hashes_are_equal_are_told_apart() {
    let entries = SubjectKind::ALL.into_iter().flat_map(|kind| ["a", UUID].map(|text| (kind, text)));
    let mut all: Vec<_> =
        entries.clone().map(|(kind, text)| Entry::new(Source::File, revocation(kind, text, Some(1), 2), 7)).collect();
    all.push(Entry::new(Source::Shared, revocation(SubjectKind::Sub, UUID, Some(1), 2), 7));
    all.extend([6, 8].map(|hash| Entry::new(Source::File, revocation(SubjectKind::Sub, UUID, Some(1), 2), hash)));
    all.sort_by(Entry::compare);
    let shard = Shard::new(all).unwrap();
    for within in [0, u32::MAX / 2, u32::MAX] {
        for (kind, text) in entries.clone() {
            let found = shard.find(7, within, kind, text);
            let expected = if (kind, text) == (SubjectKind::Sub, UUID) { 2 } else { 1 };
            assert_eq!(found.filter(|entry| entry.hash == 7 && entry.kind == kind).count(), expected, "{kind} {text}");
        }
        assert_eq!(shard.find(7, within, SubjectKind::Sub, "b").count(), 0);
        assert_eq!(shard.find(5, within, SubjectKind::Sub, UUID).count(), 0);
    }
}

#[test]
fn metrics_say_how_many_there_are_and_whether_that_is_all() {
    let list = std::sync::Arc::new(RevocationList::new(9));
    let registry = prometheus::Registry::new();
    list.register(&registry).unwrap();
    assert!(list.register(&registry).is_err(), "once is enough");
    list.replace(Source::File, tokens(["a", "b"])).unwrap();
    list.set_ready(false);
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        lines,
        [
            r#"cognigate_revocations{source="file"} 2"#,
            r#"cognigate_revocations{source="shared"} 0"#,
            "cognigate_revocations_max 9",
            "cognigate_revocations_ready 0",
        ]
    );
}

#[test]
fn debug_names_nobody() {
    let list = RevocationList::new(9);
    list.replace(Source::File, tokens(["a-token"])).unwrap();
    assert_eq!(format!("{list:?}"), "RevocationList(1 of 9 entries)");
}

#[test]
fn a_question_about_somebody_else_rarely_reaches_a_full_shard() {
    let list = RevocationList::with_shards(16, 16 * SHARD_ENTRIES);
    let texts = (0..16 * SHARD_ENTRIES).map(|serial| format!("here-{serial}"));
    let texts: Vec<_> = texts.collect();
    list.replace(Source::File, tokens(texts.iter().map(String::as_str))).unwrap();
    let reaches = |text: &str| {
        let (index, within) = list.place(list.hash(SubjectKind::Jti, text));
        list.slots[index].may_hold(within)
    };
    assert!(texts.iter().all(|text| reaches(text)));
    let strangers = (0..10_000).filter(|serial| reaches(&format!("elsewhere-{serial}"))).count();
    assert!(strangers < 1_000, "{strangers} of 10000");
    list.replace(Source::File, Vec::new()).unwrap();
    assert!(!texts.iter().any(|text| reaches(text)), "what went left no bit");
}
