//! The last keys of a user pool in a file, so that a restart while they cannot be fetched still has some.
//!
//! ```json
//! {"version":1,"keys":[{"jwks_uri":"https://...","fetched_at":1767312000,"document":{"keys":[...]}}]}
//! ```
//!
//! - Whoever can write the file can sign tokens, so it is believed only if it is a regular file of ours or of root that
//!   neither its group nor others may write.
//! - It is written whole beside its place and then renamed, for this user alone: after a crash there is the old file or the
//!   new one.
//! - Anything unexpected in it makes it unusable; nothing in it makes the process fail.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use cognigate_auth::keys::archive::{ArchiveError, ArchivedKeys, KeyArchive};
use nix::{libc, unistd::Uid};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

/// The largest file, in bytes: sixteen addresses with the longest documents that are fetched.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The version of the format.
const VERSION: u32 = 1;

/// The mode of the file: for the user that the process runs as, and nobody else.
const MODE: u32 = 0o600;

/// The mode bits of files that group or others may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The file of one pool.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    name: String,
}

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// Not what is written here.
    #[error("not a file of keys")]
    Format(#[source] serde_json::Error),
    /// The system says no.
    #[error("cannot be read or written")]
    Io(#[from] io::Error),
    /// A folder, a link, a pipe or a device.
    #[error("not a regular file")]
    NotAFile,
    /// Somebody else's file.
    #[error("belongs to user {0}, neither to this one nor to root")]
    Owner(u32),
    /// More than is ever written.
    #[error("larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// Another version wrote it.
    #[error("its format has version {0}, this is version {VERSION}")]
    Version(u32),
    /// A file that somebody else may have written.
    #[error("may be written by its group or by others (chmod go-w)")]
    WritableByOthers,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Content<'a> {
    version: u32,
    #[serde(borrow)]
    keys: Vec<Entry<'a>>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    jwks_uri: String,
    fetched_at: u64,
    #[serde(borrow)]
    document: &'a RawValue,
}

impl KeyFile {
    /// The file at this path, which need not exist.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), name: path.display().to_string() }
    }

    fn read(&self) -> Result<Vec<ArchivedKeys>, KeyFileError> {
        let Some(file) = open(&self.path)? else {
            return Ok(Vec::new());
        };
        check(&file)?;
        let mut text = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
        within_limit(&text)?;
        let Content { version, keys } = serde_json::from_slice(&text).map_err(KeyFileError::Format)?;
        match version {
            VERSION => Ok(keys.into_iter().map(Entry::into_archived).collect()),
            other => Err(KeyFileError::Version(other)),
        }
    }

    fn write(&self, keys: &[ArchivedKeys]) -> Result<(), KeyFileError> {
        let keys: Result<_, _> = keys.iter().map(Entry::of).collect();
        let content = Content { version: VERSION, keys: keys.map_err(KeyFileError::Format)? };
        let text = serde_json::to_vec(&content).map_err(KeyFileError::Format)?;
        within_limit(&text)?;
        let fresh = self.place_beside();
        let written = write_new(&fresh, &text).and_then(|()| fs::rename(&fresh, &self.path));
        if let Err(error) = written {
            // There may be nothing to remove.
            let _ = fs::remove_file(&fresh);
            return Err(error.into());
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(File::open(folder)?.sync_all()?)
    }

    /// A name in the same folder that nobody else has, nor can guess.
    fn place_beside(&self) -> PathBuf {
        let random = RandomState::new().hash_one(std::process::id());
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{random:016x}.new"));
        self.path.with_file_name(name)
    }
}

impl KeyArchive for KeyFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&self) -> Result<Vec<ArchivedKeys>, ArchiveError> {
        Ok(self.read()?)
    }

    fn save(&self, keys: &[ArchivedKeys]) -> Result<(), ArchiveError> {
        Ok(self.write(keys)?)
    }
}

impl<'a> Entry<'a> {
    fn of(keys: &'a ArchivedKeys) -> serde_json::Result<Self> {
        let ArchivedKeys { jwks_uri, fetched_at, document } = keys;
        let document = serde_json::from_str(document)?;
        Ok(Self { jwks_uri: jwks_uri.clone(), fetched_at: *fetched_at, document })
    }

    fn into_archived(self) -> ArchivedKeys {
        let Self { jwks_uri, fetched_at, document } = self;
        ArchivedKeys { jwks_uri, fetched_at, document: document.get().to_owned() }
    }
}

/// The file, if there is one. Follows no link and waits for no writer of a pipe.
fn open(path: &Path) -> Result<Option<File>, KeyFileError> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Err(KeyFileError::NotAFile),
        Err(error) => Err(error.into()),
    }
}

