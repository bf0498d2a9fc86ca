//! Rust source as text: the code without comments and literals, the names in it, its attributes.
//!
//! Just enough of the grammar (Rust reference, "Lexical structure" and "Use declarations") for rules about names. No path
//! is resolved and no macro expanded: a rename (`use std::fs as disk`) is seen where it is made, not where it is used.

use std::collections::BTreeSet;

/// What a string, byte or character literal may begin with.
const LITERAL_PREFIXES: [&str; 6] = ["br", "cr", "b", "c", "r", ""];

/// The code alone: comments become spaces, literals become `~`. Lines stay where they are.
pub(crate) fn mask(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (length, filler) = token(rest);
        let (token, tail) = rest.split_at(length);
        match filler {
            Some(filler) => code.extend(token.chars().map(|c| if c == '\n' { c } else { filler })),
            None => code.push_str(token),
        }
        rest = tail;
    }
    code
}

/// The length of the token at the beginning of `rest`, which is not empty, and what takes its place.
fn token(rest: &str) -> (usize, Option<char>) {
    if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), Some(' '))
    } else if rest.starts_with("/*") {
        (block_comment(rest), Some(' '))
    } else if let Some(length) = literal(rest) {
        (length, Some('~'))
    } else {
        // A whole word at once: the last letter of `for` begins no raw string.
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        (word.max(rest.chars().next().map_or(0, char::len_utf8)), None)
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(next) = rest.get(at..).and_then(|tail| tail.chars().next()) {
        let tail = rest.get(at..).unwrap_or_default();
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += next.len_utf8();
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn literal(rest: &str) -> Option<usize> {
    LITERAL_PREFIXES.iter().find_map(|prefix| {
        let body = rest.strip_prefix(prefix)?;
        let length = if prefix.ends_with('r') { raw_string(body)? } else { quoted(body)? };
        Some(prefix.len() + length)
    })
}

fn raw_string(body: &str) -> Option<usize> {
    let (hashes, tail) = body.split_at(body.find(|c| c != '#')?);
    let inner = tail.strip_prefix('"')?;
    let end = format!("\"{hashes}");
    Some(hashes.len() + 1 + inner.find(&end).map_or(inner.len(), |at| at + end.len()))
}

fn quoted(body: &str) -> Option<usize> {
    let mut chars = body.chars();
    let quote = chars.next().filter(|c| matches!(c, '"' | '\''))?;
    if quote == '\'' && chars.next() != Some('\\') && chars.next() != Some('\'') {
        return None; // a lifetime
    }
    let mut is_escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return Some(at + 1);
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    Some(body.len())
}

/// Whether `c` may be part of a name.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The part of masked `code` before the file's own tests: a module at the left margin under `#[cfg(test)]`.
pub(crate) fn without_tests(code: &str) -> &str {
    let tests = code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|&at| {
        let (before, after) = code.split_at(at);
        (before.is_empty() || before.ends_with('\n')) && is_inline_module(after)
    });
    tests.and_then(|at| code.get(..at)).unwrap_or(code)
}

/// Whether the item that the attributes at the beginning of `code` are on is a module with a body.
fn is_inline_module(code: &str) -> bool {
    let mut lines = code.lines().filter(|line| !line.trim().is_empty());
    let item = lines.find(|line| !line.starts_with(['#', ' ', ')', ']']));
    item.is_some_and(|line| line.starts_with("mod ") && line.contains('{'))
}

/// The lines of masked `code` that name `path`, written out or in the branches of a `use`.
pub(crate) fn lines_naming(code: &str, path: &str) -> BTreeSet<usize> {
    let written = (1..).zip(code.lines()).filter(|(_, line)| names(line, path)).map(|(number, _)| number);
    let imported = imports(code).into_iter().filter(|(_, import)| names(import, path)).map(|(number, _)| number);
    written.chain(imported).collect()
}

/// Whether `text` has `name` in it as a whole: `fs` is not in `offset`.
pub(crate) fn names(text: &str, name: &str) -> bool {
    let closes = |c: char| name.ends_with(is_word) && is_word(c);
    text.match_indices(name).any(|(at, _)| {
        let (before, from) = text.split_at(at);
        let after = from.strip_prefix(name).unwrap_or_default();
        !before.ends_with(is_word) && !after.starts_with(closes)
    })
}

/// The paths that the `use` declarations in masked `code` import, one for each branch, with the line of the `use`.
pub(crate) fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, keyword) in code.match_indices("use ") {
        let (before, from) = code.split_at(at);
        let before = before.rsplit('\n').next().unwrap_or_default().trim();
        if before.is_empty() || before == "pub" || before.ends_with(['{', '}', ';', ')']) {
            let tree = from.strip_prefix(keyword).and_then(|tail| tail.split(';').next()).unwrap_or_default();
            let mut paths = Vec::new();
            expand("", tree, &mut paths);
            found.extend(paths.into_iter().map(|path| (line_at(code, at), path)));
        }
    }
    found
}

fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    match tree.trim().split_once('{') {
        Some((head, group)) => {
            let prefix = format!("{prefix}{}", head.trim());
            for branch in branches(group.strip_suffix('}').unwrap_or(group)) {
                expand(&prefix, branch, paths);
            }
        }
        None => paths.push(format!("{prefix}{}", tree.trim())),
    }
}

fn branches(group: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let is_end = |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    };
    group.split(is_end).filter(|branch| !branch.trim().is_empty()).collect()
}

/// The attributes in masked `code`, each with its line: what is between the brackets of `#[]` and `#![]`.
pub(crate) fn attributes(code: &str) -> Vec<(usize, &str)> {
    let attribute = |(at, _)| {
        let (_, from) = code.split_at(at);
        let after = from.strip_prefix("#!").or_else(|| from.strip_prefix('#'))?.strip_prefix('[')?;
        let mut depth = 1_i32;
        let end = after.find(|c: char| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            depth == 0
        })?;
        Some((line_at(code, at), after.get(..end)?))
    };
    code.match_indices('#').filter_map(attribute).collect()
}

fn line_at(code: &str, at: usize) -> usize {
    1 + code.get(..at).unwrap_or_default().matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_masked() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */\n */ d", "a             \n    d"),
            (r#"f("a \" // b", c)"#, "f(~~~~~~~~~~~, c)"),
            ("r#\"a\"b\"# c", "~~~~~~~~ c"),
            ("br\"a\" b\"b\" c", "~~~~~ ~~~~ c"),
            ("for\"a\"", "for~~~"),
            ("&'a str", "&'a str"),
            ("['\\'', 'a', b'\"', '\u{e9}'] d", "[~~~~, ~~~, ~~~~, ~~~] d"),
            ("fn f<'a, 'b>() {}", "fn f<'a, 'b>() {}"),
            ("r#type = \"", "r#type = ~"),
        ] {
            assert_eq!(mask(text), code, "{text}");
        }
    }

    #[test]
    fn tests_begin_at_a_module_under_cfg_test() {
        for (text, code) in [
            ("a\n#[cfg(test)]\nmod tests {\n}\n", "a\n"),
            ("a\n#[cfg(test)]\n#[expect(\n    b\n)]\nmod tests {\n}\n", "a\n"),
            ("#[cfg(test)]\nuse a;\nb\n", "#[cfg(test)]\nuse a;\nb\n"),
            ("#[cfg(test)]\nmod a;\nb\n", "#[cfg(test)]\nmod a;\nb\n"),
            ("impl A {\n    #[cfg(test)]\n    fn b() {}\n}\n", "impl A {\n    #[cfg(test)]\n    fn b() {}\n}\n"),
        ] {
            assert_eq!(without_tests(text), code, "{text}");
        }
    }

    #[test]
    fn a_name_is_found_as_a_whole() {
        for (text, name, found) in [
            ("std::fs::read()", "std::fs", true),
            ("std::fs_extra::read()", "std::fs", false),
            ("mystd::fs", "std::fs", false),
            ("tracing::info!(x)", "info!", true),
            ("myinfo!(x)", "info!", false),
        ] {
            assert_eq!(names(text, name), found, "{text}");
        }
    }

    #[test]
    fn a_use_is_spread_out_into_its_paths() {
        let code = "\npub(crate) use std::{\n    fmt, fs::{self, File},\n};\nuse a::b as c;\nlet reuse = 1;\nfn f() { use d::*; }\n";
        let paths = imports(code);
        let expected = [(2, "std::fmt"), (2, "std::fs::self"), (2, "std::fs::File"), (5, "a::b as c"), (7, "d::*")];
        assert_eq!(paths, expected.map(|(line, path)| (line, path.to_owned())));
        assert_eq!(lines_naming(code, "std::fs"), BTreeSet::from([2]));
    }

    #[test]
    fn an_attribute_reaches_to_its_bracket() {
        let code = "#![a]\n#[b(c = [d], e)]\nfn f() { g[0] }\n";
        assert_eq!(attributes(code), [(1, "a"), (2, "b(c = [d], e)")]);
    }
}
