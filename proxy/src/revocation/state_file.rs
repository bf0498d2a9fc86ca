//! The revocations that a restart must not forget, in a file.
//!
//! ```text
//! cognigate revocations 1
//! +{"origin_jti":"3c4d...","made_at":1767225600123,"until":1767312000}
//! -{"origin_jti":"3c4d...","made_at":1767225601456,"until":1767312601}
//! ={"of":"redis://127.0.0.1:6379/0 cognigate:revocations","at":1767225601}
//! ```
//!
//! - What holds is the [merge](super::change) of all changes. Removals are kept too, so that nobody brings back what was removed.
//! - The last line says that all was known then that is shared there: a process that does not know that, or has known it for
//!   too long, must not take the list for whole.
//! - A change is appended, and counts once the disk has it. A line that a crash left half written is dropped.
//! - The file is rewritten when the process starts and when it has grown to twice what is alive: beside itself, then renamed.
//! - Whatever else is wrong with it is an error at start. A list that was half forgotten would let in who was sent away.
//! - Only one process at a time may have it, and a file that every user may write is not believed.

mod line;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use cognigate_auth::clock::UnixSeconds;
use thiserror::Error;

use self::line::{Line, Whole};
use super::change::{self, Change};

/// The first line: what this is, and in which version.
const HEADER: &str = "cognigate revocations 1";

/// The time after which it is written down again that nothing is missing, in seconds.
const WHOLE_AGAIN: u64 = 60;

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
    /// When it was said that nothing is missing.
    whole: Option<Whole>,
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
    pub fn open(path: &Path, now: UnixSeconds) -> Result<(Self, Vec<Change>), StateFileError> {
        Self::try_open(path, now).map_err(|fault| StateFileError { path: path.to_owned(), fault })
    }

    /// Reads the file, which another process may have, and leaves it alone. Says too whether nothing may be missing of what is
    /// shared at `of`.
    ///
    /// # Errors
    ///
    /// [`StateFileError`].
    pub fn look(path: &Path, of: Option<&str>, now: UnixSeconds) -> Result<(Vec<Change>, bool), StateFileError> {
        Self::try_look(path, of, now).map_err(|fault| StateFileError { path: path.to_owned(), fault })
    }

    fn try_look(path: &Path, of: Option<&str>, now: UnixSeconds) -> Result<(Vec<Change>, bool), StateFault> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
            Err(error) => return Err(error.into()),
        };
        check(&file)?;
        let (mut changes, whole) = read(BufReader::new(file))?;
        changes.retain(|change| change.is_alive(now));
        Ok((changes, of.zip(whole).is_some_and(|(of, whole)| whole.covers(of, now))))
    }

    fn try_open(path: &Path, now: UnixSeconds) -> Result<(Self, Vec<Change>), StateFault> {
        let old = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let (mut changes, mut whole) = (Vec::new(), None);
        if let Some(old) = &old {
            claim(old, path)?;
            (changes, whole) = read(BufReader::new(old))?;
            changes.retain(|change| change.is_alive(now));
        }
        // The old file stays locked until the new one has its place.
        let fresh = Fresh::write(path, &changes, whole.as_ref())?;
        fresh.take_place(path)?;
        fresh.make_sure_of_place(path)?;
        Ok((Self::of(path.to_owned(), fresh, changes.len(), whole), changes))
    }

    fn of(path: PathBuf, Fresh { file, length, .. }: Fresh, lines: usize, whole: Option<Whole>) -> Self {
        Self { path, file, length, is_torn: false, lines, lines_when_rewritten: lines, whole }
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
    pub(super) fn append<'c>(&mut self, changes: impl IntoIterator<Item = &'c Change>) -> io::Result<()> {
        let (mut text, mut lines) = (Vec::new(), 0);
        for change in changes {
            line::write_change(&mut text, change)?;
            lines += 1;
        }
        self.append_text(&text)?;
        self.lines = self.lines.saturating_add(lines);
        Ok(())
    }

    /// Writes down that nothing is missing of what is shared there, if that is news: at most once a minute.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn note_whole(&mut self, of: &str, at: UnixSeconds) -> io::Result<()> {
        if self.whole.as_ref().is_some_and(|whole| *whole.of == *of && whole.at.abs_diff(at) < WHOLE_AGAIN) {
            return Ok(());
        }
        let (whole, mut text) = (Whole { of: of.into(), at }, Vec::new());
        line::write_whole(&mut text, &whole)?;
        self.append_text(&text)?;
        self.lines = self.lines.saturating_add(1);
        self.whole = Some(whole);
        Ok(())
    }

    /// Whether nothing may be missing of what is shared there that matters now: what was added since then may be missing.
    pub(super) fn is_whole(&self, of: &str, now: UnixSeconds) -> bool {
        self.whole.as_ref().is_some_and(|whole| whole.covers(of, now))
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

    /// Has these changes in it and nothing else.
    ///
    /// # Errors
    ///
    /// The system's. The file is as it was then, or as it is to be, but maybe not after the machine has crashed.
    pub(super) fn rewrite(&mut self, changes: &[Change]) -> io::Result<()> {
        let fresh = Fresh::write(&self.path, changes, self.whole.as_ref())?;
        fresh.take_place(&self.path)?;
        // Whatever comes now, nobody finds the old one any more.
        let is_in_place = fresh.make_sure_of_place(&self.path);
        let (path, whole) = (std::mem::take(&mut self.path), self.whole.take());
        *self = Self::of(path, fresh, changes.len(), whole);
        is_in_place
    }
}

