//! A million tokens through one cache, measured on a whole process with the allocator that is shipped: what it takes in
//! memory, how fast it takes them in, and how fast it finds what is in use.

#![expect(clippy::print_stdout, reason = "what was measured is worth more than that it was enough")]

use std::{
    env, fs,
    hint::black_box,
    process::Command,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{fixture::Fixture, *};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Set in the process that is measured.
const CHILD: &str = "COGNIGATE_TEST_FLOOD";

const TOKENS: usize = 1_000_000;
const CACHE_BYTES: usize = 64 << 20;
const MOST_RESIDENT_BYTES: usize = 80 << 20;

/// Threads that verify at once. Each frees what others have allocated.
const THREADS: usize = 2;

/// Tokens that are in use all the time, next to those that come once.
const HOT: usize = 1_000;

/// So many of a thread's tokens are timed as one: fewer than a thread takes in before another has its turn on a busy
/// machine.
const SLICE: usize = 100;
const SLICES: usize = TOKENS / THREADS / SLICE;

/// A process of its own, because what other tests take would count.
#[test]
fn a_million_tokens_leave_the_process_small_and_the_cache_fast() {
    if env::var_os(CHILD).is_some() {
        return flood();
    }
    let name = "cache::tests::flood::a_million_tokens_leave_the_process_small_and_the_cache_fast";
    let mut child = Command::new(env::current_exe().unwrap());
    let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{out}\n{err}");
    let measured = out.lines().find(|line| line.starts_with("flood: "));
    println!("{}", measured.expect("the child measured nothing"));
}

fn flood() {
    let fixture = Fixture::new();
    let hot = (0..HOT).map(|id| token(TOKENS + id)).collect::<Vec<_>>();
    let before = resident_bytes();
    let cache = TokenCache::new(CACHE_BYTES, fixture.metrics.clone());
    let most = AtomicUsize::new(0);

    // The first tenth fills the cache; all that is compared was measured in a full one.
    let is_full = Barrier::new(THREADS);
    let runs: Vec<Run> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (cache, fixture, hot, most, is_full) = (&cache, &fixture, &hot, &most, &is_full);
                scope.spawn(move || Run::of(number, &World { cache, fixture, hot, most }, is_full))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    let grown = most.load(Ordering::Relaxed).saturating_sub(before);
    let (entries, bytes, _) = fixture.counts();
    let intake = runs.iter().map(|run| run.intake).fold(f64::INFINITY, f64::min);
    let hits = runs.iter().map(|run| run.hits).fold(f64::INFINITY, f64::min);
    let missed: usize = runs.iter().map(|run| run.missed).sum();
    let slice = runs.iter().map(|run| run.last_slice).max().unwrap_or_default();
    println!(
        "flood: {TOKENS} tokens in a cache of {CACHE_BYTES} bytes, {entries} entries of {bytes} bytes at the end, \
         resident growth {:.1} MiB, intake last/first {intake:.2} ({slice:?} for {SLICE}), look-ups last/first {hits:.2}, \
         {missed} of {} uses missed",
        grown as f64 / f64::from(1 << 20),
        TOKENS - TOKENS / 10,
    );
    assert!(grown < MOST_RESIDENT_BYTES, "{grown} bytes");
    assert!(usize::try_from(bytes).unwrap() <= CACHE_BYTES && bytes == fixture.bytes_in(&cache));
    // What is in use stays while a million others pass, unless its thread stood still for long.
    assert!(missed < TOKENS / 100, "{missed} uses missed");
    assert!(intake > 0.5 && hits > 0.5, "{intake} of the intake and {hits} of the look-ups are left");
}

struct World<'w> {
    cache: &'w TokenCache,
    fixture: &'w Fixture,
    hot: &'w [Vec<u8>],
    most: &'w AtomicUsize,
}

/// What one thread measured.
struct Run {
    /// How fast the last tenth was taken in, over the first that was in a full cache.
    intake: f64,
    /// How fast hot tokens were found after it all, over before.
    hits: f64,
    /// Uses of a hot token that was not there, in a full cache.
    missed: usize,
    last_slice: Duration,
}

impl Run {
    fn of(number: usize, world: &World<'_>, is_full: &Barrier) -> Self {
        let model = world.fixture.entry(&token(0), LATER);
        for token in world.hot.iter().skip(number).step_by(THREADS) {
            world.cache.insert(world.fixture.another(&model, token), NOW);
        }
        is_full.wait();
        let (mut slices, mut missed, mut hits) = (Vec::with_capacity(SLICES), 0, Vec::new());
        for slice in 0..SLICES {
            if slice == SLICES / 10 {
                is_full.wait();
                (missed, hits) = (0, vec![world.time_hits()]);
            }
            let began = Instant::now();
            for at in 0..SLICE {
                let id = (slice * SLICE + at) * THREADS + number;
                missed += world.take_in(id, &model);
            }
            slices.push(began.elapsed());
            world.most.fetch_max(resident_bytes(), Ordering::Relaxed);
        }
        is_full.wait();
        hits.push(world.time_hits());
        let tenth = SLICES / 10;
        let [first, last] = [tenth, SLICES - tenth].map(|from| undisturbed(&slices[from..from + tenth]));
        Self { intake: first.div_duration_f64(last), hits: hits[0].div_duration_f64(hits[1]), missed, last_slice: last }
    }
}

impl World<'_> {
    /// What a token that was never seen costs the cache, and one use of a token that is in use: whether that was missed.
    fn take_in(&self, id: usize, model: &VerifiedToken) -> usize {
        let token = token(id);
        assert!(self.cache.find(RawToken::new(&token)).is_none(), "{id} was never seen");
        self.cache.insert(self.fixture.another(model, &token), NOW);
        let hot = &self.hot[id % HOT];
        let is_missed = self.cache.find(RawToken::new(hot)).is_none();
        if is_missed {
            self.cache.insert(self.fixture.another(model, hot), NOW);
        }
        usize::from(is_missed)
    }

    /// The time of one round over the hot tokens.
    fn time_hits(&self) -> Duration {
        let rounds = (0..100).map(|_| {
            let began = Instant::now();
            for token in self.hot {
                black_box(self.cache.find(RawToken::new(token)));
            }
            began.elapsed()
        });
        undisturbed(&rounds.collect::<Vec<_>>())
    }
}

/// A token of a usual size, whose end is as random as a signature.
fn token(id: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(id as u64);
    let mut token = vec![b'a'; USUAL_BYTES];
    token.iter_mut().rev().take(INDEX_BYTES).for_each(|byte| *byte = random.alphanumeric() as u8);
    token
}

/// The time that a tenth of these keep below: what it takes while nothing else wants the machine.
fn undisturbed(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 10]
}

/// What this process has in memory.
fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
    resident.unwrap().trim().parse::<usize>().unwrap() * 1024
}
