//! The only place that reads configuration files.
//!
//! At most [`MAX_FILE_BYTES`] are read, whatever the path leads to: a file, a pipe, a device. The text is UTF-8.

use std::{fs::File, io, io::Read, path::Path};

use super::{
    convert::convert,
    error::{ConfigError, ConfigErrors, Position},
    model::Config,
    yaml,
};

/// The largest configuration that is read, in bytes: 1 MiB. Ten thousand routes fit.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Reads and checks a configuration file.
///
/// # Errors
///
/// [`ConfigErrors`] if it cannot be read, or as [`parse`].
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let file = path.display().to_string();
    match read(path) {
        Ok(bytes) if bytes.len() > MAX_FILE_BYTES => Err(ConfigError::TooLarge { file }.into()),
        Ok(bytes) => parse(&file, text(&file, &bytes)?),
        Err(cause) => Err(ConfigError::Unreadable { file, cause }.into()),
    }
}

/// Checks a configuration. `file` is what errors call it.
///
/// # Errors
///
/// [`ConfigErrors`]: the one place where the text cannot be read, or every rule that it breaks.
pub fn parse(file: &str, text: &str) -> Result<Config, ConfigErrors> {
    if text.len() > MAX_FILE_BYTES {
        return Err(ConfigError::TooLarge { file: file.to_owned() }.into());
    }
    let section = yaml::read(text).map_err(|error| ConfigError::syntax(file, error))?;
    convert(section).map_err(|findings| ConfigErrors::rules(file, findings))
}

/// One byte more than is allowed, so that too many can be told from just enough.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, ConfigError> {
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
