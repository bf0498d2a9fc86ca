//! Where lines go in the end: a file, a FIFO, the standard output.
//!
//! - A file is appended to, so that several processes may write to it, and created for its owner and group (0640).
//! - Whatever else there is may have other writers and slow readers: it gets whole lines in pieces that arrive whole
//!   (`PIPE_BUF`, pipe(7)), each when there is room for it.
//! - A line that was begun is finished, before any other, also after an error, and where the same file is opened anew. What
//!   somebody else left unfinished in a file is ended before the first line.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

use nix::fcntl::OFlag;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::config::model::LogTarget;

/// What a pipe takes whole, in bytes: Linux's `PIPE_BUF`.
const PIECE: usize = 4096;

/// How long the wait for a slow reader is before it is asked whether it is worth it.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How many such waits in a row end a log that nobody writes to any more: a second.
const MAX_GLANCES: u32 = 10;

/// An open log.
#[derive(Debug)]
pub(super) struct Target {
    at: LogTarget,
    file: File,
    is_regular: bool,
    /// The rest of a line that was begun.
    torn: Vec<u8>,
    /// Whether the file ends in the middle of a line that is nobody's any more.
    is_unfinished: bool,
}

/// What became of lines.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// How many are there.
    pub(super) written: u64,
    /// How many are lost.
    pub(super) failed: u64,
    /// Why.
    pub(super) fault: Option<io::Error>,
}

