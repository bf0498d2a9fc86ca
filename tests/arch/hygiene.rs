//! How every file looks: its length, its name, its first line, what it never says.

use crate::{
    rule::Violation,
    rust::{attributes, is_word, mask, names, without_tests},
};

/// The most lines of code in a file. Beyond it a file has more than one reason to change.
const MAX_CODE_LINES: usize = 400;

/// The top directories in which people keep their work. Spelled without slashes, so that this file may say them.
const DEVELOPER_DIRECTORIES: [&str; 4] = ["Users", "home", "root", "work"];

/// Packages that are not members of the workspace, and so cannot take its lints.
const OUTSIDE_THE_WORKSPACE: [&str; 2] = ["fuzz/", "vendor/"];

/// A file has at most 400 lines of code: blank lines, comments and the file's own tests do not count.
pub(crate) fn file_length(path: &str, text: &str) -> Vec<Violation> {
    if !is_rust(path) {
        return Vec::new();
    }
    let code = mask(text);
    let mut lines = (1..).zip(without_tests(&code).lines()).filter(|(_, line)| !line.trim().is_empty());
    let Some((line, _)) = lines.nth(MAX_CODE_LINES) else {
        return Vec::new();
    };
    let length = MAX_CODE_LINES + 1 + lines.count();
    vec![Violation { line, what: format!("{length} lines of code, {MAX_CODE_LINES} is the limit") }]
}

/// A module `foo` with children is `foo.rs` and `foo/`, so that every open file has a name of its own.
pub(crate) fn module_names(path: &str, _: &str) -> Vec<Violation> {
    let is_mod_rs = path.rsplit('/').next() == Some("mod.rs");
    Vec::from_iter(is_mod_rs.then(|| Violation { line: 1, what: "is called mod.rs".to_owned() }))
}

/// A Rust file begins with what it is.
pub(crate) fn file_docs(path: &str, text: &str) -> Vec<Violation> {
    let is_undocumented = is_rust(path) && !text.starts_with("//!");
    Vec::from_iter(is_undocumented.then(|| Violation { line: 1, what: "does not begin with a //! comment".to_owned() }))
}

/// A lint is met or expected with a reason, never allowed; a test is run or removed, never ignored.
pub(crate) fn attribute_names(path: &str, text: &str) -> Vec<Violation> {
    if !is_rust(path) {
        return Vec::new();
    }
    let code = mask(text);
    let broken = attributes(&code).into_iter().filter_map(|(line, attribute)| {
        let what = if names(attribute, "allow(") {
            "allow: use #[expect(..., reason = \"...\")]"
        } else if names(attribute, "ignore") {
            "ignore: a test runs or goes"
        } else {
            return None;
        };
        Some(Violation { line, what: what.to_owned() })
    });
    broken.collect()
}

/// Nothing names an absolute path that only exists on a developer's machine.
pub(crate) fn developer_directories(_: &str, text: &str) -> Vec<Violation> {
    let is_local = |line: &str, directory: &str| {
        let path = format!("/{directory}/");
        // After a letter or a dot it is the middle of a longer path or of a URL.
        let is_absolute = |before: &str| !before.ends_with(|c| is_word(c) || ".-}".contains(c));
        line.match_indices(&path).any(|(at, _)| is_absolute(line.split_at(at).0))
    };
    let broken = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let directory = DEVELOPER_DIRECTORIES.iter().find(|directory| is_local(line, directory))?;
        Some(Violation { line: number, what: format!("a path below /{directory}") })
    });
    broken.collect()
}

/// Every package of the workspace takes its lints: without the line it would be checked for nothing.
pub(crate) fn workspace_lints(path: &str, text: &str) -> Vec<Violation> {
    let is_member =
        path.ends_with("/Cargo.toml") && !OUTSIDE_THE_WORKSPACE.iter().any(|outside| path.starts_with(outside));
    let is_linted = text.contains("\n[lints]\nworkspace = true\n");
    let is_broken = is_member && !is_linted;
    Vec::from_iter(is_broken.then(|| Violation { line: 1, what: "has no [lints] with workspace = true".to_owned() }))
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::broken_lines;

    const NONE: [usize; 0] = [];

    #[test]
    fn the_401st_line_of_code_is_found() {
        let code = "let a = 1;\n".repeat(400);
        let uncounted = "//! Docs.\n\n/* a\ncomment */\n";
        let tests = "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
        assert_eq!(broken_lines(file_length, "a.rs", &format!("{uncounted}{code}{uncounted}{tests}")), NONE);
        assert_eq!(broken_lines(file_length, "a.rs", &format!("{uncounted}{code}let b = 2;\n{tests}")), [405]);
        assert_eq!(broken_lines(file_length, "a.md", &"word\n".repeat(500)), NONE);
    }

    #[test]
    fn the_length_is_told() {
        let violations = file_length("a.rs", &"let a = 1;\n".repeat(410));
        assert_eq!(violations[0].what, "410 lines of code, 400 is the limit");
    }

    #[test]
    fn a_mod_rs_is_found() {
        assert_eq!(broken_lines(module_names, "proxy/src/config/mod.rs", ""), [1]);
        assert_eq!(broken_lines(module_names, "proxy/src/config/command.rs", ""), NONE);
    }

    #[test]
    fn a_file_without_docs_is_found() {
        assert_eq!(broken_lines(file_docs, "a.rs", "use std::fmt;\n//! Late.\n"), [1]);
        assert_eq!(broken_lines(file_docs, "a.rs", "//! Docs.\n"), NONE);
        assert_eq!(broken_lines(file_docs, "a.toml", "a = 1\n"), NONE);
    }

    #[test]
    fn an_allowed_lint_and_an_ignored_test_are_found() {
        let broken = "#![allow(missing_docs)]\n#[test]\n#[ignore = \"slow\"]\nfn f() {}\n#[cfg_attr(test, allow(unused))]\nfn g() {}\n";
        assert_eq!(broken_lines(attribute_names, "a.rs", broken), [1, 3, 5]);
        let clean = "// #[allow(unused)]\n#[expect(unused, reason = \"allow(x)\")]\n#[arg(allow_hyphen_values, ignore_case)]\nfn f() {}\n";
        assert_eq!(broken_lines(attribute_names, "a.rs", clean), NONE);
    }

    #[test]
    fn a_path_on_a_developers_machine_is_found() {
        for directory in DEVELOPER_DIRECTORIES {
            let broken = format!("# Build\n\nRun `/{directory}/me/run`.\n");
            assert_eq!(broken_lines(developer_directories, "a.md", &broken), [3], "{directory}");
            let clean =
                format!("https://example.com/{directory}/ a/{directory}/b $HOME/{directory}/ /{directory}er/\n");
            assert_eq!(broken_lines(developer_directories, "a.md", &clean), NONE, "{directory}");
        }
    }

    #[test]
    fn a_package_without_the_lints_is_found() {
        let package = "[package]\nname = \"a\"\n";
        assert_eq!(broken_lines(workspace_lints, "a/Cargo.toml", package), [1]);
        assert_eq!(
            broken_lines(workspace_lints, "a/Cargo.toml", &format!("{package}\n[lints]\nworkspace = true\n")),
            NONE
        );
        assert_eq!(broken_lines(workspace_lints, "vendor/a/Cargo.toml", package), NONE);
        assert_eq!(broken_lines(workspace_lints, "Cargo.toml", "[workspace]\n"), NONE);
    }
}
