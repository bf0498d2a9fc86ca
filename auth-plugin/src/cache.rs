//! Hot path: no lock, no I/O, no info log.
//!
//! Remembers verified tokens, so that a token costs its signature check once.
//!
//! - What is remembered is claims, not verdicts: every rule of the route runs on every request.
//! - A token is found by all of its bytes. The last of them (of the signature) only pick the set, through a hash that is
//!   keyed anew in each process, so that nobody can aim at one.
//! - Only verified tokens enter, so garbage can look but never displace.
//! - Eight-way set-associative with a budget of bytes for each set: the whole never exceeds `max_bytes`, and one insertion
//!   touches one set.
//! - Its copy of a token is wiped when the entry goes. The copies that a request leaves behind (its buffers, the decoded
//!   parts) live as long as a request and are not.
//!
//! Whether an entry's token and key are still alive is for the caller to check on every hit.

mod insert;
mod set;
mod sync;

use std::{fmt, hint::black_box, sync::Arc};

use ahash::RandomState;
use zeroize::Zeroizing;

use self::set::Set;
use crate::{
    clock::UnixSeconds, identity::Identity, keys::issuer::IssuerKeys, metrics::CacheMetrics, signature::VerifyingKey,
    token::RawToken,
};

/// Entries of one set.
const WAYS: usize = 8;

/// The budget of one set: eight entries of a usual token (1.2 KiB and its claims).
const SET_BYTES: usize = 16 * 1024;

/// What the sets may take of a cache, in eighths. The rest is what an allocator holds free between blocks that several
/// threads allocate and free, and more of it where those are often interrupted: with seven, a million tokens left 70 MiB
/// resident of a cache of 64 MiB, and 84 on a machine that was busy with something else.
const USABLE_EIGHTHS: usize = 6;

/// The smallest cache that can hold anything.
pub const MIN_CACHE_BYTES: usize = 64 * 1024;

/// How much of a token's end picks its set. All of it is signature, which is as good as random.
const INDEX_BYTES: usize = 32;

/// A token that was verified, and what it says.
pub struct VerifiedToken {
    token: Zeroizing<Box<[u8]>>,
    key: Arc<VerifyingKey>,
    issuer: Arc<IssuerKeys>,
    identity: Identity,
    bytes: usize,
}

impl VerifiedToken {
    /// `token` is kept to find the entry by, and empty if it will never be looked for.
    pub(crate) fn new(
        token: RawToken<'_>,
        key: Arc<VerifyingKey>,
        issuer: Arc<IssuerKeys>,
        identity: Identity,
    ) -> Self {
        const COUNTS: usize = 2 * size_of::<usize>();
        let token = token.as_bytes();
        let claims: usize = identity.heap_blocks().map(allocated).sum();
        Self {
            token: Zeroizing::new(token.into()),
            key,
            issuer,
            identity,
            bytes: allocated(COUNTS + size_of::<Self>()) + allocated(token.len()) + claims,
        }
    }

    /// Who calls.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) const fn issuer(&self) -> &Arc<IssuerKeys> {
        &self.issuer
    }

    pub(crate) const fn key(&self) -> &Arc<VerifyingKey> {
        &self.key
    }

    /// What it takes in memory.
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn token(&self) -> RawToken<'_> {
        RawToken::new(&self.token)
    }

    /// Has the processor fetch the beginning of each block that a request reads of it, all at once. Met one after the other,
    /// blocks that are in none of its caches would be waited for one after the other.
    fn touch(&self) {
        black_box((self.token.first().copied(), self.identity.lifetime().expires_at, self.identity.touch()));
    }

    fn is_of(&self, token: RawToken<'_>) -> bool {
        **self.token == *token.as_bytes()
    }

    /// Whether nothing can make this entry useful again.
    fn is_dead(&self, now: UnixSeconds) -> bool {
        let skew = self.identity.pool().clock_skew.as_secs();
        self.identity.lifetime().is_over(now, skew) || !self.issuer.has_key(&self.key)
    }
}

impl fmt::Debug for VerifiedToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, key, issuer: _, identity, bytes: _ } = self;
        out.debug_struct("VerifiedToken")
            .field("token_bytes", &token.len())
            .field("key", key)
            .field("identity", identity)
            .finish_non_exhaustive()
    }
}

/// What a block of this size takes of an allocator: glibc adds a word, rounds up to 16 bytes and gives no less than 32;
/// mimalloc's size classes are a quarter apart, so that an eighth is lost on average.
fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        _ => (bytes + bytes / 8 + size_of::<usize>()).next_multiple_of(16).max(32),
    }
}

/// The verified tokens.
pub(crate) struct TokenCache {
    sets: Box<[Set]>,
    hasher: RandomState,
    metrics: CacheMetrics,
}

impl TokenCache {
    /// A cache of at most `max_bytes`, which is at least [`MIN_CACHE_BYTES`].
    pub(crate) fn new(max_bytes: usize, metrics: CacheMetrics) -> Self {
        let usable = max_bytes.max(MIN_CACHE_BYTES) / 8 * USABLE_EIGHTHS;
        let sets = (usable / (SET_BYTES + size_of::<Set>())).max(1);
        Self::with_sets(sets, RandomState::new(), metrics)
    }

    fn with_sets(sets: usize, hasher: RandomState, metrics: CacheMetrics) -> Self {
        Self { sets: (0..sets).map(|_| Set::default()).collect(), hasher, metrics }
    }

    /// The entry of this very token, alive or not.
    pub(crate) fn find(&self, token: RawToken<'_>) -> Option<Arc<VerifiedToken>> {
        let (set, tag) = self.place(token)?;
        set.find(token, tag)
    }

    /// Remembers a token that was just verified. One too large for a set is not remembered.
    pub(crate) fn insert(&self, entry: Arc<VerifiedToken>, now: UnixSeconds) {
        if let Some((set, tag)) = self.place(entry.token()) {
            set.insert(entry, tag, now, &self.metrics);
        }
    }

    fn place(&self, token: RawToken<'_>) -> Option<(&Set, u32)> {
        let bytes = token.as_bytes();
        let end = bytes.get(bytes.len().saturating_sub(INDEX_BYTES)..)?;
        let hash = self.hasher.hash_one(end);
        // The high half picks the set (a multiplication in place of a division), the low half is the tag.
        let index = usize::try_from((hash >> 32).wrapping_mul(self.sets.len() as u64) >> 32).ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
        let tag = hash as u32;
        Some((self.sets.get(index)?, tag))
    }
}

impl Drop for TokenCache {
    /// Takes its entries out of the gauges, which the next configuration's cache goes on using.
    fn drop(&mut self) {
        for set in &self.sets {
            set.clear(&self.metrics);
        }
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TokenCache({} sets)", self.sets.len())
    }
}

#[cfg(test)]
mod tests;
