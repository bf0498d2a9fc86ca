//! What becomes of the lines: files that are renamed, readers that are slow, processes that end.

use std::{
    fs,
    net::TcpListener,
    os::unix::net::UnixListener,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use e2e::{
    client::{Client, Request, get},
    load::{Connections, Load},
    process::{Directory, Process, Proxy},
    upstream::Answer,
    wait::{Gate, PATIENCE, eventually},
};

use serde_json::Value;

use super::Log;
use crate::{BINARY, edge};

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn a_rotation_loses_no_line_while_requests_run() {
    let log = Log::new();
    let section = log.section("json");
    let edge = edge(&[("access_log", &section)]);
    let load = Load::start(edge.proxy.address(), &get("/open/1"), &[Connections::Kept; 4]);
    let rotated: Vec<_> = (0..5).map(|number| log.directory.path(&format!("access.log.{number}"))).collect();
    for (number, path) in rotated.iter().enumerate() {
        load.await_answers(50);
        log.await_lines(1);
        fs::rename(&log.path, path).unwrap();
        if number == 2 {
            // A configuration that is refused does not hold a rotation up.
            edge.proxy.rewrite("listeners: [");
        }
        edge.proxy.signal("HUP");
        eventually("a new file", || log.path.exists().then_some(()));
    }
    load.await_answers(50);
    log.await_lines(1);
    let (answered, failures) = load.stop();
    assert!(failures.is_empty(), "{failures:?}");
    let total = || rotated.iter().map(|path| lines(path)).sum::<usize>() + lines(&log.path);
    eventually("every line", || (total() >= answered).then_some(()));
    assert_eq!(total(), answered);
    assert!(rotated.iter().chain([&log.path]).all(|path| lines(path) > 0));
    assert!(rotated.iter().all(|path| fs::read_to_string(path).unwrap().ends_with("}\n")), "whole lines");
}

#[test]
fn a_reload_that_names_another_file_is_followed_and_one_that_cannot_be_opened_is_refused() {
    let (log, other) = (Log::new(), Log::new());
    let (section, another) = (log.section("json"), other.section("combined"));
    let edge = edge(&[("access_log", &section)]);
    edge.ask(&get("/open/1"));
    let gate = Gate::default();
    edge.upstream.take_requests();
    edge.upstream.answer(Answer::After(gate.clone(), Box::new(Answer::Echo)));
    let mut before = edge.client();
    before.send(get("/open/2").to_bytes());
    edge.upstream.await_requests(1);

    edge.reload(&[("access_log", &another)]);
    edge.ask(&get("/nowhere"));
    assert_eq!(other.await_lines(1).len(), 1);
    gate.open();
    before.response();
    log.of("/open/2");
    assert_eq!((lines(&log.path), lines(&other.path)), (2, 1), "a request ends where it began");

    edge.rewrite(&[("access_log", "{ path: /nowhere/at/all/access.log }")]);
    edge.proxy.signal("HUP");
    let is_reason = |line: &str| line.contains("access_log.path: \"/nowhere/at/all/access.log\" cannot be written: ");
    edge.proxy.await_log("the reason", is_reason);
    edge.ask(&get("/nowhere"));
    assert_eq!(other.await_lines(2).len(), 2, "the one before stays");

    edge.reload(&[]);
    edge.ask(&get("/nowhere"));
    edge.reload(&[("access_log", &another)]);
    edge.ask(&get("/nowhere"));
    assert_eq!(other.await_lines(3).len(), 3, "nothing was written while it was off");
}

#[test]
fn a_file_that_cannot_be_opened_is_refused_at_the_start() {
    let directory = Directory::new();
    let config = "listeners: [{ address: 127.0.0.1:0 }]\nadmin: { address: 127.0.0.1:0 }\n\
                  upstreams: { items: { endpoints: ['127.0.0.1:1'] } }\n\
                  routes: [{ match: { path: / }, auth: none, upstream: items }]\naccess_log: { path: /nowhere/access.log }\n";
    let file = directory.write("cognigate.yaml", config);
    let mut process = Process::spawn(Command::new(BINARY).args(["run", "-c"]).arg(file));
    let status = process.wait_exit(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(78));
    let said = process.stderr().text();
    assert!(
        said.contains("access_log.path: \"/nowhere/access.log\" cannot be written: No such file or directory"),
        "{said}"
    );
}

#[test]
fn a_path_that_is_no_file_is_refused_at_the_start_and_on_a_reload() {
    let directory = Directory::new();
    let path = directory.path("socket");
    let _socket = UnixListener::bind(&path).unwrap();
    let said = format!("access_log.path: cannot open {}: No such device or address", path.display());
    let section = format!("{{ path: {path:?} }}");
    let config = format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ address: 127.0.0.1:0 }}\n\
         upstreams: {{ items: {{ endpoints: ['127.0.0.1:1'] }} }}\n\
         routes: [{{ match: {{ path: / }}, auth: none, upstream: items }}]\naccess_log: {section}\n"
    );
    let file = directory.write("cognigate.yaml", &config);
    let mut process = Process::spawn(Command::new(BINARY).args(["run", "-c"]).arg(file));
    assert_eq!(process.wait_exit(PATIENCE).and_then(|status| status.code()), Some(78));
    assert!(process.stderr().text().contains(&said), "{}", process.stderr().text());

    let edge = edge(&[]);
    edge.rewrite(&[("access_log", &section)]);
    edge.proxy.signal("HUP");
    edge.proxy.await_log("the reason", |line| line.contains(&said));
}

