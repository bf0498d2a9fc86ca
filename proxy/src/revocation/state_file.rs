//! The revocations that a restart must not forget, in a file.
//!
//! ```text
//! cognigate revocations 1
//! +{"origin_jti":"3c4d...","expires_at":1767312000}
//! -{"origin_jti":"3c4d..."}
//! =
//! ```
//!
//! - The last line says that all was known that is shared: a process that does not know that must not take the list for whole.
//! - A change is appended, and counts once the disk has it. A line that a crash left half written is dropped.
//! - The file is rewritten when the process starts and when it has grown to twice what is alive: beside itself, then renamed.
//! - Whatever else is wrong with it is an error at start. A list that was half forgotten would let in who was sent away.
//! - Only one process at a time may have it, and a file that every user may write is not believed.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use cognigate_auth::{
    clock::UnixSeconds,
    revocation::{Revocation, Subject, SubjectKind},
};
use thiserror::Error;

use super::{
    entry::EntryText,
    shared::{Change, is_alive},
};
use crate::config::revocations::RevocationEntry;

/// The first line: what this is, and in which version.
const HEADER: &str = "cognigate revocations 1";

/// The line that says that nothing is missing.
const WHOLE: &[u8] = b"=\n";

/// The longest line, in bytes. The longest subject takes less, however it is escaped.
const MAX_LINE_BYTES: u64 = 4096;

/// Lines below which nothing is gained by a rewrite.
const SMALL: usize = 1024;

/// The mode of the file: for the user that the process runs as, and nobody else.
const MODE: u32 = 0o600;

/// The mode bit of files that every user of the machine may write.
const WRITABLE_BY_OTHERS: u32 = 0o002;

/// The file, open and ours.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    file: File,
    /// Where the last change that counts ends, in bytes.
    length: u64,
    /// Whether something may be behind that.
    is_torn: bool,
    lines: usize,
    lines_when_rewritten: usize,
    /// Whether it was said that nothing is missing.
    is_whole: bool,
}

/// Why the file cannot be used.
#[derive(Debug, Error)]
#[error("revocations cannot be kept in {}", .path.display())]
pub struct StateFileError {
    path: PathBuf,
    #[source]
    fault: StateFault,
}

/// What is wrong with it.
#[derive(Debug, Error)]
pub enum StateFault {
    /// Another process has it.
    #[error("another process has the file: each needs its own")]
    InUse,
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line that was not written by this program.
    #[error(
        "the file is damaged in line {line}, so revocations may be missing (to go on without what is in it, remove it)"
    )]
    Line {
        /// The line, from 1.
        line: usize,
    },
    /// Not a file.
    #[error("it is not a file")]
    NotAFile,
    /// A file that anybody may have written.
    #[error("every user of this machine may write the file: take that permission away (chmod o-w)")]
    WritableByOthers,
}

impl StateFile {
    /// Opens the file, or makes it. Returns what it has that has not expired, in no order.
    ///
    /// # Errors
    ///
    /// [`StateFileError`].
    pub fn open(path: &Path, now: UnixSeconds) -> Result<(Self, Vec<Revocation>), StateFileError> {
        Self::try_open(path, now).map_err(|fault| StateFileError { path: path.to_owned(), fault })
    }

    fn try_open(path: &Path, now: UnixSeconds) -> Result<(Self, Vec<Revocation>), StateFault> {
        let old = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let (mut entries, mut is_whole) = (Vec::new(), false);
        if let Some(old) = &old {
            claim(old, path)?;
            (entries, is_whole) = read(BufReader::new(old))?;
            entries.retain(|entry| is_alive(entry, now));
        }
        // The old file stays locked until the new one has its place.
        let (file, length) = write_whole(path, &entries, is_whole)?;
        let (path, lines) = (path.to_owned(), entries.len());
        Ok((Self { path, file, length, is_torn: false, lines, lines_when_rewritten: lines, is_whole }, entries))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes changes down: all of them or none.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut text = Vec::new();
        for change in changes {
            write_line(&mut text, change)?;
        }
        self.append_text(&text)?;
        self.lines = self.lines.saturating_add(changes.len());
        Ok(())
    }