/// A file that is to have the place of the one that is there, and is on disk already.
struct Fresh {
    file: File,
    length: u64,
    path: PathBuf,
    /// Opened before anything is changed, so that nothing is if that fails.
    folder: File,
}

impl Fresh {
    /// Writes a whole file beside the one that is there, locked before anybody can find it.
    fn write(path: &Path, changes: &[Change], whole: Option<&Whole>) -> io::Result<Self> {
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
        for change in changes {
            line::write_change(&mut out, change)?;
        }
        if let Some(whole) = whole {
            line::write_whole(&mut out, whole)?;
        }
        out.flush()?;
        drop(out);
        file.sync_all()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (length, folder) = (file.metadata()?.len(), File::open(folder)?);
        Ok(Self { file, length, path: fresh, folder })
    }

    /// All or nothing.
    fn take_place(&self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)
    }

    fn make_sure_of_place(&self, path: &Path) -> io::Result<()> {
        if !is_at(&self.file, path)? {
            return Err(io::Error::other("another process has put its own in the place of the file"));
        }
        self.folder.sync_all()
    }
}

/// Makes sure that the file is one that can be believed.
fn check(file: &File) -> Result<(), StateFault> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(StateFault::NotAFile);
    }
    if metadata.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(StateFault::WritableByOthers);
    }
    Ok(())
}

/// Makes sure that the file can be believed, that it is nobody else's, and that it is still the one that the path leads to.
fn claim(file: &File, path: &Path) -> Result<(), StateFault> {
    check(file)?;
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

/// What holds of all changes, and when it was said last that nothing is missing.
fn read(mut text: impl BufRead) -> Result<(Vec<Change>, Option<Whole>), StateFault> {
    let mut changes = Vec::new();
    let (mut bytes, mut whole) = (Vec::new(), None);
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
        match number {
            1 if line == HEADER.as_bytes() => {}
            1 => return Err(damaged),
            _ => match Line::read(line).ok_or(damaged)? {
                Line::Change(change) => changes.push(change),
                Line::Whole(said) => whole = Some(said),
            },
        }
    }
    Ok((change::fold(changes), whole))
}

/// A change as a restart finds it.
#[cfg(test)]
pub(super) fn round_trip(change: &Change) -> Option<Change> {
    let mut text = Vec::new();
    line::write_change(&mut text, change).ok()?;
    match Line::read(text.strip_suffix(b"\n")?)? {
        Line::Change(change) => Some(change),
        Line::Whole(_) => None,
    }
}

#[cfg(test)]
mod tests;
