//! What a line of the access log costs the request that it is about: made and handed to the writer, which writes it meanwhile.

use std::{
    error::Error,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use cognigate::{
    config::model::{AccessLogConfig, LogFormat, LogTarget},
    telemetry::{
        access_log::{AccessLog, Caller, Entry, LogWriters, Sent},
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

fn entry() -> Entry<'static> {
    Entry {
        began: 1_793_610_487_006,
        request_id: b"7f0c2f6e-5f0c-4f0c-8f0c-7f0c2f6e5f0c",
        trace_id: None,
        client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        method: "GET",
        host: Some(b"api.example.com"),
        target: b"/items/123?fields=all",
        protocol: "HTTP/1.1",
        status: 200,
        bytes_received: 0,
        bytes_sent: 345,
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"),
        referer: Some(b"https://app.example.com/items"),
        route: Some("GET api.example.com /items/{id}"),
        reason: Some("ok"),
        refusal: None,
        caller: Some(Caller {
            sub: "5f0c2f6e-5f0c-4f0c-8f0c-7f0c2f6e5f0c",
            client_id: "4example23client56id78abcd",
            user_pool: "main",
        }),
        sent: Some(Sent {
            upstream: "items",
            endpoint: Some(([10, 0, 0, 11], 8080).into()),
            retries: 0,
            took: Duration::from_micros(900),
        }),
        took: Duration::from_micros(1_000),
        auth_took: Some(Duration::from_micros(2)),
        tls: Some("TLSv1.3"),
    }
}
