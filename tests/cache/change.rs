//! What may happen between two requests, at random.

use cognigate_auth::{
    cache::MIN_CACHE_BYTES,
    clock::UnixSeconds,
    revocation::{Source, SubjectKind},
};

use crate::{
    model::{Pool, State},
    world::{CLIENTS, FORWARDED, KIDS, MAX_STALE, NOW, POOLS, Token, World},
};

/// Whom or what an entry of the revocation list names.
pub(crate) type Subject = (SubjectKind, String);

/// An entry of the revocation list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) subject: Subject,
    pub(crate) issued_before: UnixSeconds,
    pub(crate) expires_at: UnixSeconds,
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Clock(UnixSeconds),
    /// The clients of each pool that is there, its forwarded claims and its cache.
    Configuration {
        pools: [Option<Vec<usize>>; POOLS.len()],
        forwarded: usize,
        cache_bytes: usize,
    },
    /// A pool publishes these keys.
    Keys(usize, [Option<usize>; KIDS.len()]),
    Purge,
    Replace(Source, Vec<Entry>),
    Restore(Source, Subject),
    Revoke(Source, Entry),
}

impl Change {
    /// The changes that every run begins with: all pools have their keys.
    pub(crate) fn first() -> impl Iterator<Item = Self> {
        (0..POOLS.len()).map(|pool| Self::Keys(pool, std::array::from_fn(Some)))
    }

    pub(crate) fn any(rng: &mut fastrand::Rng, world: &World, state: &State) -> Self {
        match rng.u8(..100) {
            0..30 => Self::clock(rng, state),
            30..50 => Self::keys(rng, state),
            50..60 => Self::configuration(rng, state),
            60..62 => Self::replacement(rng, world, state),
            _ => Self::revocation(rng, world, state),
        }
    }

    /// Mostly a little later; else any moment around which anything in this world begins or ends.
    pub(crate) fn clock(rng: &mut fastrand::Rng, state: &State) -> Self {
        let moments = [NOW, NOW + 30, NOW + 60, NOW + 600, NOW + 3_000, NOW + MAX_STALE];
        Self::Clock(match rng.u8(..10) {
            0 => moments[rng.usize(..moments.len())] + rng.u64(..3) - 1,
            1 => NOW + rng.u64(..MAX_STALE + 60),
            2..6 => NOW + rng.u64(..300),
            _ => state.now + rng.u64(1..30),
        })
    }

    /// Each name mostly stands for its own key; else for another's or for none. There is always one. A pool that has none
    /// gets some first.
    pub(crate) fn keys(rng: &mut fastrand::Rng, state: &State) -> Self {
        let lacks_keys = |pool: &Option<Pool>| pool.as_ref().is_some_and(|pool| pool.keys.is_none());
        let pool = state.pools.iter().position(lacks_keys).unwrap_or_else(|| rng.usize(..POOLS.len()));
        let mut keys = std::array::from_fn(|kid| match rng.u8(..20) {
            0 => None,
            1 => Some(rng.usize(..KIDS.len())),
            _ => Some(kid),
        });
        if keys == [None; KIDS.len()] {
            keys[0] = Some(0);
        }
        Self::Keys(pool, keys)
    }

    /// One thing is other than it was. A pool that is gone comes back first.
    pub(crate) fn configuration(rng: &mut fastrand::Rng, state: &State) -> Self {
        let mut pools = state.pools.clone().map(|pool| pool.map(|pool| pool.clients));
        let (mut forwarded, mut cache_bytes) = (state.forwarded, state.cache_bytes);
        let absent = pools.iter().position(Option::is_none);
        let pool = &mut pools[absent.unwrap_or_else(|| rng.usize(..POOLS.len()))];
        match (rng.u8(..10), &pool) {
            (0, _) => forwarded = rng.usize(..FORWARDED.len()),
            (1, _) => cache_bytes = [MIN_CACHE_BYTES, 1 << 18, 1 << 20, 4 << 20][rng.usize(..4)],
            (2, Some(_)) => *pool = None,
            (_, None) => *pool = Some(Vec::new()),
            _ => *pool = Some((0..CLIENTS.len()).filter(|_| rng.u8(..8) > 0).collect()),
        }
        Self::Configuration { pools, forwarded, cache_bytes }
    }

    /// One entry comes or goes. About as many come as go.
    pub(crate) fn revocation(rng: &mut fastrand::Rng, world: &World, state: &State) -> Self {
        let revoked: Vec<_> = state.revoked.keys().collect();
        match rng.usize(..12) {
            0 => Self::Purge,
            number if number < revoked.len() => {
                let (source, subject) = revoked[rng.usize(..revoked.len())].clone();
                Self::Restore(source, subject)
            }
            _ => Self::Revoke(Source::ALL[rng.usize(..2)], entry(rng, world, state)),
        }
    }

    fn replacement(rng: &mut fastrand::Rng, world: &World, state: &State) -> Self {
        Self::Replace(Source::File, (0..rng.usize(..6)).map(|_| entry(rng, world, state)).collect())
    }
}

fn entry(rng: &mut fastrand::Rng, world: &World, state: &State) -> Entry {
    let Token { jti, origin_jti, sub, .. } = world.any_token(rng);
    let subject = match (rng.u8(..3), jti, origin_jti) {
        (0, Some(jti), _) => (SubjectKind::Jti, jti.clone()),
        (1, _, Some(origin_jti)) => (SubjectKind::OriginJti, origin_jti.clone()),
        _ => (SubjectKind::Sub, sub.clone()),
    };
    let expires_at = if rng.bool() { UnixSeconds::MAX } else { state.now + rng.u64(..300) };
    Entry { subject, issued_before: NOW - rng.u64(..60), expires_at }
}
