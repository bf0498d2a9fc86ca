//! What a line of the access log costs the request that it is about: made and handed to the writer, which writes it meanwhile.

use std::{
    error::Error,
    hint::black_box,
    time::{Duration, Instant},
};

use benches::log_entry::entry;
use cognigate::{
    config::model::{AccessLogConfig, LogFormat, LogTarget},
    telemetry::{
        access_log::{AccessLog, LogWriters},
        metrics::ProxyMetrics,
    },
};
use criterion::Criterion;
use prometheus::Registry;

/// Lines for which the time is taken at once. Then the writer is let catch up.
const BATCH: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().measurement_time(Duration::from_secs(1)).configure_from_args();
    for (name, format) in [("json", LogFormat::Json), ("combined", LogFormat::Combined)] {
        let metrics = ProxyMetrics::register(&Registry::new(), "", "")?.access_log;
        let writers = LogWriters::default();
        let config = AccessLogConfig { target: LogTarget::File("/dev/null".into()), format };
        let log = AccessLog::open(&config, metrics, &writers)?;
        criterion.bench_function(&format!("access_log/{name}"), |bencher| {
            bencher.iter_custom(|lines| {
                let mut spent = Duration::ZERO;
                for first in (0..lines).step_by(usize::try_from(BATCH).unwrap_or(1)) {
                    let start = Instant::now();
                    (0..BATCH.min(lines - first)).for_each(|_| log.write(black_box(&entry())));
                    spent += start.elapsed();
                    writers.flush(Duration::from_secs(1));
                }
                spent
            });
        });
    }
    criterion.final_summary();
    Ok(())
}
