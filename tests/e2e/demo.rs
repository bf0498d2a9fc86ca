//! `cognigate demo`: every line that it prints can be pasted, and gives the status that it foretells.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use e2e::{
    client::{Client, get},
    process::Process,
};

use crate::BINARY;

/// A command to paste, and the status that the comment above it foretells.
#[derive(Debug)]
struct Example {
    status: u16,
    command: String,
}

/// The examples among the lines of the demo.
fn examples(output: &str) -> Vec<Example> {
    let lines: Vec<_> = output.lines().map(str::trim).collect();
    let pairs = lines.iter().zip(&lines[1..]);
    let example = |(comment, command): (&&str, &&str)| {
        let words = comment.strip_prefix('#')?.split(|c: char| !c.is_ascii_alphanumeric());
        let status = words.filter(|word| word.len() == 3).find_map(|word| word.parse().ok())?;
        command.starts_with("curl ").then(|| Example { status, command: (*command).to_owned() })
    };
    pairs.filter_map(example).collect()
}

/// The status that a command gives: what the shell and curl make of it or, where there is no curl, what it says.
fn status(command: &str) -> u16 {
    // What a pipe does with the body is not asked.
    let curl = command.split(" | ").next().unwrap();
    let is_installed = Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_installed {
        return plain_status(curl);
    }
    let curl = curl.replacen("curl", "curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}'", 1);
    let output = Command::new("sh").args(["-c", &curl]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

fn plain_status(curl: &str) -> u16 {
    let (address, path) = curl.split_once("http://").and_then(|(_, url)| url.split_once('/')).unwrap();
    let path = path.split([' ', '\'', '"']).next().unwrap();
    let header = curl.split_once("-H '").and_then(|(_, rest)| rest.split('\'').next()?.split_once(": "));
    let request =
        header.into_iter().fold(get(format!("/{path}")), |request, (name, value)| request.header(name, value));
    Client::connect(address.parse::<SocketAddr>().unwrap()).ask(&request).status
}

#[test]
fn every_line_of_the_demo_gives_the_status_that_it_foretells() {
    let mut demo = Process::spawn(Command::new(BINARY).args(["demo", "--port", "0"]));
    demo.stdout().find("metrics address", |line| line.contains("/metrics").then_some(()));
    let examples = examples(&demo.stdout().text());
    for expected in [200, 401, 403] {
        assert!(examples.iter().any(|example| example.status == expected), "{expected} is not among {examples:#?}");
    }
    for Example { status: expected, command } in &examples {
        assert_eq!(status(command), *expected, "{command}");
    }
    demo.signal("INT");
    let status = demo.wait_exit(Duration::from_secs(5));
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", demo.stderr().text());
}

#[test]
fn an_example_is_a_comment_and_the_command_below_it() {
    let output = "Serving.\n\n# allowed: 200\ncurl -i http://a/\n\n# 401, expired token\n  curl http://b/\n# 2000 words\ncurl c\n";
    let found: Vec<_> = examples(output).into_iter().map(|example| (example.status, example.command)).collect();
    assert_eq!(found, [(200, "curl -i http://a/".to_owned()), (401, "curl http://b/".to_owned())]);
}
