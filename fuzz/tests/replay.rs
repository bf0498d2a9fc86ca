//! Every file of the corpus through its target once more, on a stable compiler.

use std::{fs, io, panic, path::PathBuf};

use cognigate_fuzz::{config, jwks, path, token};

/// What keeps a corpus fit to be read and replayed.
const MAX_FILES: usize = 200;
const MAX_FILE_BYTES: usize = 2048;

/// Replays a corpus and names the files that something is wrong with.
fn replay(target: &str, check: fn(&[u8])) {
    let files = corpus(target).expect("a corpus");
    assert!((1..=MAX_FILES).contains(&files.len()), "{} files", files.len());
    let is_broken = |data: &[u8]| data.len() > MAX_FILE_BYTES || panic::catch_unwind(|| check(data)).is_err();
    let broken: Vec<_> = files.iter().filter(|(_, data)| is_broken(data)).map(|(name, _)| name).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

/// Names and contents of a target's files, in the order of the names.
fn corpus(target: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let directory = [env!("CARGO_MANIFEST_DIR"), "corpus", target].iter().collect::<PathBuf>();
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
    }
    files.sort();
    Ok(files)
}

#[test]
fn config_corpus() {
    replay("config", config::check);
}

#[test]
fn jwks_corpus() {
    replay("jwks", jwks::check);
}

#[test]
fn path_corpus() {
    replay("path", path::check);
}

#[test]
fn token_corpus() {
    replay("token", token::check);
}
