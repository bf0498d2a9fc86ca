//! The schema has the keys of the parser, fits the good files, and refuses those whose shape the parser refuses: a key that is
//! unknown or missing, a value of another kind. What is wrong beyond that (a number out of range, a name that nothing has) is
//! for the parser alone to find, and is not compared.

use serde_json::Value as Json;

use super::*;
use crate::config::SCHEMA;

/// Broken in a way that YAML knows and a schema does not: it sees a document that was read.
const OF_YAML: [&str; 4] = ["duplicate key", "merge keys", "alias", "a key that is text"];

/// Text that looks like another kind of value, a number beyond what can be counted, or a range that ends before it begins.
const BEYOND_A_SCHEMA: [&str; 4] = ["\"8761h\"", "\"010\"", "\"yes\"", "\"504-502\""];

fn document(text: &str) -> Option<Json> {
    serde_yaml::from_str(text).ok()
}

/// The keys that are allowed at each place whose unknown keys are refused, by the errors of the broken files.
fn allowed_keys(expectation: &str) -> Option<Vec<&str>> {
    let (_, allowed) = expectation.split_once("unknown field `")?.1.split_once("expected ")?;
    Some(allowed.split('`').skip(1).step_by(2).collect())
}

/// Every set of keys that some object of the schema has.
fn key_sets(schema: &Json, sets: &mut Vec<Vec<String>>) {
    match schema {
        Json::Object(members) => {
            if let Some(Json::Object(properties)) = members.get("properties") {
                let mut keys: Vec<_> = properties.keys().cloned().collect();
                keys.sort_unstable();
                sets.push(keys);
            }
            members.values().for_each(|member| key_sets(member, sets));
        }
        Json::Array(items) => items.iter().for_each(|item| key_sets(item, sets)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

#[test]
fn good_files_fit_the_schema_and_files_of_another_shape_do_not() {
    let schema: Json = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for file in ["cognigate.yaml", "minimal.yaml"] {
        let document = document(&read(file)).unwrap();
        let faults: Vec<_> = validator.iter_errors(&document).map(|fault| fault.to_string()).collect();
        assert_eq!(faults, [""; 0], "{file}");
    }
    let mut misshapen = 0;
    for (path, text) in invalid_files() {
        let expectations = text.lines().filter_map(|line| line.strip_prefix("# expect: :"));
        // What the parser finds has a line and a column.
        let of_parser = expectations.filter(|error| error.starts_with(|c: char| c.is_ascii_digit()));
        let mut of_parser =
            of_parser.filter(|error| !OF_YAML.iter().chain(&BEYOND_A_SCHEMA).any(|word| error.contains(word)));
        if let (Some(error), Some(document)) = (of_parser.next(), document(&text)) {
            assert!(!validator.is_valid(&document), "{path}: {error}");
            misshapen += 1;
        }
    }
    assert!(misshapen > 40, "{misshapen}");
}

#[test]
fn the_schema_has_the_keys_that_the_parser_allows() {
    let schema: Json = serde_json::from_str(SCHEMA).unwrap();
    let mut sets = Vec::new();
    key_sets(&schema, &mut sets);
    let mut compared = 0;
    for (path, text) in invalid_files() {
        for allowed in text.lines().filter_map(allowed_keys) {
            let mut allowed: Vec<_> = allowed.into_iter().map(str::to_owned).collect();
            allowed.sort_unstable();
            assert!(sets.contains(&allowed), "{path}: {allowed:?}");
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared}");
}
