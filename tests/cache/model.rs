//! The authorizer without a cache, an index or a key: plain maps, and the rules in their order.

use std::collections::BTreeMap;

use cognigate_auth::{
    clock::UnixSeconds,
    policy::{Policy, TokenUse, TokenUseRule},
    revocation::{Source, SubjectKind},
};

use crate::{
    change::{Change, Entry, Subject},
    world::{CLIENTS, FORWARDED, KIDS, MAX_STALE, NOW, POOLS, Token},
};

/// All that may change.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) now: UnixSeconds,
    pub(crate) pools: [Option<Pool>; POOLS.len()],
    /// Which of [`FORWARDED`].
    pub(crate) forwarded: usize,
    pub(crate) cache_bytes: usize,
    pub(crate) revoked: BTreeMap<(Source, Subject), Times>,
}

/// A pool that is configured.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    /// Those that are listed; none for any.
    pub(crate) clients: Vec<usize>,
    pub(crate) keys: Option<Keys>,
}

/// What each of [`KIDS`] stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    of: [Option<usize>; KIDS.len()],
    fetched_at: UnixSeconds,
}

/// The times of an entry of the revocation list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    issued_before: UnixSeconds,
    expires_at: UnixSeconds,
}

/// Where each part of a verdict is looked up: the same state for all, unless several held during the call.
#[derive(Clone, Copy)]
pub(crate) struct View<'s> {
    pub(crate) configured: &'s State,
    pub(crate) clock: &'s State,
    pub(crate) keys: &'s State,
    /// For each of [`SubjectKind::ALL`].
    pub(crate) revoked: [&'s State; SubjectKind::ALL.len()],
}

impl State {
    /// Every pool is there, takes any client and has no keys.
    pub(crate) fn new(cache_bytes: usize) -> Self {
        let pools = POOLS.map(|_| Some(Pool { clients: Vec::new(), keys: None }));
        Self { now: NOW, pools, forwarded: 0, cache_bytes, revoked: BTreeMap::new() }
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Clock(now) => self.now = *now,
            Change::Keys(pool, keys) => {
                if let Some(pool) = &mut self.pools[*pool] {
                    pool.keys = Some(Keys { of: *keys, fetched_at: self.now });
                }
            }
            Change::Configuration { pools, forwarded, cache_bytes } => {
                for (pool, clients) in self.pools.iter_mut().zip(pools) {
                    let keys = pool.take().and_then(|pool| pool.keys);
                    *pool = clients.clone().map(|clients| Pool { clients, keys });
                }
                (self.forwarded, self.cache_bytes) = (*forwarded, *cache_bytes);
            }
            Change::Revoke(source, entry) => self.revoke(*source, entry),
            Change::Restore(source, subject) => {
                self.revoked.remove(&(*source, subject.clone()));
            }
            Change::Replace(source, entries) => {
                self.revoked.retain(|(other, _), _| other != source);
                entries.iter().for_each(|entry| self.revoke(*source, entry));
            }
            Change::Purge => {
                let now = self.now;
                self.revoked.retain(|_, times| times.expires_at > now);
            }
        }
    }

    /// Of two entries for one subject the later times hold.
    fn revoke(&mut self, source: Source, Entry { subject, issued_before, expires_at }: &Entry) {
        let known = self.revoked.entry((source, subject.clone()));
        let times = known.or_insert(Times { issued_before: *issued_before, expires_at: *expires_at });
        times.issued_before = times.issued_before.max(*issued_before);
        times.expires_at = times.expires_at.max(*expires_at);
    }

    pub(crate) fn revokes(&self, kind: SubjectKind, token: &Token) -> bool {
        let text = match kind {
            SubjectKind::Jti => token.jti.as_ref(),
            SubjectKind::OriginJti => token.origin_jti.as_ref(),
            SubjectKind::Sub => Some(&token.sub),
        };
        let Some(text) = text else { return false };
        let entries = Source::ALL.into_iter().filter_map(|source| self.revoked.get(&(source, (kind, text.clone()))));
        let is_cut_off = |times: &Times| token.issued_at.is_none_or(|issued_at| issued_at < times.issued_before);
        entries.into_iter().any(|times| kind != SubjectKind::Sub || is_cut_off(times))
    }

    /// The verdict of this one state.
    pub(crate) fn verdict(&self, token: &Token, policy: &Policy) -> String {
        View { configured: self, clock: self, keys: self, revoked: [self; _] }.verdict(token, policy)
    }
}

impl View<'_> {
    /// The reason for which the token is refused, or what the authorizer would say of its bearer.
    pub(crate) fn verdict(self, token: &Token, policy: &Policy) -> String {
        self.check(token, policy).err().map_or_else(|| self.accepted(token), str::to_owned)
    }

    fn check(self, token: &Token, policy: &Policy) -> Result<(), &'static str> {
        let now = self.clock.now;
        let pool = self.configured.pools[token.pool].as_ref().ok_or("issuer_unknown")?;
        demand(policy.user_pools.iter().any(|name| **name == *POOLS[token.pool]), "issuer_unknown")?;
        let keys = self.keys.pools[token.pool].as_ref().and_then(|pool| pool.keys.as_ref());
        let keys = keys.filter(|keys| now <= keys.fetched_at + MAX_STALE).ok_or("keys_unavailable")?;
        let material = keys.of[token.kid].ok_or("kid_unknown")?;
        demand(now < token.expires_at, "token_expired")?;
        demand(token.not_before.is_none_or(|not_before| not_before <= now), "token_not_yet_valid")?;
        let is_wanted = match policy.token_use {
            TokenUseRule::Any => true,
            TokenUseRule::Access => token.token_use == TokenUse::Access,
            TokenUseRule::Id => token.token_use == TokenUse::Id,
        };
        demand(is_wanted, "token_use_mismatch")?;
        demand(pool.clients.is_empty() || pool.clients.contains(&token.client), "client_not_allowed")?;
        demand(token.material == Some(material), "signature_invalid")?;
        let mut kinds = self.revoked.iter().zip(SubjectKind::ALL);
        demand(!kinds.any(|(state, kind)| state.revokes(kind, token)), "token_revoked")?;
        let scopes: Vec<_> = match token.token_use {
            TokenUse::Access => token.scope.split(' ').collect(),
            TokenUse::Id => Vec::new(),
        };
        let has_one =
            |asked: &[Box<str>], had: &[&str]| asked.is_empty() || asked.iter().any(|one| had.contains(&&**one));
        demand(has_one(&policy.scopes_any, &scopes), "scope_missing")?;
        demand(has_one(&policy.groups_any, &[token.group]), "group_missing")
    }

    fn accepted(self, token: &Token) -> String {
        let forwarded = FORWARDED[self.configured.forwarded].iter().map(|claim| match *claim {
            "jti" => token.jti.as_deref(),
            _ => Some(&*token.sub),
        });
        accepted(&token.sub, CLIENTS[token.client], token.jti.as_deref(), forwarded)
    }
}

/// The words for a caller who is let through.
pub(crate) fn accepted<'t>(
    sub: &str,
    client: &str,
    jti: Option<&str>,
    forwarded: impl Iterator<Item = Option<&'t str>>,
) -> String {
    let forwarded: Vec<_> = forwarded.map(Option::unwrap_or_default).collect();
    format!("ok: {sub} by {client}, {}, {}", jti.unwrap_or_default(), forwarded.join(","))
}

fn demand(is_met: bool, reason: &'static str) -> Result<(), &'static str> {
    if is_met { Ok(()) } else { Err(reason) }
}