impl Target {
    /// Opens it. Never waits for a reader.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn open(at: &LogTarget) -> io::Result<Self> {
        let file = match at {
            LogTarget::File(path) => open(path)?,
            LogTarget::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
        };
        let is_regular = file.metadata()?.is_file();
        let is_unfinished = is_regular && is_unfinished(at);
        Ok(Self { at: at.clone(), file, is_regular, torn: Vec::new(), is_unfinished })
    }

    /// Opens it anew. Says how many lines were begun and are lost with the one before: none, if it is the same file.
    ///
    /// # Errors
    ///
    /// The system's: the one before stays.
    pub(super) fn reopen(&mut self) -> (u64, io::Result<()>) {
        match Self::open(&self.at) {
            Ok(mut fresh) => {
                if !self.torn.is_empty() && is_same(&self.file, &fresh.file) {
                    fresh.torn = std::mem::take(&mut self.torn);
                    fresh.is_unfinished = false;
                }
                let torn = self.abandon();
                *self = fresh;
                (torn, Ok(()))
            }
            Err(error) => (0, Err(error)),
        }
    }

    /// Writes whole lines. As long as nobody reads them it waits, unless they are the last.
    pub(super) fn write(&mut self, lines: &[u8], are_last: impl Fn() -> bool) -> Written {
        let mut outcome = Written::default();
        if self.is_unfinished {
            let (sent, fault) = self.deliver(b"\n", &are_last);
            self.is_unfinished = sent == 0;
            if fault.is_some() {
                return Written { failed: count(lines), fault, ..outcome };
            }
        }
        let torn = std::mem::take(&mut self.torn);
        let (sent, fault) = self.deliver(&torn, &are_last);
        if fault.is_some() {
            self.torn = torn.get(sent..).unwrap_or_default().to_vec();
            return Written { failed: count(lines), fault, ..outcome };
        }
        outcome.written = count(&torn);
        let (sent, fault) = self.deliver(lines, &are_last);
        let (there, left) = lines.split_at_checked(sent).unwrap_or((lines, &[]));
        let is_torn = there.last().is_some_and(|byte| *byte != b'\n');
        let rest = if is_torn { end_of_line(left) } else { 0 };
        let (torn, lost) = left.split_at_checked(rest).unwrap_or((left, &[]));
        self.torn = torn.to_vec();
        outcome.written += count(there);
        Written { failed: count(lost), fault, ..outcome }
    }

    /// Forgets a line that was begun. Says how many that are.
    pub(super) fn abandon(&mut self) -> u64 {
        count(&std::mem::take(&mut self.torn))
    }

    /// How many bytes went out, and why not all.
    fn deliver(&mut self, bytes: &[u8], are_last: &impl Fn() -> bool) -> (usize, Option<io::Error>) {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.deliver_some(rest, are_last) {
                Ok(0) => return (sent, Some(ErrorKind::WriteZero.into())),
                Ok(length) => sent += length,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => return (sent, Some(error)),
            }
        }
        (sent, None)
    }

    fn deliver_some(&mut self, rest: &[u8], are_last: &impl Fn() -> bool) -> io::Result<usize> {
        if self.is_regular {
            return self.file.write(rest);
        }
        self.await_room(are_last)?;
        self.file.write(first_lines(rest))
    }

    /// Waits until there is room for a piece.
    fn await_room(&self, are_last: &impl Fn() -> bool) -> io::Result<()> {
        let mut glances = 0;
        loop {
            let mut ready = [PollFd::new(&self.file, PollFlags::OUT)];
            match poll(&mut ready, Some(&GLANCE)) {
                Ok(0) if are_last() => glances += 1,
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            if glances >= MAX_GLANCES {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(out)
    }
}

fn open(path: &Path) -> io::Result<File> {
    // For writing alone it could only be opened while somebody reads (fifo(7)).
    let is_fifo = fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    let mut options = OpenOptions::new();
    options.append(true).read(is_fifo).create(!is_fifo).mode(0o640).custom_flags(OFlag::O_NONBLOCK.bits());
    options.open(path)
}

/// Whether a file has bytes and the last of them does not end a line. Who may not read it does not know.
fn is_unfinished(at: &LogTarget) -> bool {
    let LogTarget::File(path) = at else { return false };
    let last = || {
        let file = File::open(path)?;
        let mut last = [b'\n'];
        if let Some(end) = file.metadata()?.len().checked_sub(1) {
            file.read_exact_at(&mut last, end)?;
        }
        Ok::<_, io::Error>(last)
    };
    last().is_ok_and(|last| last != [b'\n'])
}

/// Whether two are open on one file.
fn is_same(one: &File, other: &File) -> bool {
    let key = |file: &File| file.metadata().map(|found| (found.dev(), found.ino())).ok();
    key(one).is_some_and(|one| Some(one) == key(other))
}

/// The lines that arrive whole; a line that is too long for that, or what is left of one.
fn first_lines(lines: &[u8]) -> &[u8] {
    let whole = lines.get(..PIECE).unwrap_or(lines).iter().rposition(|byte| *byte == b'\n');
    let end = whole.map_or_else(|| end_of_line(lines), |end| end + 1);
    lines.get(..end).unwrap_or(lines)
}

/// Where the first line ends.
fn end_of_line(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
}

fn count(lines: &[u8]) -> u64 {
    let ends = lines.iter().filter(|byte| **byte == b'\n').count();
    u64::try_from(ends).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::fd::OwnedFd, path::PathBuf, thread};

    use super::*;

    fn pipe() -> (Target, io::PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let file = File::from(OwnedFd::from(writer));
        (Target { at: LogTarget::Stdout, file, is_regular: false, torn: Vec::new(), is_unfinished: false }, reader)
    }

    #[test]
    fn a_line_that_was_begun_is_finished_before_any_other() {
        let (mut target, reader) = pipe();
        // More than a pipe holds, and it breaks before the end.
        let long = ["x".repeat(200_000), "\n".to_owned()].concat();
        let lines = ["first\n", &long, "lost\nlost too\n"].concat();
        let breaking = thread::spawn(move || {
            let mut reader = reader;
            reader.read_exact(&mut [0; 100]).unwrap();
        });
        let outcome = target.write(lines.as_bytes(), || false);
        breaking.join().unwrap();
        assert_eq!((outcome.written, outcome.failed), (1, 2));
        assert_eq!(outcome.fault.unwrap().kind(), ErrorKind::BrokenPipe);
        let rest = target.torn.clone();
        assert!(rest.len() < long.len() && rest.ends_with(b"x\n"), "{}", rest.len());

        // Still broken: nothing is counted twice.
        let outcome = target.write(b"lost\n", || false);
        assert_eq!((outcome.written, outcome.failed, &target.torn), (0, 1, &rest));

        let (fresh, mut reader) = pipe();
        target.file = fresh.file;
        let reading = thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text
        });
        let outcome = target.write(b"second\n", || false);
        assert_eq!((outcome.written, outcome.failed, target.torn.len()), (2, 0, 0));
        drop(target);
        assert_eq!(reading.join().unwrap(), [&rest[..], b"second\n"].concat());
    }

    /// A file with this in it, and what it is called.
    fn file_with(name: &str, text: &str) -> (LogTarget, PathBuf) {
        let path = std::env::temp_dir().join(format!("cognigate-target-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        (LogTarget::File(path.clone()), path)
    }

    #[test]
    fn a_line_that_was_begun_is_finished_also_where_the_same_file_is_opened_anew() {
        let (at, path) = file_with("torn", "first\nsec");
        let rotated = path.with_extension("1");
        let mut target = Target::open(&at).unwrap();
        // As a full disk leaves it.
        (target.torn, target.is_unfinished) = (b"ond\n".to_vec(), false);
        assert_eq!(target.reopen().0, 0);
        assert_eq!(target.write(b"third\n", || false).written, 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nsecond\nthird\n");

        target.torn = b"rest\n".to_vec();
        fs::rename(&path, &rotated).unwrap();
        assert_eq!(target.reopen().0, 1, "lost with the file that it was begun in");
        assert_eq!(target.write(b"fourth\n", || false).written, 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), "fourth\n");
        [path, rotated].iter().for_each(|path| fs::remove_file(path).unwrap());
    }

    #[test]
    fn what_somebody_left_unfinished_is_ended_first() {
        for (name, left, expected) in
            [("ended", "a\n", "a\nb\nc\n"), ("empty", "", "b\nc\n"), ("begun", "a", "a\nb\nc\n")]
        {
            let (at, path) = file_with(name, left);
            let mut target = Target::open(&at).unwrap();
            assert_eq!(target.write(b"b\n", || false).written, 1, "{name}");
            target.write(b"c\n", || false);
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{name}");
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_reader_that_never_comes_is_not_waited_for_in_the_end() {
        let (mut target, _reader) = pipe();
        let lines = "0123456789\n".repeat(10_000);
        let outcome = target.write(lines.as_bytes(), || true);
        assert_eq!(outcome.fault.unwrap().kind(), ErrorKind::TimedOut);
        assert_eq!(outcome.written + outcome.failed, 10_000);
        assert!(outcome.written > 0 && outcome.failed > 0);
    }

    #[test]
    fn pieces_are_whole_lines() {
        let short = "0123456789\n".repeat(1_000);
        assert_eq!(first_lines(short.as_bytes()).len(), PIECE / 11 * 11);
        let long = ["x".repeat(5_000), "\nshort\n".to_owned()].concat();
        assert_eq!(first_lines(long.as_bytes()).len(), 5_001);
        assert_eq!(first_lines(b"a\nb\n"), b"a\nb\n");
    }
}
