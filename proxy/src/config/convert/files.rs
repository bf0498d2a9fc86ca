//! The files that a configuration names: who reads or writes which.
//!
//! A file that is written has one key. Files that are only read may have several: one certificate serves two listeners.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
};

use crate::config::{file::Scalar, finding::At, rule::BrokenRule};

/// The files that were named so far, by their plain paths.
pub(super) struct NamedFiles {
    /// Where paths that are relative begin.
    folder: PathBuf,
    named: HashMap<PathBuf, Owner>,
}

/// The key that names a file, the first of several.
struct Owner {
    key: String,
    writes: bool,
}

impl NamedFiles {
    /// Those of a configuration, which is one itself.
    pub(super) fn of(configuration: &Path) -> Self {
        let owner = Owner { key: "this configuration".to_owned(), writes: false };
        let folder = configuration.parent().unwrap_or(configuration).to_owned();
        Self { folder, named: HashMap::from([(plain(configuration), owner)]) }
    }

    /// A file that is read.
    pub(super) fn read(&mut self, path: Scalar<String>, at: &At<'_>) -> Option<PathBuf> {
        self.name(path, false, at)
    }

    /// A file that is read, where there is one. The outer `None`: it is there, and is none.
    pub(super) fn read_where_given(&mut self, path: Option<Scalar<String>>, at: &At<'_>) -> Option<Option<PathBuf>> {
        super::where_given(path.map(|path| self.read(path, at)))
    }

    /// A file that is written.
    pub(super) fn write(&mut self, path: Scalar<String>, at: &At<'_>) -> Option<PathBuf> {
        self.name(path, true, at)
    }

    /// A file that is written, where there is one. The outer `None`: it is there, and is none.
    pub(super) fn write_where_given(&mut self, path: Option<Scalar<String>>, at: &At<'_>) -> Option<Option<PathBuf>> {
        super::where_given(path.map(|path| self.write(path, at)))
    }

    fn name(&mut self, Scalar(path): Scalar<String>, writes: bool, at: &At<'_>) -> Option<PathBuf> {
        if path.is_empty() || path.contains(char::is_control) {
            return at.refuse(BrokenRule::FilePath(path));
        }
        let path = self.folder.join(path);
        match self.named.get(&plain(&path)) {
            Some(owner) if writes || owner.writes => {
                at.report(BrokenRule::SameFile { file: path.clone(), other: owner.key.clone() });
            }
            Some(_) => {}
            None => {
                self.named.insert(plain(&path), Owner { key: at.to_string(), writes });
            }
        }
        Some(path)
    }
}

/// One of the spellings of a path: without `.` and `..`, and from the root where there is one. Asks no disk, so that links are
/// not seen through.
fn plain(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for component in whole.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(_) | Component::Prefix(_) | Component::RootDir => plain.push(component),
        }
    }
    plain
}
