//! The only place that reads configuration files.
//!
//! A bounded number of bytes is read, whatever the path leads to: a file, a pipe, a device. The text is UTF-8.

use std::{fs::File, io, io::Read, path::Path};

use super::{
    convert::convert,
    error::{ConfigError, ConfigErrors, Position},
    files::Files,
    model::Config,
    yaml::{self, Document},
};

/// The largest configuration that is read, in bytes: 1 MiB. Ten thousand routes fit.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

const DOCUMENT: Document = Document {
    // No file without aliases gets there.
    max_unfolded_bytes: 4 * MAX_FILE_BYTES,
    if_empty: "the file is empty: `listeners`, `upstreams` and `routes` are the least that works",
};

/// A configuration, and what is in the files that it names.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The content of the files.
    pub files: Files,
}

/// Reads and checks a configuration file and the files that it names. Their paths, where relative, begin in its folder.
///
/// # Errors
///
/// [`ConfigErrors`] if it cannot be read, as [`parse`], or else what is wrong with the files that it names.
pub fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
    let file = path.display().to_string();
    match read(path, MAX_FILE_BYTES) {
        Ok(Some(bytes)) => {
            let config = check(&file, text(&file, &bytes)?, path)?;
            Ok(Loaded { files: Files::read(&file, &config)?, config })
        }
        Ok(None) => Err(ConfigError::TooLarge { file, limit: MAX_FILE_BYTES }.into()),
        Err(cause) => Err(ConfigError::Unreadable { file, cause }.into()),
    }
}

/// Checks the text of a configuration, and reads nothing. `file` is what errors call it, and where relative paths begin.
///
/// # Errors
///
/// [`ConfigErrors`]: the one place where the text cannot be read, or every rule that it breaks.
pub fn parse(file: &str, text: &str) -> Result<Config, ConfigErrors> {
    if text.len() > MAX_FILE_BYTES {
        return Err(ConfigError::TooLarge { file: file.to_owned(), limit: MAX_FILE_BYTES }.into());
    }
    check(file, text, Path::new(file))
}

fn check(file: &str, text: &str, path: &Path) -> Result<Config, ConfigErrors> {
    let section = yaml::read(text, &DOCUMENT).map_err(|error| ConfigError::syntax(file, error))?;
    convert(section, path).map_err(|findings| ConfigErrors::rules(file, findings))
}

/// All of a file; nothing if it has more than `limit` bytes. One byte more than allowed is read, to tell too many from just
/// enough.
pub(super) fn read(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() <= limit))
}

pub(super) fn text<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, ConfigError> {
    str::from_utf8(bytes).map_err(|error| {
        let (before, rest) = bytes.split_at_checked(error.valid_up_to()).unwrap_or_default();
        let found = rest.first().copied().unwrap_or_default();
        ConfigError::Parse {
            file: file.to_owned(),
            position: Position::after(&String::from_utf8_lossy(before)),
            message: format!("byte 0x{found:02x} is not UTF-8, the encoding that is allowed"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf_8_is_refused_where_it_is() {
        for (bytes, error) in [
            (&b"\xff"[..], "file:1:1: byte 0xff is not UTF-8, the encoding that is allowed"),
            (b"a: b\nc: \xc3\xa9\xe9\n", "file:2:5: byte 0xe9 is not UTF-8, the encoding that is allowed"),
            (b"a\xe2\x82", "file:1:2: byte 0xe2 is not UTF-8, the encoding that is allowed"),
        ] {
            assert_eq!(text("file", bytes).unwrap_err().to_string(), error);
        }
    }
}
