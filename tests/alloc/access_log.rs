//! That a line of the access log allocates nothing, counted in the log alone.

use std::{env, error::Error, fs, process, time::Duration};

use cognigate::{
    config::model::{AccessLogConfig, LogFormat, LogTarget},
    telemetry::{
        access_log::{AccessLog, LogWriters},
        metrics::ProxyMetrics,
    },
};
use dhat::HeapStats;
use e2e::log_entry::entry;
use prometheus::Registry;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const LINES: u64 = 10_000;

/// One test, because the whole process is counted.
#[test]
fn a_line_allocates_nothing() -> Result<(), Box<dyn Error>> {
    let _profiler = dhat::Profiler::builder().testing().build();
    for format in [LogFormat::Json, LogFormat::Combined] {
        let path = env::temp_dir().join(format!("cognigate-alloc-{}-{format:?}.log", process::id()));
        let metrics = ProxyMetrics::register(&Registry::new(), "", "")?.access_log;
        let writers = LogWriters::default();
        let config = AccessLogConfig { target: LogTarget::File(path.clone()), format };
        let log = AccessLog::open(&config, metrics.clone(), &writers)?;
        // The first makes the buffer of this thread.
        log.write(&entry());
        writers.flush(Duration::from_secs(10));
        let before = HeapStats::get().total_blocks;
        (0..LINES).for_each(|_| log.write(&entry()));
        let blocks = HeapStats::get().total_blocks - before;
        assert!(writers.flush(Duration::from_secs(10)));
        fs::remove_file(&path)?;
        assert_eq!(metrics.written.get(), LINES + 1, "{format:?}");
        assert_eq!(blocks, 0, "{format:?}");
    }
    Ok(())
}
