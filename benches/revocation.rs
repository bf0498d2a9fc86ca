//! What it costs to ask whether a token is revoked (its id, its session and its user together), and to change the list.
//!
//! Callers are asked about in random order, and there are so many of them that what the list has for them does not fit into
//! a second-level cache. Their own claims are in the processor's caches (copied there before the time is taken), as they are
//! once a token was found and its client was checked.

use std::{
    error::Error,
    hint::black_box,
    time::{Duration, Instant},
};

use benches::{
    gate::{Gate, token},
    weak_key::WeakKey,
};
use cognigate_auth::{
    identity::Identity,
    rejection::Rejection,
    revocation::{Revocation, RevocationList, Source, Subject, SubjectKind},
};
use criterion::{BatchSize, Bencher, Criterion};
use prometheus::Registry;

const MILLION: usize = 1_000_000;

/// How many different tokens are asked about.
const CALLERS: usize = 16_384;

/// Questions for which the time is taken at once: their claims fit into a second-level cache.
const BATCH: usize = 64;

/// Far ahead.
const EXPIRES_AT: u64 = 1_800_000_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let callers = callers()?;
    for size in [0, 1_000, MILLION] {
        let list = RevocationList::new(MILLION);
        list.replace(Source::File, entries(size, 0)?)?;
        criterion.bench_function(&format!("revocation/not_among/{size}"), |bencher| ask(bencher, &list, &callers));
    }
    // Only sessions: the other two kinds cost one load each.
    let sessions = RevocationList::new(MILLION);
    let mut entries_of_kind = entries(3 * MILLION, 0)?;
    entries_of_kind.retain(|entry| entry.subject.kind() == SubjectKind::OriginJti);
    sessions.replace(Source::File, entries_of_kind)?;
    criterion.bench_function("revocation/not_among/1000000_sessions", |bencher| ask(bencher, &sessions, &callers));
    let named = RevocationList::new(2 * MILLION);
    named.replace(Source::File, entries(MILLION, 0)?)?;
    named.replace(Source::Shared, naming(&callers)?)?;
    criterion.bench_function("revocation/among/1000000", |bencher| ask(bencher, &named, &callers));
    change(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// Adding one to a million and taking it back, and replacing a million.
fn change(criterion: &mut Criterion) -> Outcome<()> {
    let list = RevocationList::new(2 * MILLION);
    let (million, others) = (entries(MILLION, 0)?, entries(1_000, 1)?);
    list.replace(Source::File, million.clone())?;
    let mut others = others.iter().cycle();
    criterion.bench_function("revocation/add_and_remove_one/1000000", |bencher| {
        bencher.iter(|| {
            others.next().is_some_and(|other| {
                list.add(Source::Shared, other.clone()).is_ok() && list.remove(Source::Shared, &other.subject)
            })
        });
    });
    let mut group = criterion.benchmark_group("revocation/replace");
    group.sample_size(10);
    group.bench_function("1000000", |bencher| {
        bencher.iter_batched(
            || million.clone(),
            |million| list.replace(Source::File, million),
            BatchSize::PerIteration,
        );
    });
    group.finish();
    Ok(())
}

fn ask(bencher: &mut Bencher<'_>, list: &RevocationList, callers: &[Identity]) {
    let mut random = fastrand::Rng::with_seed(1);
    bencher.iter_custom(|iterations| {
        let mut spent = Duration::ZERO;
        let mut left = usize::try_from(iterations).unwrap_or(usize::MAX);
        while left > 0 {
            let batch = left.min(BATCH);
            left -= batch;
            let asked: Vec<_> =
                (0..batch).filter_map(|_| callers.get(random.usize(..callers.len())).cloned()).collect();
            let started = Instant::now();
            for caller in &asked {
                black_box(list.revokes(black_box(caller)));
            }
            spent += started.elapsed();
        }
        spent
    });
}

/// The callers of different tokens, each with a session and a user of its own.
fn callers() -> Outcome<Vec<Identity>> {
    let key = WeakKey::new("a");
    let gate = Gate::new(&key, 0, &Registry::new())?;
    let caller = |serial| {
        let verified = gate.decide(Some(&token(&key, serial))).map_err(Rejection::reason)?;
        Ok(verified.identity().clone())
    };
    (0..CALLERS).map(caller).collect()
}

/// Entries that name the users of all callers.
fn naming(callers: &[Identity]) -> Outcome<Vec<Revocation>> {
    let entry = |caller: &Identity| {
        let subject = Subject::new(SubjectKind::Sub, caller.sub())?;
        Ok(Revocation { subject, issued_before: Some(u64::MAX), expires_at: EXPIRES_AT, made_at: 0 })
    };
    callers.iter().map(entry).collect()
}

/// Entries of all kinds for ids that nobody has.
fn entries(count: usize, seed: u64) -> Outcome<Vec<Revocation>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let kinds = SubjectKind::ALL.into_iter().cycle().take(count);
    let entry = |kind| {
        let subject = Subject::new(kind, &uuid(&mut random))?;
        let issued_before = (kind == SubjectKind::Sub).then_some(EXPIRES_AT);
        Ok(Revocation { subject, issued_before, expires_at: EXPIRES_AT, made_at: 0 })
    };
    kinds.map(entry).collect()
}

/// A UUID as Cognito writes them.
fn uuid(random: &mut fastrand::Rng) -> String {
    let (time, node) = (random.u32(..), random.u64(..1 << 48));
    let [middle, version, variant] = [random.u16(..), random.u16(..0x1000), random.u16(..0x1000)];
    format!("{time:08x}-{middle:04x}-4{version:03x}-8{variant:03x}-{node:012x}")
}
