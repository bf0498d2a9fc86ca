//! Changes from here and from elsewhere, and what holds of them.

use cognigate_auth::{
    clock::FixedClock,
    revocation::{MAX_TOKEN_LIFETIME_SECONDS, Source, SubjectKind},
};
use prometheus::Registry;

use super::{turn::REBUILD, *};

const NOW: UnixSeconds = 1_767_225_600;

fn shared(max_entries: usize) -> SharedRevocations {
    counted(max_entries).0
}

fn counted(max_entries: usize) -> (SharedRevocations, Registry) {
    let (list, registry) = (Arc::new(RevocationList::new(max_entries)), Registry::new());
    let metrics = RevocationMetrics::register(&registry).unwrap();
    (SharedRevocations::new(list, None, Vec::new(), Arc::new(FixedClock::at(NOW)), metrics), registry)
}

/// How many entries were added and removed, as it is counted.
fn counts(registry: &Registry) -> (u64, u64) {
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let count = |change: &str| {
        let line = text.lines().find(|line| line.contains(&format!("change=\"{change}\""))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    (count("added"), count("removed"))
}

fn entry(text: &str, expires_at: UnixSeconds) -> Revocation {
    Revocation { subject: subject(text), issued_before: None, expires_at, made_at: 0 }
}

/// So many milliseconds after now.
fn made(entry: Revocation, after: u64) -> Revocation {
    Revocation { made_at: NOW * 1_000 + after, ..entry }
}

fn subject(text: &str) -> Subject {
    Subject::new(SubjectKind::Jti, text).unwrap()
}

fn removed(text: &str, after: u64) -> Change {
    let made_at = NOW * 1_000 + after;
    Change::Removed(Removal { subject: subject(text), made_at, until: made_at / 1_000 + MAX_TOKEN_LIFETIME_SECONDS })
}

fn added(text: &str, after: u64) -> Change {
    Change::Added(made(entry(text, NOW + 9), after))
}

fn is_revoked(shared: &SharedRevocations, text: &str) -> bool {
    !shared.list().find(&subject(text)).is_empty()
}

/// What it tells whoever asks for everything.
async fn told(shared: &SharedRevocations) -> Vec<Change> {
    let mut all = shared.snapshot().await.unwrap();
    all.sort_by(|one, other| one.subject().to_text().cmp(&other.subject().to_text()));
    all
}

fn names(shared: &SharedRevocations) -> Vec<String> {
    let mut names: Vec<_> = shared.0.entries().iter().map(|entry| entry.subject.to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_added_is_returned_as_it_holds_and_told_once() {
    let (shared, registry) = counted(10);
    let mut told = shared.subscribe();
    shared.add(vec![entry("a", NOW + 9)]).await.unwrap();
    let stored = shared.add(vec![entry("a", NOW + 1), entry("b", NOW + 1)]).await.unwrap();
    assert_eq!(stored, [made(entry("a", NOW + 9), 1), made(entry("b", NOW + 1), 0)]);
    assert_eq!(counts(&registry), (2, 0), "one was there already");
    assert!(shared.remove(subject("a")).await.unwrap());
    assert!(!shared.remove(subject("a")).await.unwrap());
    assert_eq!(names(&shared), ["b"]);
    assert_eq!(*told.try_recv().unwrap(), [Change::Added(made(entry("a", NOW + 9), 0))]);
    assert_eq!(told.try_recv().unwrap().len(), 2);
    assert_eq!(*told.try_recv().unwrap(), [removed("a", 2)], "later than what it removes, whatever the clock says");
    assert!(told.try_recv().is_err());
    assert_eq!(counts(&registry), (2, 1));
}

#[tokio::test]
async fn what_does_not_fit_adds_nothing() {
    let shared = shared(2);
    let mut told = shared.subscribe();
    shared.add(vec![entry("a", NOW + 1), entry("a", NOW + 2)]).await.unwrap();
    let full = shared.add(vec![entry("b", NOW + 1), entry("c", NOW + 1)]).await;
    assert!(matches!(full, Err(ChangeError::Full(ListFull { max_entries: 2 }))), "{full:?}");
    assert_eq!(names(&shared), ["a"]);
    // An entry that is there takes no room.
    shared.add(vec![entry("a", NOW + 3), entry("b", NOW + 1)]).await.unwrap();
    assert_eq!(told.try_recv().unwrap().len(), 1);
    assert_eq!(told.try_recv().unwrap().len(), 2);
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn what_comes_from_elsewhere_counts_once_and_is_not_told() {
    let (shared, registry) = counted(10);
    let mut told = shared.subscribe();
    for _ in 0..3 {
        shared.apply(vec![added("a", 1), added("b", 1)]).await.unwrap();
    }
    assert_eq!(counts(&registry), (2, 0));
    for _ in 0..3 {
        // The last is an echo of what was removed already.
        shared.apply(vec![removed("a", 2), removed("c", 2), added("a", 1)]).await.unwrap();
    }
    assert_eq!((names(&shared), counts(&registry)), (vec!["b".to_owned()], (2, 1)));
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn who_has_heard_of_something_and_changes_it_wins_whatever_the_clocks_say() {
    // Far ahead of the clock here.
    let shared = shared(10);
    shared.apply(vec![added("a", 5_000), removed("b", 5_000)]).await.unwrap();
    assert!(shared.remove(subject("a")).await.unwrap());
    shared.add(vec![entry("b", NOW + 9)]).await.unwrap();
    shared.apply(vec![added("a", 5_000), removed("b", 5_000)]).await.unwrap();
    assert!(!is_revoked(&shared, "a") && is_revoked(&shared, "b"));
    assert_eq!(told(&shared).await, [removed("a", 5_001), added("b", 5_001)]);
}

#[tokio::test]
async fn a_removal_that_comes_late_does_not_undo_what_was_added_since() {
    let shared = shared(10);
    shared.add(vec![entry("a", NOW + 9)]).await.unwrap();
    shared
        .apply(vec![Change::Removed(Removal { subject: subject("a"), made_at: NOW * 1_000 - 1, until: NOW + 9 })])
        .await
        .unwrap();
    assert!(is_revoked(&shared, "a"));
    shared.apply(vec![removed("a", 1)]).await.unwrap();
    assert!(!is_revoked(&shared, "a"));
}

#[tokio::test]
async fn removals_are_forgotten_in_time_and_no_more_are_kept_than_entries() {
    let shared = shared(2);
    for text in ["a", "b"] {
        shared.add(vec![entry(text, NOW + 9)]).await.unwrap();
        assert!(shared.remove(subject(text)).await.unwrap());
    }
    shared.add(vec![entry("c", NOW + 9)]).await.unwrap();
    let full = shared.remove(subject("c")).await;
    assert!(matches!(full, Err(ChangeError::Full(_))), "{full:?}");
    assert!(is_revoked(&shared, "c"));
    let full = shared.apply(vec![removed("d", 1)]).await;
    assert!(matches!(full, Err(ChangeError::Full(_))), "{full:?}");
    shared.purge_removals(NOW + MAX_TOKEN_LIFETIME_SECONDS - 1).await;
    assert_eq!(told(&shared).await.len(), 3);
    shared.purge_removals(NOW + MAX_TOKEN_LIFETIME_SECONDS).await;
    assert_eq!(told(&shared).await.len(), 1);
    assert!(shared.remove(subject("c")).await.unwrap());
}

#[tokio::test]
async fn many_at_once_are_the_same_as_one_by_one() {
    let (shared, registry) = counted(3 * REBUILD);
    shared.add(vec![entry("own", NOW + 1), entry("0", NOW + 9), entry("2", NOW + 9)]).await.unwrap();
    let many = (0..2 * REBUILD).map(|number| Change::Added(entry(&number.to_string(), NOW + 2)));
    let mut changes: Vec<_> = many.collect();
    changes.insert(REBUILD + 1, removed("0", 1));
    changes.push(removed("1", 1));
    changes.push(Change::Added(made(entry("1", NOW + 3), 2)));
    for _ in 0..2 {
        shared.apply(changes.clone()).await.unwrap();
        let all = shared.0.entries();
        assert_eq!(all.len(), 2 * REBUILD);
        assert!(all.contains(&made(entry("own", NOW + 1), 0)) && all.contains(&made(entry("1", NOW + 3), 2)));
        assert!(all.contains(&made(entry("2", NOW + 9), 0)), "the stricter of the two");
        assert!(!is_revoked(&shared, "0"));
    }
    assert_eq!(counts(&registry), (3 + 2 * u64::try_from(REBUILD).unwrap() - 2, 1));
    assert!(told(&shared).await.contains(&removed("0", 1)));
}

#[tokio::test]
async fn of_too_many_from_elsewhere_as_many_count_as_fit() {
    let shared = shared(REBUILD);
    let many = (0..2 * REBUILD).map(|number| Change::Added(entry(&number.to_string(), NOW + 2))).collect();
    let full = shared.apply(many).await;
    assert!(matches!(full, Err(ChangeError::Full(_))), "{full:?}");
    assert_eq!(shared.list().len(), REBUILD);
    // What is there already changes all the same.
    let known = shared.0.entries().pop().unwrap();
    let later = Change::Added(Revocation { expires_at: NOW + 3, ..known.clone() });
    assert!(shared.apply(vec![Change::Added(entry("more", NOW + 2)), later]).await.is_err());
    assert!(shared.0.entries().contains(&Revocation { expires_at: NOW + 3, ..known }));
}

#[tokio::test]
async fn a_snapshot_has_what_has_not_expired() {
    let shared = shared(10_000);
    let entries = (0..9_000_u64).map(|number| entry(&number.to_string(), NOW + number % 2)).collect();
    shared.add(entries).await.unwrap();
    shared.list().replace(Source::File, vec![entry("file", u64::MAX)]).unwrap();
    assert_eq!(shared.snapshot().await.unwrap().len(), 4_500);
}

/// What is known and what is on disk is the same after every change.
#[tokio::test]
async fn a_restart_knows_what_was_known() {
    let folder = std::env::temp_dir().join(format!("cognigate-shared-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("state");
    let (state, _) = StateFile::open(&path, NOW).unwrap();
    let metrics = RevocationMetrics::register(&Registry::new()).unwrap();
    let list = Arc::new(RevocationList::new(3));
    let shared =
        SharedRevocations::new(Arc::clone(&list), Some(state), Vec::new(), Arc::new(FixedClock::at(NOW)), metrics);
    shared.add(vec![entry("a", NOW + 9), entry("b", NOW + 9)]).await.unwrap();
    shared.remove(subject("a")).await.unwrap();
    shared.apply(vec![added("c", 1), removed("d", 1)]).await.unwrap();
    // What does not fit is not written down either.
    assert!(shared.apply(vec![added("e", 1), added("f", 1)]).await.is_err());
    let mut known = told(&shared).await;
    drop(shared);
    let (state, mut found) = StateFile::open(&path, NOW).unwrap();
    for changes in [&mut known, &mut found] {
        changes.sort_by(|one, other| one.subject().cmp(other.subject()));
    }
    assert_eq!(known, found);
    assert_eq!(found.len(), 5);
    drop(state);
    std::fs::remove_dir_all(folder).unwrap();
}
