//! HTTP/2 as others speak it who ask for as much as is allowed: `h2load`, with a hundred requests at a time on each connection.

use std::{
    process::{Command, Stdio},
    sync::Arc,
};

use e2e::{client::get, edge::Edge, secure, secure::SecureClient, wait::eventually};
use serde_json::json;

use crate::{Secure, allow_connections, alone, say};

/// Requests at a time on a connection, the default of `limits.h2_streams`.
const STREAMS: u64 = 100;

const CONNECTIONS: u64 = 10;
const REQUESTS: u64 = 20_000;

/// What `h2load` says of requests and their answers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    protocol: String,
    succeeded: u64,
    failed: u64,
    errored: u64,
    timeout: u64,
    /// By the first digit of the status, from 2 on.
    statuses: [u64; 4],
    speed: String,
}

impl Outcome {
    fn parse(text: &str) -> Self {
        let after = |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default().trim();
        // "20000 total, 20000 started, ...", "20000 2xx, 0 3xx, ..."
        let count = |line: &str, name: &str| {
            let number = after(line).split(", ").find_map(|part| part.strip_suffix(name)?.trim().parse().ok());
            number.unwrap_or_else(|| panic!("{name} is not in {text}"))
        };
        Self {
            protocol: after("Application protocol:").to_owned(),
            succeeded: count("requests:", "succeeded"),
            failed: count("requests:", "failed"),
            errored: count("requests:", "errored"),
            timeout: count("requests:", "timeout"),
            statuses: ["2xx", "3xx", "4xx", "5xx"].map(|class| count("status codes:", class)),
            speed: after("finished in").to_owned(),
        }
    }

    /// So many requests over HTTP/2, all of them answered, so many of each class of status.
    fn of(requests: u64, statuses: [u64; 4]) -> Self {
        // A status of 400 or above is a failure to `h2load`.
        let [ok, moved, ..] = statuses;
        let succeeded = ok + moved;
        Self { protocol: "h2".to_owned(), succeeded, failed: requests - succeeded, statuses, ..Self::default() }
    }

    fn without_speed(self) -> Self {
        Self { speed: String::new(), ..self }
    }
}

/// Sends so many requests over so many connections.
#[track_caller]
fn load(secure: &Secure, requests: u64, connections: u64, fields: &[&str]) -> Outcome {
    let mut command = Command::new("h2load");
    command.args(["-n", &requests.to_string(), "-c", &connections.to_string(), "-m", &STREAMS.to_string(), "-t", "1"]);
    for field in fields {
        command.args(["-H", field]);
    }
    let url = format!("https://localhost:{}/items/1", secure.edge.proxy.address().port());
    let output = command.arg(url).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("h2load is needed: apt-get install nghttp2-client ({error})"));
    assert!(output.status.success(), "{output:?}");
    Outcome::parse(&String::from_utf8_lossy(&output.stdout))
}

/// Waits until so many tokens were judged in this way.
#[track_caller]
fn await_verdicts(edge: &Edge, path: &str, count: u64) {
    let judged = || edge.proxy.metrics().sum("cognigate_auth_duration_seconds_count", &[("path", path)]);
    eventually(&format!("{path}: {count}"), || (judged() == count as f64).then_some(()));
}

#[test]
fn a_hundred_requests_at_a_time_are_all_answered() {
    let _alone = alone();
    // The upstream is in this process, with a connection for each request that is on its way.
    allow_connections(usize::try_from(2 * CONNECTIONS * STREAMS).unwrap());
    let secure = Secure::start(&[]);
    let token = secure.edge.pool.id_token(&json!({}));
    let config = Arc::new(secure::config(&secure.authority, None));
    let mut client = SecureClient::connect(secure.edge.proxy.address(), config, "localhost").unwrap();
    assert_eq!(client.ask(&get("/items/1").token(&token)).status, 200, "from here on the token is known");

    let outcome = load(&secure, REQUESTS, CONNECTIONS, &[&format!("authorization: Bearer {token}")]);
    say(format_args!("h2load, {CONNECTIONS} connections of {STREAMS} streams: {outcome:?}"));
    assert_eq!(outcome.without_speed(), Outcome::of(REQUESTS, [REQUESTS, 0, 0, 0]));
    for (path, count) in [("verified", 1), ("cached", REQUESTS)] {
        await_verdicts(&secure.edge, path, count);
    }
    assert_eq!(secure.edge.upstream.take_requests().len() as u64, REQUESTS + 1);

    let refused = load(&secure, STREAMS, 1, &[]);
    assert_eq!(refused.without_speed(), Outcome::of(STREAMS, [0, 0, STREAMS, 0]), "what is refused shows");
    assert!(secure.edge.upstream.take_requests().is_empty());
}
