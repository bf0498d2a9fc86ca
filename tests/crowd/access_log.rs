//! The access log of 30,000 requests a second: every line is there, and whole.

use std::{
    fs,
    path::PathBuf,
    process, thread,
    time::{Duration, Instant},
};

use cognigate::{
    config::model::{AccessLogConfig, LogFormat, LogTarget},
    telemetry::{
        access_log::{AccessLog, Entry, LogWriters},
        metrics::ProxyMetrics,
    },
};
use e2e::{log_entry::entry, wait::PATIENCE};
use prometheus::Registry;
use serde_json::Value;

use crate::{alone, say};

const THREADS: u64 = 4;

/// Lines that a thread writes at once.
const BATCH: u64 = 75;

/// The time from one such batch to the next.
const PACE: Duration = Duration::from_millis(10);

/// Batches of a thread: three seconds of them.
const BATCHES: u32 = 300;

/// A file that no disk holds up, which is removed when this is dropped.
struct InMemory(PathBuf);

impl InMemory {
    fn new() -> Self {
        Self(PathBuf::from("/dev/shm").join(format!("cognigate-access-log-{}", process::id())))
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

fn numbered(number: u64) -> Entry<'static> {
    Entry { bytes_sent: number, ..entry() }
}

/// Writes its share, at an even pace.
fn write(log: &AccessLog, thread: u64) {
    let start = Instant::now();
    for batch in 0..BATCHES {
        let first = thread + THREADS * BATCH * u64::from(batch);
        (0..BATCH).for_each(|place| log.write(&numbered(first + THREADS * place)));
        thread::park_timeout((PACE * (batch + 1)).saturating_sub(start.elapsed()));
    }
}

#[test]
fn no_line_of_30_000_a_second_is_lost() {
    let _turn = alone();
    let file = InMemory::new();
    let path = &file.0;
    let metrics = ProxyMetrics::register(&Registry::new(), "", "").unwrap().access_log;
    let (writers, config) =
        (LogWriters::default(), AccessLogConfig { target: LogTarget::File(path.clone()), format: LogFormat::Json });
    let log = AccessLog::open(&config, metrics.clone(), &writers).unwrap();
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn({
                let log = &log;
                move || write(log, thread)
            });
        }
    });
    let took = start.elapsed();
    assert!(writers.flush(PATIENCE));
    let count = THREADS * BATCH * u64::from(BATCHES);
    let [written, dropped, failed] = [&metrics.written, &metrics.dropped, &metrics.failed].map(|counter| counter.get());
    assert_eq!((written, dropped, failed), (count, 0, 0));
    let text = fs::read_to_string(path).unwrap();
    let mut numbers: Vec<_> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["bytes_sent"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..count), "each of them once");
    say(format_args!("access log: {count} lines, {} MB, in {took:.2?}", text.len() / 1_000_000));
}
