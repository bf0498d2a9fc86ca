//! The files of the workspace that are ours: sources, documents and configuration.
//!
//! Build output, installed packages and hidden directories (but those that hold CI files) are somebody else's.

use std::{fs, io, path::Path};

const HIDDEN_BUT_OURS: [&str; 3] = [".cargo", ".ci", ".github"];
const NOT_OURS: [&str; 2] = ["node_modules", "target"];
const OUR_EXTENSIONS: [&str; 5] = ["md", "rs", "toml", "yaml", "yml"];
const OUR_NAMES: [&str; 1] = ["Makefile"];

/// A file's path from the root of the workspace, with `/` on every system, and what is in it.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every file of ours, in the order of the paths.
pub(crate) fn files() -> io::Result<Vec<File>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(package.parent().unwrap_or(package), "", &mut files)?;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() && is_our_directory(&name) {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() && is_our_file(&name) {
            files.push(File { path, text: fs::read_to_string(entry.path())? });
        }
    }
    Ok(())
}

fn is_our_directory(name: &str) -> bool {
    HIDDEN_BUT_OURS.contains(&name) || !(name.starts_with('.') || NOT_OURS.contains(&name))
}

fn is_our_file(name: &str) -> bool {
    OUR_NAMES.contains(&name) || name.rsplit_once('.').is_some_and(|(_, extension)| OUR_EXTENSIONS.contains(&extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_output_and_hidden_directories_are_skipped() {
        for (name, ours) in [("src", true), (".ci", true), (".git", false), ("target", false), ("node_modules", false)]
        {
            assert_eq!(is_our_directory(name), ours, "{name}");
        }
    }

    #[test]
    fn sources_documents_and_configuration_are_read() {
        for (name, ours) in [("a.rs", true), ("A.md", true), ("Makefile", true), ("Cargo.lock", false), ("run", false)]
        {
            assert_eq!(is_our_file(name), ours, "{name}");
        }
    }
}
