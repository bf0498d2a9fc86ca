//! Rules about our own sources: what the compiler and its lints do not see, and a reviewer should not have to.
//!
//! Each rule is a function of a file's path and text, proven on a snippet that breaks it and one that does not, and is
//! then applied here to every file in the workspace. A test that fails lists every place, as `file:line: what`.

use rule::Rule;

mod boundary;
mod hygiene;
mod rule;
mod rust;
mod workspace;

/// Applies `rule` to the whole workspace.
fn holds(rule: Rule) {
    let broken: Vec<String> = match workspace::files() {
        Ok(files) => files.iter().flat_map(|file| rule::broken(rule, &file.path, &file.text)).collect(),
        Err(error) => vec![format!("the sources cannot be read: {error}")],
    };
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_part_of_the_workspace_is_looked_at() {
    let files = workspace::files().unwrap();
    for path in [
        "Cargo.toml",
        "Makefile",
        "CONTRIBUTING.md",
        "auth-plugin/Cargo.toml",
        "auth-plugin/src/lib.rs",
        "benches/support/lib.rs",
        "proxy/src/lib.rs",
        "tests/arch/main.rs",
    ] {
        assert!(files.iter().any(|file| file.path == path), "{path} is not among the files that the rules see");
    }
    assert!(!files.iter().any(|file| file.path.starts_with("target/")), "build output is not ours");
}

#[test]
fn auth_plugin_depends_on_neither_pingora_nor_the_proxy() {
    holds(boundary::auth_plugin_dependencies);
}

#[test]
fn auth_plugin_names_neither_pingora_nor_the_proxy_nor_files() {
    holds(boundary::auth_plugin_names);
}

#[test]
fn config_names_nothing_of_the_proxy_above_it() {
    holds(boundary::config_names);
}

#[test]
fn hot_path_takes_no_lock_reads_no_file_and_logs_no_info() {
    holds(boundary::hot_path_names);
}

#[test]
fn keys_are_fetched_over_the_network_in_one_place() {
    holds(boundary::http_client_names);
}

#[test]
fn signatures_are_checked_in_one_place() {
    holds(boundary::signature_check_names);
}

#[test]
fn the_wall_clock_is_read_in_one_place() {
    holds(boundary::wall_clock_names);
}

#[test]
fn a_file_begins_with_its_documentation() {
    holds(hygiene::file_docs);
}

#[test]
fn a_file_has_at_most_400_lines_of_code() {
    holds(hygiene::file_length);
}

#[test]
fn a_module_is_not_called_mod_rs() {
    holds(hygiene::module_names);
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    holds(hygiene::workspace_lints);
}

#[test]
fn no_file_names_a_directory_of_a_developers_machine() {
    holds(hygiene::developer_directories);
}

#[test]
fn no_lint_is_allowed_and_no_test_is_ignored() {
    holds(hygiene::attribute_names);
}
