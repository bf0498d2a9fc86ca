//! What the accounts of rate limits take in memory: so much and no more, however many callers there are.

use std::{
    error::Error,
    fs,
    net::Ipv4Addr,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use ahash::RandomState;
use cognigate::{
    config::model::Rate,
    rate::{Account, Quota, RateLimiter, Whose},
    subscriber::Subscriber,
    telemetry::metrics::RateMetrics,
};
use dhat::HeapStats;
use prometheus::Registry;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// The default of `rate_limit_keys`.
const CAPACITY: usize = 1_048_576;

/// What an account takes.
const ACCOUNT_BYTES: usize = 16;

const MILLION: u32 = 1_000_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One test, because the whole process is counted.
#[test]
fn a_flood_of_a_million_callers_takes_what_is_said_and_a_second_one_nothing() -> Outcome<()> {
    let rate = Rate { count: NonZeroU32::MIN, period: Duration::from_secs(3600) };
    let quota = Quota::new(rate, NonZeroU32::MIN);
    let began = Instant::now();
    let _profiler = dhat::Profiler::builder().testing().build();
    let (before, resident_before) = (HeapStats::get().curr_bytes, resident_bytes()?);
    let metrics = RateMetrics::register(&Registry::new())?;
    let limiter = RateLimiter::new(CAPACITY, RandomState::new(), began, metrics.clone());
    let empty = HeapStats::get().curr_bytes - before;
    assert!(empty < 64 * 1024, "{empty} bytes for nobody");

    let flood = |route| {
        (0..MILLION).all(|number| {
            let whose = Whose::Source(Subscriber::of(Ipv4Addr::from(number).into()));
            limiter.take(&Account { route: Some(route), whose }, quota, began).is_ok()
        })
    };
    assert!(flood("GET /a"), "nobody was here before");
    let taken = HeapStats::get().curr_bytes - before;
    let resident = resident_bytes()?.saturating_sub(resident_before);
    assert!(taken <= CAPACITY * ACCOUNT_BYTES * 11 / 10, "{taken} bytes for a million");
    assert!(resident <= 64 << 20, "{resident} bytes resident for a million");
    let blocks = HeapStats::get().total_blocks;
    assert!(flood("GET /b"), "whoever is new is let in, whatever others owe");
    assert_eq!(HeapStats::get().total_blocks, blocks, "blocks for another million");
    assert!(usize::try_from(metrics.keys.get())? <= CAPACITY);
    assert!(metrics.evictions.get() >= u64::from(2 * MILLION) - u64::try_from(CAPACITY)?);
    Ok(())
}

/// What of this process is in memory.
fn resident_bytes() -> Outcome<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kibibytes: usize = line.split_whitespace().next().ok_or("no number")?.parse()?;
    Ok(kibibytes * 1024)
}
