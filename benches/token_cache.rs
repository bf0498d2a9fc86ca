//! What a token costs that was seen before, with few and with many others in the cache.
//!
//! Every token is a different one with a signature of its own, since only such tokens enter the cache. Signing takes most
//! of a millisecond, so 100 000 of them keep all cores busy for a minute before the last measurement begins.
//!
//! Tokens are asked for in random order, which is the worst case: real traffic repeats some of them. As on a connection,
//! the request's own bytes are in the processor's caches (copied there before the time is taken) while the entry may not be.

mod gate;

use std::{
    error::Error,
    hint::black_box,
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

use cognigate_auth::local_pool::{LocalPoolError, SigningKey};
use criterion::{Bencher, Criterion};
use gate::{Gate, token};
use prometheus::{Registry, TextEncoder};

/// How many tokens are in the cache.
const SIZES: [usize; 3] = [64, 1_000, 100_000];

/// Requests for which the time is taken at once: their bytes fit into a second-level cache.
const BATCH: usize = 64;

/// Ten places for each token, so that they do not displace each other.
const CACHE_BYTES: usize = 2 << 30;

fn main() -> Result<(), Box<dyn Error>> {
    let key = SigningKey::generate("a")?;
    let mut criterion = Criterion::default().configure_from_args();
    for size in SIZES {
        let mut prepared = None;
        let mut failure = None;
        criterion.bench_function(&format!("token_cache/found_among/{size}"), |bencher| {
            // Here, so that a measurement that was not asked for signs nothing.
            match prepared.get_or_insert_with(|| prepare(&key, size)) {
                Ok((gate, tokens)) => measure(bencher, gate, tokens),
                Err(error) => failure = Some(error.to_string()),
            }
        });
        if let Some(failure) = failure {
            return Err(failure.into());
        }
    }
    criterion.final_summary();
    Ok(())
}

/// An authorizer that remembers so many tokens.
fn prepare(key: &SigningKey, size: usize) -> Result<(Gate, Vec<String>), Box<dyn Error>> {
    let tokens = mint(key, size)?;
    let registry = Registry::new();
    let gate = Gate::new(key, CACHE_BYTES, &registry)?;
    if let Some(token) = tokens.iter().find(|token| gate.reason(token) != "ok") {
        return Err(gate.reason(token).into());
    }
    let metrics = TextEncoder::new().encode_to_string(&registry.gather())?;
    let entries = metrics.lines().find_map(|line| line.strip_prefix("cognigate_token_cache_entries "));
    let displaced = size - entries.ok_or("no such metric")?.parse::<usize>()?;
    // A set may be full by chance, but one token in ten thousand is not seen in the result.
    if displaced * 10_000 > size {
        return Err(format!("{displaced} tokens were displaced").into());
    }
    Ok((gate, tokens))
}

/// Different tokens, signed on all cores.
fn mint(key: &SigningKey, size: usize) -> Result<Vec<String>, LocalPoolError> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let parts = (0..cores).map(|core| {
            scope.spawn(move || {
                (core..size).step_by(cores).map(|serial| token(key, serial)).collect::<Result<Vec<_>, _>>()
            })
        });
        let parts: Vec<_> = parts.collect();
        let mut tokens = Vec::with_capacity(size);
        for part in parts {
            tokens.append(&mut part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(tokens)
    })
}

fn measure(bencher: &mut Bencher<'_>, gate: &Gate, tokens: &[String]) {
    let mut random = fastrand::Rng::with_seed(1);
    bencher.iter_custom(|iterations| {
        let mut spent = Duration::ZERO;
        let mut left = usize::try_from(iterations).unwrap_or(usize::MAX);
        while left > 0 {
            let batch = left.min(BATCH);
            left -= batch;
            let requests: Vec<_> =
                (0..batch).filter_map(|_| tokens.get(random.usize(..tokens.len())).cloned()).collect();
            let started = Instant::now();
            for request in &requests {
                black_box(gate.reason(black_box(request)));
            }
            spent += started.elapsed();
        }
        spent
    });
}