#[test]
fn a_process_that_stops_follows_a_rotation() {
    let log = Log::new();
    let section = log.section("json");
    let mut edge = edge(&[("access_log", &section), ("server", "{ shutdown_grace: 30s }")]);
    let gate = Gate::default();
    edge.upstream.answer(Answer::After(gate.clone(), Box::new(Answer::Echo)));
    let mut before = edge.client();
    before.send(get("/open/1").to_bytes());
    edge.upstream.await_requests(1);
    edge.proxy.signal("TERM");
    edge.proxy.await_log("the stop", |line| line.contains("stopping"));
    fs::rename(&log.path, log.directory.path("access.log.1")).unwrap();
    edge.proxy.signal("HUP");
    eventually("a new file", || log.path.exists().then_some(()));
    gate.open();
    before.response();
    assert_eq!(edge.proxy.wait_exit(PATIENCE).and_then(|status| status.code()), Some(0));
    log.of("/open/1");
}

#[test]
fn a_rotation_is_followed_that_a_hand_over_overtakes() {
    let log = Log::new();
    let section = log.section("json");
    let mut edge = edge(&[("access_log", &section)]);
    // A reload that takes its time, because it waits for keys that do not come.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (id, address) = ("eu-west-1_Silent", silent.local_addr().unwrap());
    let user_pools = format!(
        "{{ main: {{ id: $POOL, client_ids: [$CLIENT], jwks_uri: \"$KEYS\" }}, \
         silent: {{ id: {id}, any_client: true, jwks_uri: 'http://{address}/', jwks: {{ timeout: 30s }} }} }}"
    );
    let routes = "\n  - { match: { path: /silent }, auth: { user_pools: [silent] }, upstream: items }";
    edge.rewrite(&[("access_log", &section), ("user_pools", &user_pools), ("routes", routes)]);
    edge.proxy.signal("HUP");
    let _asked = silent.accept().unwrap();
    fs::rename(&log.path, log.directory.path("access.log.1")).unwrap();
    edge.proxy.signal("HUP");
    edge.proxy.signal("QUIT");
    eventually("a new file", || log.path.exists().then_some(()));
    edge.proxy.signal("TERM");
    assert_eq!(edge.proxy.wait_exit_of_first(PATIENCE).and_then(|status| status.code()), Some(0));
}

#[test]
fn the_last_lines_are_written_as_the_process_ends() {
    let log = Log::new();
    let section = log.section("json");
    let mut edge = edge(&[("access_log", &section), ("server", "{ shutdown_grace: 1s }")]);
    edge.upstream.answer(Answer::never());
    let mut stuck = edge.client();
    stuck.send(get("/open/stuck").to_bytes());
    edge.upstream.await_requests(1);
    edge.proxy.signal("TERM");
    assert_eq!(edge.proxy.wait_exit(PATIENCE).and_then(|status| status.code()), Some(0));
    assert_eq!(log.of("/open/stuck")["status"], 499, "{}", edge.proxy.log());
}

