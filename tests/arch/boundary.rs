//! Who may name what: the walls between the rooms of ARCHITECTURE.md, and the things that have one place each.

use std::collections::BTreeMap;

use crate::{
    rule::Violation,
    rust::{imports, is_word, lines_naming, mask, without_tests},
};

/// How a file on the request path begins.
const HOT_PATH: &str = "//! Hot path";

const ANY_SERVER: &str = "the token library works under any server";

/// What the token library does not name, and why.
const NOT_IN_AUTH_PLUGIN: [(&str, &str); 4] = [
    ("cognigate", ANY_SERVER),
    ("std::fs", "the token library reads no files"),
    ("std::path", "the token library reads no files"),
    ("tokio::fs", "the token library reads no files"),
];

/// What a file on the request path does not name, and why.
const NOT_IN_HOT_PATH: [(&str, &str); 3] = [
    ("format!", "the request path builds no strings"),
    ("info!", "the request path logs nothing at info level"),
    ("std::fs", "the request path reads no files"),
];

/// `auth-plugin` works under any server: its manifest asks for neither Pingora nor the proxy.
pub(crate) fn auth_plugin_dependencies(path: &str, text: &str) -> Vec<Violation> {
    if path != "auth-plugin/Cargo.toml" {
        return Vec::new();
    }
    let settings = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let broken = (1..).zip(settings).filter(|(_, line)| {
        let mut words = line.split(|c| !is_word(c) && c != '-');
        words.any(|word| word == "cognigate" || word.starts_with("pingora"))
    });
    broken.map(|(line, _)| Violation { line, what: ANY_SERVER.to_owned() }).collect()
}

/// `auth-plugin` names neither Pingora nor the proxy nor the file system. Its tests may: they measure their process.
pub(crate) fn auth_plugin_names(path: &str, text: &str) -> Vec<Violation> {
    if !(path.starts_with("auth-plugin/src/") && is_rust(path)) || path.contains("/tests/") {
        return Vec::new();
    }
    let code = mask(text);
    let mut broken = named(&code, &NOT_IN_AUTH_PLUGIN);
    broken.extend(word_lines(&code, |word| word.starts_with("pingora"), ANY_SERVER));
    broken
}

/// `proxy::config` names nothing of the proxy but itself: configuration flows one way.
pub(crate) fn config_names(path: &str, text: &str) -> Vec<Violation> {
    let depth = match path.strip_prefix("proxy/src/") {
        Some("config.rs") => 1,
        Some(module) if module.starts_with("config/") && is_rust(module) => 1 + module.matches('/').count(),
        _ => return Vec::new(),
    };
    let code = mask(text);
    let above = "super::".repeat(depth);
    let climbed = (1..).zip(without_tests(&code).lines()).filter(|(_, line)| line.contains(&above));
    let mut broken: BTreeMap<usize, &str> = climbed.map(|(line, _)| (line, "leaves proxy::config")).collect();

    let written = (1..).zip(code.lines()).map(|(number, line)| (number, line.to_owned()));
    for (line, path) in written.chain(imports(&code)) {
        if crate_modules(&path).any(|module| module != "config") {
            broken.insert(line, "names a part of the proxy outside proxy::config");
        }
    }
    broken.into_iter().map(|(line, what)| Violation { line, what: what.to_owned() }).collect()
}

/// A file on the request path takes no lock, reads no file, builds no string and logs nothing at info level.
pub(crate) fn hot_path_names(path: &str, text: &str) -> Vec<Violation> {
    if !(is_rust(path) && text.starts_with(HOT_PATH)) {
        return Vec::new();
    }
    let code = mask(text);
    let code = without_tests(&code);
    let mut broken = named(code, &NOT_IN_HOT_PATH);
    let is_lock = |word: &str| word.ends_with("Mutex") || word.ends_with("RwLock");
    broken.extend(word_lines(code, is_lock, "the request path takes no lock"));
    broken
}

/// JWKS come over the network in one place: only it names the HTTP client.
pub(crate) fn http_client_names(path: &str, text: &str) -> Vec<Violation> {
    confined(path, text, "reqwest", "auth-plugin/src/keys/fetch.rs")
}

/// Signatures are checked in one place.
pub(crate) fn signature_check_names(path: &str, text: &str) -> Vec<Violation> {
    confined(path, text, "verify_sig", "auth-plugin/src/signature.rs")
}

