//! Hot path: no lock, no I/O, no info log.
//!
//! How a request chooses its endpoint: one way a file.
//!
//! Endpoints are places in a list. Each way is told which of them may be chosen, and does not change the shares of the others
//! when one may not. A choice allocates nothing and waits for nobody.

mod consistent_hash;
mod least_requests;
mod random;
mod round_robin;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use fastrand::Rng;

pub use self::consistent_hash::key;
use self::{consistent_hash::Ranking, round_robin::Turns};
use crate::config::model::Balance;

/// How far apart the seeds of two choices are: odd, so that each of them comes once.
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Everything that choosing needs, made beforehand.
#[derive(Debug)]
pub(super) struct Balancer {
    weights: Box<[u32]>,
    turns: Turns,
    way: Way,
    seed: AtomicU64,
}

#[derive(Debug)]
enum Way {
    ConsistentHash(Ranking),
    LeastRequests,
    Random,
    RoundRobin,
}

impl Balancer {
    /// Chooses among endpoints at these addresses with these weights. What is drawn follows from `seed`.
    pub(super) fn new(balance: &Balance, endpoints: &[(SocketAddr, u32)], seed: u64) -> Self {
        let weights: Box<[u32]> = endpoints.iter().map(|(_, weight)| *weight).collect();
        Self {
            turns: Turns::new(&weights),
            weights,
            way: match balance {
                Balance::ConsistentHash(_) => Way::ConsistentHash(Ranking::new(endpoints)),
                Balance::LeastRequests => Way::LeastRequests,
                Balance::Random => Way::Random,
                Balance::RoundRobin => Way::RoundRobin,
            },
            seed: AtomicU64::new(seed),
        }
    }

    /// The place of the endpoint that a request goes to. Without a `key`, where one is asked for, it goes to whose turn it is.
    /// `is_retry`: it went to another before. Nothing, if no endpoint with a share may be chosen.
    pub(super) fn choose(
        &self,
        key: Option<u64>,
        is_retry: bool,
        may_be: impl Fn(usize) -> bool,
        in_flight: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        let has_share = |place: usize| self.weights.get(place).is_some_and(|weight| *weight > 0);
        let may_be = |place: usize| has_share(place) && may_be(place);
        match (&self.way, key) {
            (Way::ConsistentHash(ranking), Some(key)) => ranking.first(key, may_be),
            (Way::LeastRequests, _) => {
                least_requests::choose(self.turns.order(), &self.weights, &mut self.rng(), may_be, in_flight)
            }
            (Way::Random, _) => random::draw(self.turns.order(), &self.weights, &mut self.rng(), may_be),
            (Way::ConsistentHash(_), None) | (Way::RoundRobin, _) => self.turns.next(&self.weights, is_retry, may_be),
        }
    }

    /// A source of chance for one choice.
    fn rng(&self) -> Rng {
        Rng::with_seed(self.seed.fetch_add(SEED_STEP, Ordering::Relaxed))
    }
}