#[test]
fn both_processes_of_a_hand_over_write_their_lines() {
    let log = Log::new();
    let section = log.section("json");
    let mut edge = edge(&[("access_log", &section)]);
    let load = Load::start(edge.proxy.address(), &get("/open/1"), &[Connections::New, Connections::Kept]);
    load.await_answers(50);
    edge.proxy.signal("QUIT");
    assert_eq!(edge.proxy.wait_exit_of_first(PATIENCE).and_then(|status| status.code()), Some(0));
    load.await_answers(50);
    let (answered, failures) = load.stop();
    assert!(failures.is_empty(), "{failures:?}");
    eventually("every line", || (lines(&log.path) >= answered).then_some(()));
    assert_eq!(lines(&log.path), answered);
    assert!(log.text().lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

/// How many requests are asked at a time.
const ROUND: usize = 250;

/// More rounds than the buffers hold lines of.
const MAX_ROUNDS: usize = 40;

/// A request whose line is about as long as lines get.
fn long_request() -> Request {
    let long = "x".repeat(1_000);
    get(format!("/nowhere/{long}")).header("User-Agent", &*long).header("Referer", &*long)
}

/// Asks until lines are dropped, and as much again as it took to ask at first. Says how many requests that were.
#[track_caller]
fn flood(proxy: &Proxy) -> usize {
    let (mut client, request) = (Client::connect(proxy.address()), long_request());
    let mut round = || {
        let start = Instant::now();
        for _ in 0..ROUND {
            assert_eq!(client.ask(&request).status, 404);
        }
        start.elapsed()
    };
    let first = round();
    let dropping = (2..MAX_ROUNDS).find(|_| {
        round();
        let [_, dropped, _] = results(proxy);
        dropped > 0.0
    });
    let rounds = dropping.unwrap();
    let last = round();
    assert!(
        last < 3 * first + Duration::from_millis(200),
        "a round took {first:?}, and {last:?} while lines are dropped"
    );
    (rounds + 1) * ROUND
}

fn results(proxy: &Proxy) -> [f64; 3] {
    let metrics = proxy.metrics();
    ["written", "dropped", "failed"]
        .map(|result| metrics.sum("cognigate_access_log_lines_total", &[("result", result)]))
}

/// Waits until it is known what became of so many lines.
#[track_caller]
fn await_results(proxy: &Proxy, count: usize) -> [f64; 3] {
    eventually("every line", || {
        let results = results(proxy);
        (results.iter().sum::<f64>() >= count as f64).then_some(results)
    })
}

#[test]
fn a_fifo_that_nobody_reads_holds_up_nobody() {
    let log = Log::new();
    assert!(Command::new("mkfifo").arg(&log.path).status().unwrap().success());
    let section = log.section("json");
    let edge = edge(&[("access_log", &section)]);
    let count = flood(&edge.proxy);
    assert_eq!(edge.ask(&get("/open/1")).status, 200);

    // Read again, it has whole lines, and every further one.
    let reader = Process::spawn(Command::new("cat").arg(&log.path));
    await_results(&edge.proxy, count + 1);
    edge.ask(&get("/nowhere/the-last"));
    reader.stdout().find("the last line", |line| line.contains("/nowhere/the-last").then_some(()));
    let [written, dropped, failed] = await_results(&edge.proxy, count + 2);
    let text = reader.stdout().text();
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "whole lines");
    assert_eq!((text.lines().count() as f64, failed), (written, 0.0));
    assert_eq!(written + dropped, count as f64 + 2.0);
}

#[test]
fn a_full_standard_output_holds_up_nobody_either() {
    let config = "listeners: [{ address: 127.0.0.1:0 }]\nadmin: { address: 127.0.0.1:0 }\n\
                  upstreams: { items: { endpoints: ['127.0.0.1:1'] } }\n\
                  routes: [{ match: { path: / }, auth: none, upstream: items }]\naccess_log: { path: stdout }\n";
    let directory = Directory::new();
    let pipe = directory.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut proxy = Proxy::start_in(directory, config, |file| {
        let run = format!("exec {BINARY} run -c {} 1<> {}", file.display(), pipe.display());
        Process::spawn(Command::new("sh").args(["-c", &run]))
    });
    let count = flood(&proxy);
    let reader = Process::spawn(Command::new("cat").arg(&pipe));
    let [written, dropped, failed] = await_results(&proxy, count);
    assert!(written > 0.0 && dropped > 0.0 && failed == 0.0, "{written} {dropped} {failed}");
    eventually("read", || (reader.stdout().text().lines().count() as f64 == written).then_some(()));

    // Nobody reads any more: the end is not waited for.
    drop(reader);
    flood(&proxy);
    proxy.signal("TERM");
    assert_eq!(proxy.wait_exit_of_first(PATIENCE).and_then(|status| status.code()), Some(0));
    assert!(proxy.log().contains("the end of the access log cannot be written"), "{}", proxy.log());
}
