//! Whole logs: what lines look like, and what becomes of them.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use nix::{fcntl::OFlag, sys::stat::Mode, unistd::mkfifo};
use prometheus::Registry;
use serde_json::Value;

use super::*;
use crate::{config::model::LogTarget, telemetry::metrics::ProxyMetrics};

/// How long a test waits for what happens at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory that is removed when this is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cognigate-access-log-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A log and all that belongs to it.
struct Open {
    log: AccessLog,
    metrics: AccessLogMetrics,
    writers: LogWriters,
}

impl Open {
    fn at(path: &Path, format: LogFormat) -> Self {
        let metrics = ProxyMetrics::register(&Registry::new(), "", "").unwrap().access_log;
        let writers = LogWriters::default();
        let config = AccessLogConfig { target: LogTarget::File(path.to_owned()), format };
        Self { log: AccessLog::open(&config, metrics.clone(), &writers).unwrap(), metrics, writers }
    }

    fn counts(&self) -> [u64; 3] {
        [&self.metrics.written, &self.metrics.dropped, &self.metrics.failed].map(|counter| counter.get())
    }
}

fn smallest() -> Entry<'static> {
    Entry {
        began: 1_793_610_487_006,
        request_id: b"7f0c",
        trace_id: None,
        client: None,
        method: "GET",
        host: None,
        target: b"/",
        protocol: "HTTP/1.0",
        status: 499,
        bytes_received: 0,
        bytes_sent: 0,
        user_agent: None,
        referer: None,
        route: None,
        reason: None,
        refusal: None,
        caller: None,
        sent: None,
        took: Duration::from_micros(81),
        auth_took: None,
        tls: None,
    }
}

fn fullest() -> Entry<'static> {
    Entry {
        trace_id: Some(&"4bf92f3577b34da6a3ce929d0e0e4736"),
        client: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))),
        method: "POST",
        host: Some(b"api.example.com:8443"),
        target: b"/items/\"1\"?token=secret",
        protocol: "HTTP/2.0",
        status: 502,
        bytes_received: 12,
        bytes_sent: 345,
        user_agent: Some(b"Mozilla/5.0 (\"\xff\\)"),
        referer: Some(b"https://app.example.com/a?code=secret#b"),
        route: Some("POST api.example.com /items/{id}"),
        reason: Some("ok"),
        refusal: Some("bad_gateway"),
        caller: Some(Caller { sub: "5f0c", client_id: "4example", user_pool: "main" }),
        sent: Some(Sent {
            upstream: "items",
            endpoint: Some(([10, 0, 0, 11], 8080).into()),
            retries: 1,
            took: Duration::from_micros(12_000),
        }),
        took: Duration::from_micros(12_345),
        auth_took: Some(Duration::from_micros(300)),
        tls: Some("TLSv1.3"),
        ..smallest()
    }
}

fn line(format: LogFormat, entry: &Entry<'_>) -> String {
    let mut line = Line::default();
    match format {
        LogFormat::Combined => combined::write(&mut line, entry),
        LogFormat::Json => json::write(&mut line, entry),
    }
    String::from_utf8(line.as_bytes().to_vec()).unwrap()
}

#[test]
fn a_line_of_json_tells_what_there_is() {
    assert_eq!(
        line(LogFormat::Json, &smallest()),
        r#"{"time":"2026-11-02T09:08:07.006Z","request_id":"7f0c","method":"GET","path":"/","protocol":"HTTP/1.0","status":499,"bytes_received":0,"bytes_sent":0,"duration_ms":0.081}"#
    );
    assert_eq!(
        line(LogFormat::Json, &fullest()),
        concat!(
            r#"{"time":"2026-11-02T09:08:07.006Z","request_id":"7f0c","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","#,
            r#""client":"192.0.2.7","method":"POST","host":"api.example.com:8443","path":"/items/\"1\"","#,
            r#""protocol":"HTTP/2.0","status":502,"bytes_received":12,"bytes_sent":345,"#,
            r#""user_agent":"Mozilla/5.0 (\"\ufffd\\)","referer":"https://app.example.com/a","#,
            r#""route":"POST api.example.com /items/{id}","reason":"ok","refusal":"bad_gateway","#,
            r#""sub":"5f0c","client_id":"4example","user_pool":"main","#,
            r#""upstream":"items","endpoint":"10.0.0.11:8080","retries":1,"#,
            r#""duration_ms":12.345,"auth_ms":0.300,"upstream_ms":12.000,"tls":"TLSv1.3"}"#
        )
    );
}

#[test]
fn a_combined_line_is_as_apache_writes_it() {
    assert_eq!(
        line(LogFormat::Combined, &smallest()),
        r#"- - - [02/Nov/2026:09:08:07 +0000] "GET / HTTP/1.0" 499 - "-" "-""#
    );
    assert_eq!(
        line(LogFormat::Combined, &fullest()),
        r#"192.0.2.7 - 5f0c [02/Nov/2026:09:08:07 +0000] "POST /items/\"1\" HTTP/2.0" 502 345 "https://app.example.com/a" "Mozilla/5.0 (\"\xff\\)""#
    );
}