    /// Writes down that nothing is missing, if that is news.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn note_whole(&mut self) -> io::Result<()> {
        if !self.is_whole {
            self.append_text(WHOLE)?;
            self.is_whole = true;
        }
        Ok(())
    }

    /// Whether it was said that nothing is missing.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn append_text(&mut self, text: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.length)?;
        }
        self.is_torn = true;
        let written = self.file.write_all(text).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Tried again before the next change is written.
            self.is_torn = self.file.set_len(self.length).is_err();
            return written;
        }
        self.is_torn = false;
        self.length = self.length.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Whether most of it may be dead.
    pub(super) const fn is_bloated(&self) -> bool {
        self.lines > self.lines_when_rewritten.saturating_mul(2).saturating_add(SMALL)
    }

    /// Has these entries in it and nothing else.
    ///
    /// # Errors
    ///
    /// The system's. The file is as it was then.
    pub(super) fn rewrite(&mut self, entries: &[Revocation]) -> io::Result<()> {
        let is_whole = self.is_whole;
        let (file, length) = write_whole(&self.path, entries, is_whole)?;
        let (path, lines) = (std::mem::take(&mut self.path), entries.len());
        *self = Self { path, file, length, is_torn: false, lines, lines_when_rewritten: lines, is_whole };
        Ok(())
    }
}

/// Makes sure that the file is one, that it is nobody else's, and that it is still the one that the path leads to.
fn claim(file: &File, path: &Path) -> Result<(), StateFault> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(StateFault::NotAFile);
    }
    if metadata.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(StateFault::WritableByOthers);
    }
    lock(file)?;
    match is_at(file, path)? {
        true => Ok(()),
        false => Err(StateFault::InUse),
    }
}

/// Whether the path leads to this very file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (own, found) = (file.metadata()?, fs::metadata(path)?);
    Ok((own.dev(), own.ino()) == (found.dev(), found.ino()))
}

fn lock(file: &File) -> Result<(), StateFault> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => StateFault::InUse,
        TryLockError::Error(error) => error.into(),
    })
}