/// The wall clock is read in one place. Everything else is told what time it is.
pub(crate) fn wall_clock_names(path: &str, text: &str) -> Vec<Violation> {
    confined(path, text, "SystemTime::now", "auth-plugin/src/clock.rs")
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// Where a file other than `home` names `name`.
fn confined(path: &str, text: &str, name: &str, home: &str) -> Vec<Violation> {
    if path == home || !is_rust(path) {
        return Vec::new();
    }
    let lines = lines_naming(&mask(text), name);
    lines.into_iter().map(|line| Violation { line, what: format!("{name} belongs in {home}") }).collect()
}

fn named(code: &str, forbidden: &[(&str, &str)]) -> Vec<Violation> {
    let places = forbidden
        .iter()
        .flat_map(|(name, why)| lines_naming(code, name).into_iter().map(move |line| (line, name, why)));
    places.map(|(line, name, why)| Violation { line, what: format!("{name}: {why}") }).collect()
}

fn word_lines(code: &str, is_forbidden: impl Fn(&str) -> bool, why: &str) -> Vec<Violation> {
    let words = (1..).zip(code.lines()).filter_map(|(line, text)| {
        let word = text.split(|c| !is_word(c)).find(|word| is_forbidden(word))?;
        Some(Violation { line, what: format!("{word}: {why}") })
    });
    words.collect()
}

/// The modules that the `crate::` paths in `text` begin with. The branches of a `use` are spread out before.
fn crate_modules(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("crate::").filter_map(|(at, root)| {
        let (before, from) = text.split_at(at);
        let module = from.strip_prefix(root)?;
        let end = module.find(|c| !is_word(c) && c != '*').unwrap_or(module.len());
        let (module, after) = module.split_at(end);
        let is_group = module.is_empty() && after.starts_with('{');
        (!is_group && !before.ends_with(is_word)).then_some(module)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Rule, broken_lines};

    const NONE: [usize; 0] = [];

    #[test]
    fn a_dependency_of_auth_plugin_on_a_server_is_found() {
        let rule = auth_plugin_dependencies;
        let path = "auth-plugin/Cargo.toml";
        let broken = "[dependencies]\nhttp = \"1\"\npingora-core.workspace = true\nproxy = { package = \"cognigate\" }\n\n[dependencies.cognigate]\n";
        assert_eq!(broken_lines(rule, path, broken), [3, 4, 6]);
        assert_eq!(broken_lines(rule, "proxy/Cargo.toml", broken), NONE);
        let clean = "name = \"cognigate-auth\"\n# works without pingora\nhttp.workspace = true\n";
        assert_eq!(broken_lines(rule, path, clean), NONE);
    }

    #[test]
    fn a_server_or_a_file_in_auth_plugin_is_found() {
        let rule = auth_plugin_names;
        let path = "auth-plugin/src/keys/store.rs";
        for broken in [
            "use pingora_core::Result;",
            "use cognigate::app::App;",
            "fn f() { std::fs::read(p); }",
            "use std::{fmt, fs};",
            "use std::path::Path;",
            "use tokio::{fs::File, sync::watch};",
        ] {
            assert_eq!(broken_lines(rule, path, &format!("//! Keys.\n{broken}\n")), [2], "{broken}");
        }
        let clean = "//! No pingora, no std::fs.\nuse std::{fmt, sync::Arc};\nuse cognigate_auth::{keys, policy};\nlet name = \"pingora\";\n";
        assert_eq!(broken_lines(rule, path, clean), NONE);
        assert_eq!(broken_lines(rule, "proxy/src/app.rs", "use std::fs;\n"), NONE);
        assert_eq!(broken_lines(rule, "auth-plugin/src/cache/tests/flood.rs", "use std::fs;\n"), NONE);
    }

    #[test]
    fn a_way_out_of_config_is_found() {
        let rule = config_names;
        for (path, broken) in [
            ("proxy/src/config.rs", "use crate::route::Route;"),
            ("proxy/src/config.rs", "use super::route::Route;"),
            ("proxy/src/config/load.rs", "use crate::{config::file, runtime::Runtime};"),
            ("proxy/src/config/load.rs", "use crate::*;"),
            ("proxy/src/config/load.rs", "use super::super::runtime;"),
            ("proxy/src/config/load.rs", "fn f(route: &crate::route::Route) {}"),
        ] {
            assert_eq!(broken_lines(rule, path, &format!("//! Configuration.\n{broken}\n")), [2], "{broken}");
        }
        for (path, clean) in [
            (
                "proxy/src/config.rs",
                "use crate::config::file;\npub(crate) mod load;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n",
            ),
            (
                "proxy/src/config/load.rs",
                "use super::file;\nuse crate::{config::{file, model}};\nuse my_crate::route;\n",
            ),
            ("proxy/src/app.rs", "use crate::route::Route;\n"),
        ] {
            assert_eq!(broken_lines(rule, path, clean), NONE, "{clean}");
        }
    }

    #[test]
    fn a_lock_a_file_a_string_or_a_log_line_on_the_hot_path_is_found() {
        let rule = hot_path_names;
        for broken in [
            "use parking_lot::{Mutex, Once};",
            "fn f(set: &std::sync::RwLock<u8>) {}",
            "fn f() { tracing::info!(\"x\"); }",
            "fn f() { let name = format!(\"{x}\"); }",
            "use std::{fs, io};",
        ] {
            let hot = format!("//! Hot path: no lock, no I/O, no info log.\n{broken}\n");
            assert_eq!(broken_lines(rule, "proxy/src/filter/auth.rs", &hot), [2], "{broken}");
            let cold = format!("//! A cold path.\n{broken}\n");
            assert_eq!(broken_lines(rule, "proxy/src/filter/auth.rs", &cold), NONE, "{broken}");
        }
        let clean = "//! Hot path: no Mutex.\nfn f() { debug!(\"x\"); format_args!(\"y\"); }\n#[cfg(test)]\nmod tests {\n    fn name() -> String { format!(\"x\") }\n}\n";
        assert_eq!(broken_lines(rule, "proxy/src/filter/auth.rs", clean), NONE);
    }

    #[test]
    fn what_has_one_place_is_found_in_another() {
        let rules: [(Rule, &str, &str); 3] = [
            (http_client_names, "auth-plugin/src/keys/fetch.rs", "let client = reqwest::Client::new();"),
            (signature_check_names, "auth-plugin/src/signature.rs", "key.verify_sig(message, signature)"),
            (wall_clock_names, "auth-plugin/src/clock.rs", "let now = SystemTime::now();"),
        ];
        for (rule, home, broken) in rules {
            assert_eq!(broken_lines(rule, "proxy/src/app.rs", &format!("//! App.\n{broken}\n")), [2], "{broken}");
            assert_eq!(broken_lines(rule, home, broken), NONE, "{broken}");
            assert_eq!(broken_lines(rule, "proxy/src/app.rs", &format!("// not {broken}\n")), NONE, "{broken}");
        }
    }
}
