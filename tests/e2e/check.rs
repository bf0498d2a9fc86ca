//! `cognigate check`: what it prints, where, and the exit status.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Where a user would stand: the root of the workspace. So paths in messages are those of this repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What the process leaves: exit status, standard output, standard error.
#[derive(Debug, PartialEq)]
struct Outcome {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Outcome {
    fn ok(out: &str) -> Self {
        Self { status: Some(0), out: format!("{out}\n"), err: String::new() }
    }

    fn bad_configuration(errors: &[String]) -> Self {
        let err = errors.iter().map(|error| format!("{error}\n")).collect();
        Self { status: Some(78), out: String::new(), err }
    }
}

fn check(file: &Path) -> io::Result<Outcome> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cognigate-e2e"));
    let Output { status, stdout, stderr } = command.current_dir(ROOT).arg("check").arg("-c").arg(file).output()?;
    Ok(Outcome {
        status: status.code(),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// A file of this test's own.
fn scratch(name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, bytes)?;
    Ok(path)
}

#[test]
fn a_good_file_is_counted() -> io::Result<()> {
    for (file, out) in [
        ("conf/cognigate.yaml", "ok: 2 routes, 1 upstreams, 1 user pools"),
        ("conf/minimal.yaml", "ok: 1 routes, 1 upstreams, 1 user pools"),
    ] {
        assert_eq!(check(Path::new(file))?, Outcome::ok(out), "{file}");
    }
    Ok(())
}

/// The first lines of each broken file say what its errors are: `# expect: `, and what follows the name of the file.
#[test]
fn every_broken_file_gets_the_errors_that_it_expects() -> io::Result<()> {
    let mut count = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("conf/invalid"))? {
        let file = Path::new("conf/invalid").join(entry?.file_name());
        let text = fs::read_to_string(Path::new(ROOT).join(&file))?;
        let expected = text.lines().map_while(|line| line.strip_prefix("# expect: "));
        let errors: Vec<_> = expected.map(|error| format!("{}{error}", file.display())).collect();
        assert!(!errors.is_empty(), "{}: expects nothing", file.display());
        assert_eq!(check(&file)?, Outcome::bad_configuration(&errors), "{}", file.display());
        count += 1;
    }
    assert!(count > 100, "{count} files");
    Ok(())
}

#[test]
fn what_is_no_text_file_is_refused() -> io::Result<()> {
    let large = scratch("check-large.yaml", &vec![b'#'; 1024 * 1024 + 1])?;
    let latin_1 = scratch("check-latin-1.yaml", b"# caf\xe9\n")?;
    for (file, error) in [
        (Path::new("conf/absent.yaml"), ": cannot be read: No such file or directory (os error 2)"),
        (Path::new("conf"), ": cannot be read: Is a directory (os error 21)"),
        (&large, ": too large: at most 1048576 bytes (1 MiB) are read"),
        (&latin_1, ":1:6: byte 0xe9 is not UTF-8, the encoding that is allowed"),
    ] {
        let error = format!("{}{error}", file.display());
        assert_eq!(check(file)?, Outcome::bad_configuration(&[error]));
    }
    Ok(())
}

/// Where lines could be written: nothing is made by looking.
#[test]
fn an_access_log_needs_a_folder_that_it_can_be_made_in() -> io::Result<()> {
    let config = fs::read_to_string(Path::new(ROOT).join("conf/minimal.yaml"))?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-access-log");
    fs::create_dir_all(folder.join("taken"))?;
    fs::write(folder.join("old.log"), "")?;
    let file = folder.join("cognigate.yaml");
    for (path, cause) in [
        ("access.log", None),
        ("old.log", None),
        ("absent/access.log", Some("No such file or directory (os error 2)")),
        ("old.log/access.log", Some("Not a directory (os error 20)")),
        ("taken", Some("Is a directory (os error 21)")),
    ] {
        fs::write(&file, format!("{config}\naccess_log: {{ path: {path} }}\n"))?;
        let expected = match cause {
            None => Outcome::ok("ok: 1 routes, 1 upstreams, 1 user pools"),
            Some(cause) => {
                let log = folder.join(path);
                let error = format!("{}: access_log.path: {log:?} cannot be written: {cause}", file.display());
                Outcome::bad_configuration(&[error])
            }
        };
        assert_eq!(check(&file)?, expected, "{path}");
    }
    assert!(!folder.join("access.log").exists());
    Ok(())
}