/// Writes a whole file in the place of the one that is there. The new one is locked before anybody can find it.
fn write_whole(path: &Path, entries: &[Revocation], is_whole: bool) -> io::Result<(File, u64)> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = OpenOptions::new().append(true).create_new(true).mode(MODE).open(&fresh)?;
    file.try_lock().map_err(io::Error::from)?;
    let mut out = BufWriter::new(&file);
    writeln!(out, "{HEADER}")?;
    for entry in entries {
        write_addition(&mut out, entry)?;
    }
    if is_whole {
        out.write_all(WHOLE)?;
    }
    out.flush()?;
    drop(out);
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    if !is_at(&file, path)? {
        return Err(io::Error::other("another process has put its own in the place of the file"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn write_line(out: &mut impl Write, change: &Change) -> io::Result<()> {
    match change {
        Change::Added(entry) => write_addition(out, entry),
        Change::Removed(subject) => {
            out.write_all(b"-")?;
            serde_json::to_writer(&mut *out, &EntryText::of_subject(subject))?;
            out.write_all(b"\n")
        }
    }
}

fn write_addition(out: &mut impl Write, entry: &Revocation) -> io::Result<()> {
    out.write_all(b"+")?;
    serde_json::to_writer(&mut *out, &EntryText::of(entry))?;
    out.write_all(b"\n")
}

/// Every entry that was added and not removed after that, and whether it was said that nothing is missing.
fn read(mut text: impl BufRead) -> Result<(Vec<Revocation>, bool), StateFault> {
    let mut entries: HashMap<Subject, Revocation> = HashMap::new();
    let (mut bytes, mut is_whole) = (Vec::new(), false);
    for number in 1.. {
        bytes.clear();
        text.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
        let damaged = StateFault::Line { line: number };
        let line = match bytes.split_last() {
            Some((b'\n', line)) => line,
            // The rest of a change that nobody was told of. The header and what follows it were in the file from its first
            // moment.
            _ if number > 1 && u64::try_from(bytes.len()).is_ok_and(|length| length < MAX_LINE_BYTES) => break,
            _ => return Err(damaged),
        };
        let is_understood = match number {
            1 => line == HEADER.as_bytes(),
            _ if line == b"=" => {
                is_whole = true;
                true
            }
            _ => apply_line(line, &mut entries).is_some(),
        };
        if !is_understood {
            return Err(damaged);
        }
    }
    Ok((entries.into_values().collect(), is_whole))
}

fn apply_line(line: &[u8], entries: &mut HashMap<Subject, Revocation>) -> Option<()> {
    let (sign, text) = line.split_first()?;
    let RevocationEntry { subject, issued_before, expires_at } = serde_json::from_slice(text).ok()?;
    match sign {
        b'+' => {
            let is_complete = (subject.kind() == SubjectKind::Sub) == issued_before.is_some();
            let expires_at = expires_at.filter(|_| is_complete)?;
            let fresh = Revocation { subject: subject.clone(), issued_before, expires_at };
            let entry = entries.entry(subject).or_insert_with(|| fresh.clone());
            entry.issued_before = entry.issued_before.max(fresh.issued_before);
            entry.expires_at = entry.expires_at.max(fresh.expires_at);
        }
        b'-' => {
            entries.remove(&subject);
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        Change::Added(Revocation { subject: subject(text), issued_before: None, expires_at })
    }

    /// What a process that starts now finds: ids and when they expire.
    fn found(path: &Path) -> Vec<(String, UnixSeconds)> {
        let (_, entries) = StateFile::open(path, NOW).unwrap();
        let mut found: Vec<_> =
            entries.into_iter().map(|entry| (entry.subject.to_string(), entry.expires_at)).collect();
        found.sort();
        found
    }

    #[test]
    fn what_was_appended_is_there_after_a_restart() {
        let scratch = Scratch::new("restart");
        let (mut state, entries) = StateFile::open(&scratch.path(), NOW).unwrap();
        assert_eq!(entries, []);
        state.append(&[added("a", NOW + 1), added("b", NOW + 5), added("c", NOW)]).unwrap();
        state.append(&[added("b", NOW + 2), Change::Removed(subject("a")), added("d", u64::MAX)]).unwrap();
        drop(state);
        assert_eq!(found(&scratch.path()), [("b".to_owned(), NOW + 5), ("d".to_owned(), u64::MAX)]);
        assert_eq!(scratch.text().lines().count(), 3, "rewritten at start");
        assert_eq!(fs::metadata(scratch.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn every_kind_of_entry_is_kept_as_it_is() {
        let scratch = Scratch::new("kinds");
        let revocation = |kind, text, issued_before| Revocation {
            subject: Subject::new(kind, text).unwrap(),
            issued_before,
            expires_at: NOW + 1,
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
            found.sort_by_key(|entry| entry.subject.kind());
            assert_eq!(found, entries);
        }
    }

    #[test]
    fn what_a_crash_left_at_the_end_is_dropped() {
        let scratch = Scratch::new("torn");
        let whole = format!("{HEADER}\n+{{\"jti\":\"a\",\"expires_at\":{}}}\n", NOW + 1);
        for torn in ["", "+", "+{\"jti\":\"b\",\"expi", "-{\"jti\":\"a\"}", "\0\0\0\0"] {
            scratch.write(&format!("{whole}{torn}"));
            assert_eq!(found(&scratch.path()), [("a".to_owned(), NOW + 1)], "{torn:?}");
            assert_eq!(scratch.text(), whole);
        }
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_alone() {
        let scratch = Scratch::new("damaged");
        let good = "+{\"jti\":\"a\",\"expires_at\":1767312000}";
        for (text, line) in [
            (String::new(), 1),
            (HEADER.to_owned(), 1),
            ("root:x:0:0\n".to_owned(), 1),
            (format!("{HEADER}\n{good}\n\n{good}\n"), 3),
            (format!("{HEADER}\n+{{}}\n"), 2),
            (format!("{HEADER}\n+{{\"jti\":\"a\"}}\n"), 2),
            (format!("{HEADER}\n+{{\"sub\":\"a\",\"expires_at\":1767312000}}\n"), 2),
            (format!("{HEADER}\n*{{\"jti\":\"a\",\"expires_at\":1767312000}}\n"), 2),
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
        let round = [added("a", NOW + 1), Change::Removed(subject("a"))];
        let mut rounds = 0;
        while !state.is_bloated() {
            state.append(&round).unwrap();
            rounds += 1;
        }
        assert_eq!(rounds, SMALL / 2 + 1);
        let kept = Revocation { subject: subject("b"), issued_before: None, expires_at: NOW + 1 };
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
}
