//! The addresses behind a name, as they are known now, and when they are asked for again. Pure: the resolver and the clock
//! are somebody else's.
//!
//! - An answer replaces the addresses, and its time to live, between `min_ttl` and `max_ttl`, says when the next is asked for.
//! - What is no answer (a server that fails or is silent, a name that does not exist, an answer without an address) leaves
//!   them as they are: a bad day of the DNS is not one of the servers behind it. It is asked again after 1, 2, 4, ... seconds,
//!   at most `max_ttl`. The same holds for one family alone: where only IPv4 is answered, the IPv6 addresses stay.
//! - Addresses are sorted and each is there once, so that an answer in another order changes nothing. At most 256 of them
//!   count, the lowest. Those that nobody can be reached at (`0.0.0.0`, as blocking servers answer, or a group) are none.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::config::model::{DnsName, ResolverConfig};

/// How many addresses of a name are used.
pub(super) const MAX_ADDRESSES: usize = 256;

/// The wait after the first failure; each further one doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// How far a wait after a failure may be off, as a part of it: proxies that lost a server together do not return together.
const SPREAD: f64 = 0.1;

/// One of the two kinds of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What a resolver said about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// In any order.
    pub(super) addresses: Vec<IpAddr>,
    /// How long they hold.
    pub(super) ttl: Duration,
    /// The family that it could say nothing about.
    pub(super) unknown: Option<Family>,
}

/// What is known of a name.
#[derive(Debug)]
pub(super) struct Discovery {
    port: u16,
    known: Vec<SocketAddr>,
    failures: u32,
    left_out: usize,
}

/// What an answer, or the lack of one, comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// When the name is asked for again.
    pub(super) wait: Duration,
    /// Whether it names an address.
    pub(super) is_answered: bool,
    /// Whether the addresses are others than before.
    pub(super) is_changed: bool,
    /// What is new about the answers themselves.
    pub(super) turn: Option<Turn>,
    /// How many addresses are left out, if they were not before.
    pub(super) left_out: Option<usize>,
}

/// A change in whether there are answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There are some again.
    Back,
    /// There are none any more.
    Out,
}

impl Discovery {
    /// Of a name that had these addresses when it was last asked for, if it ever was.
    pub(super) fn new(name: &DnsName, mut known: Vec<SocketAddr>) -> Self {
        known.sort_unstable();
        Self { port: name.port.get(), known, failures: 0, left_out: 0 }
    }

    /// The addresses, sorted.
    pub(super) fn known(&self) -> &[SocketAddr] {
        &self.known
    }

    /// Takes an answer into account, or that there is none. `random` is from 0 to 1.
    pub(super) fn note(&mut self, answer: Option<&Answer>, bounds: &ResolverConfig, random: f64) -> Outcome {
        let found = answer.map(|answer| (self.addresses(answer), answer.ttl));
        match found.filter(|(addresses, _)| !addresses.is_empty()) {
            Some((addresses, ttl)) => self.succeed(addresses, ttl, bounds),
            None => self.fail(bounds, random),
        }
    }

    fn succeed(&mut self, mut found: Vec<SocketAddr>, ttl: Duration, bounds: &ResolverConfig) -> Outcome {
        let left_out = found.len().saturating_sub(MAX_ADDRESSES);
        found.truncate(MAX_ADDRESSES);
        let is_changed = found != self.known;
        self.known = found;
        let was_full = std::mem::replace(&mut self.left_out, left_out) > 0;
        let had_failed = std::mem::take(&mut self.failures) > 0;
        Outcome {
            wait: ttl.clamp(bounds.min_ttl, bounds.max_ttl),
            is_answered: true,
            is_changed,
            turn: had_failed.then_some(Turn::Back),
            left_out: (left_out > 0 && !was_full).then_some(left_out),
        }
    }

    fn fail(&mut self, bounds: &ResolverConfig, random: f64) -> Outcome {
        let doublings = self.failures.min(30);
        self.failures = self.failures.saturating_add(1);
        let wait = FIRST_RETRY.saturating_mul(1 << doublings).min(bounds.max_ttl);
        let turn = (self.failures == 1).then_some(Turn::Out);
        Outcome { wait: wait.mul_f64(1.0 + SPREAD * (2.0 * random - 1.0)), turn, ..Outcome::default() }
    }

    /// Those of the answer, and those that it could say nothing about.
    fn addresses(&self, answer: &Answer) -> Vec<SocketAddr> {
        let Answer { addresses, ttl: _, unknown } = answer;
        let answered = addresses.iter().map(IpAddr::to_canonical).filter(|address| is_somebody(*address));
        let answered = answered.map(|address| SocketAddr::new(address, self.port));
        let kept = self.known.iter().copied().filter(|known| Some(family(known.ip())) == *unknown);
        let mut all: Vec<_> = answered.chain(kept).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

const fn family(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    }
}

/// Whether somebody can be connected to there.
fn is_somebody(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}

#[cfg(test)]
mod tests;
