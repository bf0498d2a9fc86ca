//! What a restart finds, after whatever has happened to the file.

use cognigate_auth::revocation::{MAX_TOKEN_LIFETIME_SECONDS, Revocation, Subject, SubjectKind};
use proptest::prelude::*;

use super::*;
use crate::revocation::change::{Removal, tests::any_change};

const NOW: UnixSeconds = 1_767_225_600;

/// A file of this test's own, which is removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("cognigate-state-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("revocations")
    }

    fn write(&self, text: &str) -> PathBuf {
        fs::write(self.path(), text).unwrap();
        fs::set_permissions(self.path(), fs::Permissions::from_mode(MODE)).unwrap();
        self.path()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn subject(text: &str) -> Subject {
    Subject::new(SubjectKind::Jti, text).unwrap()
}

fn added(text: &str, expires_at: UnixSeconds) -> Change {
    Change::Added(Revocation { subject: subject(text), issued_before: None, expires_at, made_at: 5 })
}

fn removed(text: &str, made_at: u64) -> Change {
    Change::Removed(Removal { subject: subject(text), made_at, until: NOW + 1 })
}

/// What a process that starts now finds: ids and when they expire.
fn found(path: &Path) -> Vec<(String, UnixSeconds)> {
    let (_, changes) = StateFile::open(path, NOW).unwrap();
    let added = changes.into_iter().filter(|change| matches!(change, Change::Added(_)));
    let mut found: Vec<_> = added.map(|change| (change.subject().to_string(), change.until())).collect();
    found.sort();
    found
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let scratch = Scratch::new("restart");
    let (mut state, changes) = StateFile::open(&scratch.path(), NOW).unwrap();
    assert_eq!(changes, []);
    state.append(&[added("a", NOW + 1), added("b", NOW + 5), added("c", NOW)]).unwrap();
    state.append(&[added("b", NOW + 2), removed("a", 6), added("d", u64::MAX)]).unwrap();
    drop(state);
    assert_eq!(found(&scratch.path()), [("b".to_owned(), NOW + 5), ("d".to_owned(), u64::MAX)]);
    assert_eq!(scratch.text().lines().count(), 4, "rewritten at start, with what was removed");
    assert_eq!(fs::metadata(scratch.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn every_kind_of_entry_is_kept_as_it_is() {
    let scratch = Scratch::new("kinds");
    let revocation = |kind, text, issued_before| Revocation {
        subject: Subject::new(kind, text).unwrap(),
        issued_before,
        expires_at: NOW + 1,
        made_at: 7,
    };
    let entries = [
        revocation(SubjectKind::Jti, "\" \\ é", None),
        revocation(SubjectKind::OriginJti, "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", None),
        revocation(SubjectKind::Sub, &"\"".repeat(256), Some(7)),
    ];
    let (mut state, _) = StateFile::open(&scratch.path(), NOW).unwrap();
    state.append(&entries.clone().map(Change::Added)).unwrap();
    drop(state);
    for _ in 0..2 {
        let (_, mut found) = StateFile::open(&scratch.path(), NOW).unwrap();
        found.sort_by_key(|change| change.subject().kind());
        assert_eq!(found, entries.clone().map(Change::Added));
    }
}

#[test]
fn what_a_crash_left_at_the_end_is_dropped() {
    let scratch = Scratch::new("torn");
    let whole = format!("{HEADER}\n+{{\"jti\":\"a\",\"made_at\":5,\"until\":{}}}\n", NOW + 1);
    for torn in ["", "+", "+{\"jti\":\"b\",\"expi", "-{\"jti\":\"a\"}", "\0\0\0\0"] {
        scratch.write(&format!("{whole}{torn}"));
        assert_eq!(found(&scratch.path()), [("a".to_owned(), NOW + 1)], "{torn:?}");
        assert_eq!(scratch.text(), whole);
    }
}

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let scratch = Scratch::new("damaged");
    let good = "+{\"jti\":\"a\",\"made_at\":5,\"until\":1767312000}";
    for (text, line) in [
        (String::new(), 1),
        (HEADER.to_owned(), 1),
        ("root:x:0:0\n".to_owned(), 1),
        (format!("{HEADER}\n{good}\n\n{good}\n"), 3),
        (format!("{HEADER}\n+{{}}\n"), 2),
        (format!("{HEADER}\n+{{\"jti\":\"a\",\"made_at\":5}}\n"), 2),
        (format!("{HEADER}\n-{{\"jti\":\"a\",\"until\":1767312000}}\n"), 2),
        (format!("{HEADER}\n+{{\"jti\":\"a\",\"sub\":\"b\",\"made_at\":5,\"until\":1767312000}}\n"), 2),
        (format!("{HEADER}\n=\n"), 2),
        (format!("{HEADER}\n+{{\"sub\":\"a\",\"made_at\":5,\"until\":1767312000}}\n"), 2),
        (format!("{HEADER}\n*{{\"jti\":\"a\",\"made_at\":5,\"until\":1767312000}}\n"), 2),
        (format!("{HEADER}\n{good}\n+{{\"jti\":\"b\",\"exp\0\0\n"), 3),
        (format!("{HEADER}\n{}", "x".repeat(5000)), 2),
    ] {
        scratch.write(&text);
        let error = StateFile::open(&scratch.path(), NOW).unwrap_err();
        assert!(matches!(error.fault, StateFault::Line { line: found } if found == line), "{text:?}: {error}");
        assert_eq!(scratch.text(), text);
    }
}

#[test]
fn one_process_has_it_and_not_everybody_may_write_it() {
    let scratch = Scratch::new("claim");
    let (state, _) = StateFile::open(&scratch.path(), NOW).unwrap();
    let error = StateFile::open(&scratch.path(), NOW).unwrap_err();
    assert!(matches!(error.fault, StateFault::InUse), "{error}");
    drop(state);
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o602)).unwrap();
    let error = StateFile::open(&scratch.path(), NOW).unwrap_err();
    assert!(matches!(error.fault, StateFault::WritableByOthers), "{error}");
    let error = StateFile::open(&scratch.0, NOW).unwrap_err();
    assert!(matches!(error.fault, StateFault::Io(_)), "{error}");
    let error = StateFile::open(&scratch.0.join("absent/file"), NOW).unwrap_err();
    assert!(matches!(error.fault, StateFault::Io(_)), "{error}");
}

#[test]
fn a_file_that_is_mostly_dead_is_rewritten() {
    let scratch = Scratch::new("bloated");
    let (mut state, _) = StateFile::open(&scratch.path(), NOW).unwrap();
    let round = [added("a", NOW + 1), removed("a", 6)];
    let mut rounds = 0;
    while !state.is_bloated() {
        state.append(&round).unwrap();
        rounds += 1;
    }
    assert_eq!(rounds, SMALL / 2 + 1);
    let kept = added("b", NOW + 1);
    state.rewrite(std::slice::from_ref(&kept)).unwrap();
    assert!(!state.is_bloated());
    state.append(&[added("c", NOW + 1)]).unwrap();
    drop(state);
    assert_eq!(found(&scratch.path()), [("b".to_owned(), NOW + 1), ("c".to_owned(), NOW + 1)]);
    assert!(!scratch.0.join("revocations.new").exists());
}

#[test]
fn what_could_not_be_written_is_not_half_there() {
    let scratch = Scratch::new("full");
    let (mut state, _) = StateFile::open(&scratch.path(), NOW).unwrap();
    state.append(&[added("a", NOW + 1)]).unwrap();
    // What a disk that is full leaves of a change.
    state.is_torn = true;
    state.file.write_all(b"+{\"jti\":\"lost\",").unwrap();
    state.append(&[added("b", NOW + 1)]).unwrap();
    drop(state);
    assert_eq!(found(&scratch.path()), [("a".to_owned(), NOW + 1), ("b".to_owned(), NOW + 1)]);
}

#[test]
fn what_was_removed_is_remembered_and_an_addition_that_is_later_undoes_that() {
    let scratch = Scratch::new("removed");
    let (mut state, _) = StateFile::open(&scratch.path(), NOW).unwrap();
    state.append(&[added("a", NOW + 1), removed("a", 6), removed("b", 6), removed("c", 4)]).unwrap();
    // Made before it was removed, heard later.
    state.append(&[added("b", NOW + 1), added("c", NOW + 1)]).unwrap();
    drop(state);
    for _ in 0..2 {
        let (_, mut found) = StateFile::open(&scratch.path(), NOW).unwrap();
        found.sort_by(|one, other| one.subject().cmp(other.subject()));
        assert_eq!(found, [removed("a", 6), removed("b", 6), added("c", NOW + 1)]);
    }
    let (_, found) = StateFile::open(&scratch.path(), NOW + 1).unwrap();
    assert_eq!(found, [], "until nobody needs to know");
}

#[test]
fn it_is_whole_for_as_long_and_for_whom_it_was_said() {
    let scratch = Scratch::new("whole");
    let (mut state, _) = StateFile::open(&scratch.path(), NOW).unwrap();
    assert!(!state.is_whole("here", NOW));
    state.note_whole("here", NOW).unwrap();
    state.note_whole("here", NOW + WHOLE_AGAIN - 1).unwrap();
    assert_eq!(scratch.text().lines().count(), 2, "once a minute");
    for _ in 0..2 {
        for (of, at, is_whole) in [
            ("here", NOW, true),
            ("here", NOW + MAX_TOKEN_LIFETIME_SECONDS - 1, true),
            ("here", NOW + MAX_TOKEN_LIFETIME_SECONDS, false),
            ("here", NOW - MAX_TOKEN_LIFETIME_SECONDS, false),
            ("there", NOW, false),
        ] {
            assert_eq!(state.is_whole(of, at), is_whole, "{of} {at}");
        }
        drop(state);
        (state, _) = StateFile::open(&scratch.path(), NOW).unwrap();
    }
    state.note_whole("here", NOW + WHOLE_AGAIN).unwrap();
    assert!(state.is_whole("here", NOW + MAX_TOKEN_LIFETIME_SECONDS), "said again");
    state.note_whole("there", NOW).unwrap();
    assert!(state.is_whole("there", NOW) && !state.is_whole("here", NOW));
}

#[test]
fn a_rewrite_that_fails_leaves_the_file_that_is_found() {
    let scratch = Scratch::new("rewrite");
    let (mut state, _) = StateFile::open(&scratch.path(), NOW).unwrap();
    state.append(&[added("a", NOW + 1)]).unwrap();
    // Before the new file has its place: something that is no file has its name.
    let name = scratch.0.join("revocations.new");
    fs::create_dir(&name).unwrap();
    state.rewrite(&[added("b", NOW + 1)]).unwrap_err();
    fs::remove_dir(&name).unwrap();
    state.append(&[added("c", NOW + 1)]).unwrap();
    drop(state);
    assert_eq!(found(&scratch.path()), [("a".to_owned(), NOW + 1), ("c".to_owned(), NOW + 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(change in any_change()) {
        prop_assert_eq!(round_trip(&change), Some(change));
    }
}