/// Whether what it says can be believed. Asked of the open file: its name may lead elsewhere by now.
fn check(file: &File) -> Result<(), KeyFileError> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile);
    }
    if ![Uid::effective().as_raw(), 0].contains(&metadata.uid()) {
        return Err(KeyFileError::Owner(metadata.uid()));
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(KeyFileError::WritableByOthers);
    }
    Ok(())
}

fn within_limit(text: &[u8]) -> Result<(), KeyFileError> {
    let is_within = u64::try_from(text.len()).is_ok_and(|length| length <= MAX_FILE_BYTES);
    is_within.then_some(()).ok_or(KeyFileError::TooLarge)
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const URI: &str = "https://issuer.example/keys";

    /// An empty folder that is removed with this.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let random = RandomState::new().hash_one(0);
            let path = std::env::temp_dir().join(format!("cognigate-keys-{random:016x}"));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("main.jwks")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn keys(document: &str) -> ArchivedKeys {
        ArchivedKeys { jwks_uri: URI.to_owned(), fetched_at: 7, document: document.to_owned() }
    }

    /// What is wrong with the file.
    fn fault(path: &Path) -> String {
        KeyFile::new(path).read().unwrap_err().to_string()
    }

    fn make(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_nothing_is_left_beside() {
        let folder = Folder::new();
        let file = KeyFile::new(&folder.file());
        assert_eq!(file.read().unwrap(), []);
        for document in [r#"{"keys":[]}"#, "{ \"keys\" : [\n1] }"] {
            let keys = [keys(document), ArchivedKeys { jwks_uri: format!("{URI}2"), ..keys(document) }];
            file.write(&keys).unwrap();
            assert_eq!(file.read().unwrap(), keys);
            assert_eq!(fs::metadata(folder.file()).unwrap().mode() & 0o777, 0o600);
            assert_eq!(folder.names(), ["main.jwks"]);
        }
    }

    #[test]
    fn a_file_that_others_may_have_written_is_not_believed() {
        let folder = Folder::new();
        for mode in [0o620, 0o602, 0o666] {
            make(&folder.file(), r#"{"version":1,"keys":[]}"#, mode);
            assert_eq!(fault(&folder.file()), KeyFileError::WritableByOthers.to_string(), "{mode:o}");
        }
        make(&folder.file(), r#"{"version":1,"keys":[]}"#, 0o644);
        assert_eq!(KeyFile::new(&folder.file()).read().unwrap(), []);
    }

    #[test]
    fn what_is_not_a_regular_file_is_not_believed() {
        let folder = Folder::new();
        let elsewhere = folder.0.join("elsewhere");
        make(&elsewhere, r#"{"version":1,"keys":[]}"#, 0o600);
        symlink(&elsewhere, folder.file()).unwrap();
        let pipe = folder.0.join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for path in [&folder.file(), &pipe, &folder.0] {
            assert_eq!(fault(path), "not a regular file", "{}", path.display());
        }
    }

    #[test]
    fn anything_unexpected_makes_it_unusable() {
        let folder = Folder::new();
        let entry = format!(r#"{{"jwks_uri":"{URI}","fetched_at":7,"document":{{}}}}"#);
        for (text, expected) in [
            (String::new(), "not a file of keys"),
            ("{}".to_owned(), "not a file of keys"),
            (r#"{"version":1,"keys":[{}]}"#.to_owned(), "not a file of keys"),
            (r#"{"version":1,"keys":[],"more":1}"#.to_owned(), "not a file of keys"),
            (format!(r#"{{"version":1,"keys":[{entry}"#), "not a file of keys"),
            (format!(r#"{{"version":1,"keys":[{entry}]}}x"#), "not a file of keys"),
            (format!(r#"{{"version":2,"keys":[{entry}]}}"#), "its format has version 2, this is version 1"),
            (" ".repeat(1024 * 1024 + 1), "larger than 1048576 bytes"),
        ] {
            make(&folder.file(), &text, 0o600);
            assert_eq!(fault(&folder.file()), expected, "{}", text.len());
        }
        make(&folder.file(), &format!(r#"{{"version":1,"keys":[{entry}]}}"#), 0o600);
        assert_eq!(KeyFile::new(&folder.file()).read().unwrap(), [keys("{}")]);
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let folder = Folder::new();
        let file = KeyFile::new(&folder.file());
        file.write(&[keys("{}")]).unwrap();
        let too_large = format!("{:?}", "x".repeat(1024 * 1024));
        assert!(matches!(file.write(&[keys(&too_large)]), Err(KeyFileError::TooLarge)));
        assert!(matches!(file.write(&[keys("{")]), Err(KeyFileError::Format(_))));
        assert_eq!((file.read().unwrap(), folder.names()), (vec![keys("{}")], vec!["main.jwks".to_owned()]));
        let nowhere = KeyFile::new(&folder.0.join("missing/main.jwks"));
        assert!(matches!(nowhere.write(&[keys("{}")]), Err(KeyFileError::Io(_))));
    }
}