#[test]
fn whatever_is_sent_a_line_is_one_line() {
    let hostile: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let entry = Entry {
        method: "\"\\\n",
        host: Some(&hostile),
        target: &hostile,
        user_agent: Some(&hostile),
        referer: Some(&hostile),
        route: Some("\"\n"),
        ..fullest()
    };
    let json = line(LogFormat::Json, &entry);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["method"], "\"\\\n");
    for line in [json, line(LogFormat::Combined, &entry)] {
        assert!(!line.contains(char::is_control), "{line}");
        assert!(line.len() < 32 * 1024, "{}", line.len());
    }
}

#[test]
fn a_file_is_appended_to_and_is_for_its_owner_and_group() {
    let directory = Directory::new();
    let path = directory.0.join("access.log");
    for lines in 1..=2 {
        let open = Open::at(&path, LogFormat::Combined);
        open.log.write(&smallest());
        assert!(open.writers.flush(PATIENCE));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), lines);
        assert_eq!(open.counts(), [1, 0, 0]);
    }
    // Nobody's umask gives more.
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
}

#[test]
fn what_cannot_be_opened_is_said() {
    let directory = Directory::new();
    for path in [directory.0.clone(), directory.0.join("nowhere/access.log")] {
        let config = AccessLogConfig { target: LogTarget::File(path.clone()), format: LogFormat::Json };
        let metrics = ProxyMetrics::register(&Registry::new(), "", "").unwrap().access_log;
        let error = AccessLog::open(&config, metrics, &LogWriters::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("access_log.path: cannot open {}", path.display()));
    }
}

#[test]
fn a_file_that_was_renamed_or_removed_is_made_anew_on_demand() {
    let directory = Directory::new();
    let [path, renamed] = ["access.log", "access.log.1"].map(|name| directory.0.join(name));
    let open = Open::at(&path, LogFormat::Combined);
    let writes = |count| {
        (0..count).for_each(|_| open.log.write(&smallest()));
        assert!(open.writers.flush(PATIENCE));
    };
    let lines = |path: &Path| fs::read_to_string(path).map_or(0, |text| text.lines().count());
    writes(1);
    fs::rename(&path, &renamed).unwrap();
    writes(2);
    assert_eq!((lines(&path), lines(&renamed)), (0, 3), "nobody said so");
    open.writers.reopen();
    writes(4);
    assert_eq!((lines(&path), lines(&renamed)), (4, 3));

    fs::remove_file(&path).unwrap();
    open.writers.reopen();
    writes(5);
    assert_eq!(lines(&path), 5);

    // Where there is no directory any more, it goes on where it was.
    let moved = directory.0.with_extension("moved");
    fs::rename(&directory.0, &moved).unwrap();
    open.writers.reopen();
    writes(1);
    assert_eq!(lines(&moved.join("access.log")), 6);
    fs::rename(&moved, &directory.0).unwrap();
    assert_eq!(open.counts(), [13, 0, 0]);
}

#[test]
fn a_log_that_nobody_needs_any_more_is_written_to_its_end() {
    let directory = Directory::new();
    let path = directory.0.join("access.log");
    let Open { log, metrics, writers } = Open::at(&path, LogFormat::Combined);
    (0..1_000).for_each(|_| log.write(&smallest()));
    drop(log);
    assert!(writers.flush(PATIENCE));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1_000);
    assert_eq!(metrics.written.get(), 1_000);
}

#[test]
fn a_full_disk_loses_lines_and_counts_them() {
    let open = Open::at(Path::new("/dev/full"), LogFormat::Json);
    (0..100).for_each(|_| open.log.write(&smallest()));
    assert!(open.writers.flush(PATIENCE));
    assert_eq!(open.counts(), [0, 0, 100]);
}

#[test]
fn a_fifo_that_nobody_reads_holds_up_nobody_and_is_well_once_it_is_read() {
    let directory = Directory::new();
    let path = directory.0.join("fifo");
    mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
    let open = Open::at(&path, LogFormat::Combined);
    let target = "x".repeat(900);
    let entry = Entry { target: target.as_bytes(), ..smallest() };
    let count = 20_000;
    let start = Instant::now();
    (0..count).for_each(|_| open.log.write(&entry));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert!(open.metrics.dropped.get() > 0, "{:?}", open.counts());
    assert!(!open.writers.flush(Duration::from_millis(10)), "nobody reads");

    let fifo = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path).unwrap();
    let reader = thread::spawn(move || read_lines(fifo));
    assert!(open.writers.flush(PATIENCE));
    // What comes now finds room, and ends the reading.
    open.log.write(&Entry { target: b"/last", ..smallest() });
    let lines = reader.join().unwrap();
    assert!(open.writers.flush(PATIENCE));
    let [written, dropped, failed] = open.counts();
    assert_eq!((written + dropped, failed), (count + 1, 0));
    assert_eq!(lines.len(), usize::try_from(written).unwrap());
    assert!(lines.iter().all(|line| line.starts_with("- - - [") && line.ends_with("\"-\" \"-\"")), "whole lines");
}

/// The lines up to the one that asks for `/last`.
fn read_lines(fifo: File) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let (mut lines, mut line, mut fifo) = (Vec::new(), String::new(), BufReader::new(fifo));
    while Instant::now() < deadline {
        match fifo.read_line(&mut line) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            read => assert!(read.unwrap() > 0),
        }
        if let Some(whole) = line.strip_suffix('\n') {
            lines.push(whole.to_owned());
            line.clear();
        }
        if lines.last().is_some_and(|line| line.contains("/last")) {
            return lines;
        }
    }
    panic!("the last line does not come");
}
