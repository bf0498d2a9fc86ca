//! Clients that take their time, and must not take that of others.

use std::time::{Duration, Instant};

use e2e::client::Client;

use crate::{load::pause, nginx::LARGE, report::Report, stage::Stage};

/// As every upstream is unless its configuration says more. Its servers may not take longer than a second between two reads, which
/// must not be held against them while it is the client that takes longer.
const PATIENT: &str = "balance: round_robin";

/// How many dawdle at the same time.
const DAWDLERS: usize = 16;

/// How often they do something.
const STEPS: u32 = 20;

/// What 99 of 100 of the others' requests may take.
const OTHERS_P99: Duration = Duration::from_millis(500);

/// What each of the dawdlers may cost the proxy, in KiB: buffers of a connection and of its upstream's, but not a response.
const KIB_EACH: u64 = 1024;

/// Clients read a response of 16 MiB as slowly as they can. Nobody else waits for them, and the proxy does not keep for them
/// what they do not read.
pub(crate) fn reads_slowly(report: &mut Report, lasts: Duration) {
    let stage = Stage::start(PATIENT);
    let load = stage.load("GET");
    let before = resident(stage.proxy.id());
    let began = report.begin();
    let mut clients: Vec<_> = (0..DAWDLERS).map(|_| Client::connect(stage.proxy.address())).collect();
    for client in &mut clients {
        client.send(stage.request("GET", "/large/1").to_bytes());
        report.require(client.head().start_line().contains(" 200 "), || "a slow reader is refused".to_owned());
    }
    let sip = 16 * 1024;
    for _ in 0..STEPS {
        pause(lasts / STEPS);
        clients.iter_mut().for_each(|client| drop(client.take(sip)));
    }
    let grown = resident(stage.proxy.id()).saturating_sub(before);
    let samples_end = Instant::now();
    stage.finish(report, load);
    for client in &mut clients {
        let rest = client.take(LARGE - sip * STEPS as usize);
        report.require(rest.iter().all(|byte| *byte == b'l'), || "a slow reader got something else".to_owned());
    }
    report.note(format!("{DAWDLERS} slow readers for {:.1} s, {grown} KiB", (samples_end - began).as_secs_f64()));
    report.require(grown < KIB_EACH * DAWDLERS as u64, || format!("the proxy grew by {grown} KiB"));
    report.require_failures(0);
    report.require_p99(OTHERS_P99);
}

/// Clients upload a few bytes at a time. Nobody else waits for them, and each is answered in the end.
pub(crate) fn uploads_slowly(report: &mut Report, lasts: Duration) {
    let stage = Stage::start(PATIENT);
    let load = stage.load("GET");
    report.begin();
    let mut clients: Vec<_> = (0..DAWDLERS).map(|_| Client::connect(stage.proxy.address())).collect();
    let crumb = vec![b'u'; 1024];
    for (number, client) in clients.iter_mut().enumerate() {
        let length = (crumb.len() * STEPS as usize).to_string();
        let request = stage.request("PUT", &format!("/uploads/{number}")).header("Content-Length", length);
        client.send(request.to_bytes());
    }
    for _ in 0..STEPS {
        pause(lasts / STEPS);
        clients.iter_mut().for_each(|client| client.send(&crumb));
    }
    for client in &mut clients {
        let status = client.response().status;
        report.require(status == 201, || format!("a slow upload was answered {status}"));
    }
    stage.finish(report, load);
    report.note(format!("{DAWDLERS} slow uploads"));
    report.require_failures(0);
    report.require_p99(OTHERS_P99);
}

/// The memory of a process that is not swapped out, in KiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
