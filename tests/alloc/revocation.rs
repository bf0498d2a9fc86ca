//! What a revocation takes in memory, and that asking about one takes none, counted in the token library alone.

use std::{error::Error, fmt::Write, hint::black_box, iter, ops::Range, sync::Arc};

use cognigate_auth::{
    authorizer::{Authorizer, AuthorizerConfig},
    clock::{FixedClock, UnixSeconds},
    identity::ForwardedClaims,
    local_pool::{SigningKey, claims, jwks},
    metrics::AuthMetrics,
    policy::{Policy, TokenUse, TokenUseRule},
    pool::{ClientRule, UserPool},
    revocation::{Revocation, RevocationList, Source, Subject, SubjectKind},
    token::RawToken,
};
use dhat::HeapStats;
use prometheus::Registry;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const NOW: UnixSeconds = 1_700_000_000;
const ISSUER: &str = "https://issuer.example";
const MILLION: usize = 1_000_000;

/// What an entry may take at most: 61 bytes, and its part of what a shard takes.
const ENTRY_BYTES: usize = 64;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One test, because the whole process is counted.
#[test]
fn a_million_entries_take_what_is_said_and_a_question_none() -> Outcome<()> {
    let pool = UserPool::new("main", ISSUER.parse()?, ClientRule::Listed(["client".into()].into()))?;
    let key = SigningKey::generate("k")?;
    let _profiler = dhat::Profiler::builder().testing().build();
    let before = HeapStats::get();
    let list = Arc::new(RevocationList::new(MILLION));
    let empty = HeapStats::get().curr_bytes - before.curr_bytes;
    assert!(empty < MILLION * 11 / 10, "{empty} bytes for an empty list");
    list.replace(Source::File, entries(0..MILLION / 2)?)?;
    list.replace(Source::Shared, entries(MILLION / 2..MILLION)?)?;
    let after = HeapStats::get();
    let (blocks, bytes) = (after.curr_blocks - before.curr_blocks, after.curr_bytes - before.curr_bytes);
    // An allocator takes at least a word for each block.
    let taken = bytes + blocks * size_of::<usize>();
    assert_eq!(list.len(), MILLION);
    assert!(taken < ENTRY_BYTES * MILLION, "{bytes} bytes in {blocks} blocks");

    let config = AuthorizerConfig {
        user_pools: vec![pool],
        forwarded_claims: ForwardedClaims::default(),
        cache_max_bytes: 0,
        revocations: Arc::clone(&list),
        ..AuthorizerConfig::default()
    };
    let metrics = AuthMetrics::register(&Registry::new())?;
    let authorizer = Authorizer::new(config, Arc::new(FixedClock::at(NOW)), metrics);
    authorizer.import_keys("main", jwks([&key]).as_bytes())?;
    let token = key.mint(&claims(ISSUER, "client", TokenUse::Id, NOW))?;
    let policy = Policy {
        user_pools: ["main".into()].into(),
        token_use: TokenUseRule::Any,
        scopes_any: Box::default(),
        groups_any: Box::default(),
    };
    let verified = authorizer.decide(Some(RawToken::new(token.as_bytes())), &policy)?;
    let blocks = HeapStats::get().total_blocks;
    assert!(iter::repeat_n((), 100).all(|()| !black_box(list.revokes(black_box(verified.identity())))));
    assert_eq!(HeapStats::get().total_blocks - blocks, 0, "blocks for asking");
    Ok(())
}

/// An entry for each, all with one text buffer: a million allocations take long to count.
fn entries(serials: Range<usize>) -> Outcome<Vec<Revocation>> {
    let mut text = String::new();
    serials.map(|serial| entry(serial, &mut text)).collect()
}

/// One of each kind in turn, each with a UUID of its own.
fn entry(serial: usize, text: &mut String) -> Outcome<Revocation> {
    text.clear();
    write!(text, "{serial:08x}-4b5a-4978-8796-a5b4c3d2e1f0")?;
    let kind = *SubjectKind::ALL.get(serial % SubjectKind::ALL.len()).ok_or("no such kind")?;
    let issued_before = (kind == SubjectKind::Sub).then_some(NOW);
    Ok(Revocation { subject: Subject::new(kind, text)?, issued_before, expires_at: NOW + 3_600, made_at: NOW * 1_000 })
}
