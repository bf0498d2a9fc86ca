//! What a token costs that was seen before, with few and with a million others in the cache, on one thread and on two.
//!
//! Every token is a different one with a signature of its own, since only such tokens enter the cache. A million of them are
//! made and verified in two minutes at most, and take 4 GB.
//!
//! Tokens are asked for in random order, which is the worst case: real traffic repeats some of them. As on a connection,
//! the request's own bytes are in the processor's caches (copied there before the time is taken) while the entry may not be.
//! Of two threads each copies and asks at its own pace, and the time is that of one of them.

use std::{
    error::Error,
    hint::black_box,
    num::NonZeroUsize,
    panic::resume_unwind,
    thread,
    time::{Duration, Instant},
};

use benches::{
    gate::{Gate, token},
    weak_key::WeakKey,
};
use criterion::{Bencher, Criterion};
use fastrand::Rng;
use prometheus::{Registry, TextEncoder};

/// How many tokens are in the cache.
const SIZES: [usize; 4] = [64, 1_000, 100_000, 1_000_000];

/// Requests for which the time is taken at once: their bytes fit into a second-level cache.
const BATCH: usize = 64;

/// What the cache may take for each token: a set of eight places, so that they do not displace each other.
const CACHE_BYTES_PER_TOKEN: usize = 20 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    for size in SIZES {
        let mut prepared = None;
        let mut failure = None;
        for (suffix, threads) in [("", 1), ("/two_threads", 2)] {
            criterion.bench_function(&format!("token_cache/found_among/{size}{suffix}"), |bencher| {
                // Here, so that a measurement that was not asked for signs nothing.
                match prepared.get_or_insert_with(|| prepare(size)) {
                    Ok((gate, tokens)) => measure(bencher, gate, tokens, threads),
                    Err(error) => failure = Some(error.to_string()),
                }
            });
        }
        if let Some(failure) = failure {
            return Err(failure.into());
        }
    }
    criterion.final_summary();
    Ok(())
}

/// An authorizer that remembers so many tokens.
fn prepare(size: usize) -> Result<(Gate, Vec<String>), Box<dyn Error>> {
    let key = WeakKey::new("a");
    let registry = Registry::new();
    let gate = Gate::new(&key, CACHE_BYTES_PER_TOKEN * size, &registry)?;
    let tokens = fill(&gate, &key, size)?;
    let metrics = TextEncoder::new().encode_to_string(&registry.gather())?;
    let entries = metrics.lines().find_map(|line| line.strip_prefix("cognigate_token_cache_entries "));
    let displaced = size - entries.ok_or("no such metric")?.parse::<usize>()?;
    // A set may be full by chance, but one token in ten thousand is not seen in the result.
    if displaced * 10_000 > size {
        return Err(format!("{displaced} tokens were displaced").into());
    }
    Ok((gate, tokens))
}

/// Different tokens, signed and shown to the gate on all cores.
fn fill(gate: &Gate, key: &WeakKey, size: usize) -> Result<Vec<String>, &'static str> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let accepted = |serial| {
        let token = token(key, serial);
        match gate.reason(Some(&token)) {
            "ok" => Ok(token),
            reason => Err(reason),
        }
    };
    let parts = on_threads(
        (0..cores).map(|core| move || (core..size).step_by(cores).map(accepted).collect::<Result<Vec<_>, _>>()),
    );
    let mut tokens = Vec::with_capacity(size);
    for part in parts {
        tokens.append(&mut part?);
    }
    Ok(tokens)
}

fn measure(bencher: &mut Bencher<'_>, gate: &Gate, tokens: &[String], threads: u32) {
    let mut random = Vec::from_iter((0..threads).map(|thread| Rng::with_seed(thread.into())));
    bencher.iter_custom(|iterations| {
        let spent = on_threads(random.iter_mut().map(|random| move || look_up(gate, tokens, iterations, random)));
        spent.iter().sum::<Duration>() / threads
    });
}

/// The time that so many look-ups take.
fn look_up(gate: &Gate, tokens: &[String], iterations: u64, random: &mut Rng) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = usize::try_from(iterations).unwrap_or(usize::MAX);
    while left > 0 {
        let batch = left.min(BATCH);
        left -= batch;
        let requests: Vec<_> = (0..batch).filter_map(|_| tokens.get(random.usize(..tokens.len())).cloned()).collect();
        let started = Instant::now();
        for request in &requests {
            black_box(gate.reason(Some(black_box(request))));
        }
        spent += started.elapsed();
    }
    spent
}

/// What these come to, each on a thread of its own.
fn on_threads<T: Send>(work: impl Iterator<Item = impl FnOnce() -> T + Send>) -> Vec<T> {
    thread::scope(|scope| {
        let threads = Vec::from_iter(work.map(|work| scope.spawn(work)));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}
