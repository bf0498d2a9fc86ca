//! The access log: what a line tells, that there is one for every request, and that it holds up nobody.

mod files;
mod lines;

use std::{fs, path::PathBuf};

use e2e::{process::Directory, wait::eventually};
use serde_json::{Map, Value};

/// A log in a directory of its own.
struct Log {
    directory: Directory,
    path: PathBuf,
}

impl Log {
    fn new() -> Self {
        let directory = Directory::new();
        let path = directory.path("access.log");
        Self { directory, path }
    }

    /// The section of the configuration.
    fn section(&self, format: &str) -> String {
        format!("{{ path: {:?}, format: {format} }}", self.path)
    }

    /// All of it so far.
    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap_or_default()
    }

    /// The first lines, as soon as there are so many.
    #[track_caller]
    fn await_lines(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} lines"), || {
            let lines: Vec<_> = self.text().lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// The line of the one request with this path.
    #[track_caller]
    fn of(&self, path: &str) -> Map<String, Value> {
        eventually(path, || {
            let text = self.text();
            let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
            let lines = complete.lines().map(|line| serde_json::from_str::<Map<_, _>>(line).unwrap());
            let mut found: Vec<_> = lines.filter(|line| line["path"] == path).collect();
            assert!(found.len() <= 1, "{found:?}");
            found.pop()
        })
    }
}
