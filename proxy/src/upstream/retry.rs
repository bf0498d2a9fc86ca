//! Hot path: no lock, no I/O, no info log.
//!
//! How much may be tried once more.
//!
//! Retries are cheap while one endpoint of several fails, and twice the load on servers that fail because they have too much of
//! it. So they come out of a budget: each request puts in a fifth of a retry, each retry takes one. There are ten to begin
//! with, for upstreams that are rarely asked, and never more than a hundred, so that a long calm pays for no storm.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a retry takes, in what a request puts in.
const COST: u32 = 5;

/// What there is to begin with: 10 retries.
const RESERVE: u32 = 10 * COST;

/// The most that is saved up: 100 retries.
const MOST: u32 = 100 * COST;

/// What there is for retries.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Budget {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(RESERVE))
    }

    /// Puts in what a request is worth. Nothing is written once there is enough.
    pub(super) fn deposit(&self) {
        let one_more = |saved: u32| (saved < MOST).then_some(saved + 1);
        // Where it fails there is enough.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
    }

    /// Takes what a retry costs. Says whether there was as much.
    pub(super) fn withdraw(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| saved.checked_sub(COST)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    fn withdrawn(budget: &Budget) -> usize {
        std::iter::repeat_with(|| budget.withdraw()).take_while(|is_there| *is_there).count()
    }

    #[test]
    fn there_is_a_reserve_and_no_debt() {
        let budget = Budget::new();
        assert_eq!(withdrawn(&budget), 10);
        (0..4).for_each(|_| budget.deposit());
        assert!(!budget.withdraw());
        budget.deposit();
        assert_eq!(withdrawn(&budget), 1);
    }

    #[test]
    fn not_more_than_a_hundred_are_saved_up() {
        let budget = Budget::new();
        (0..100_000).for_each(|_| budget.deposit());
        assert_eq!(withdrawn(&budget), 100);
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_tried_again() {
        let budget = Budget::new();
        let retries = (0..1000).filter(|_| {
            budget.deposit();
            budget.withdraw()
        });
        assert_eq!(retries.count(), 10 + 1000 / 5);
    }

    /// Every one of them asks at once, and no fifth of a retry is lost or made up.
    #[test]
    fn it_is_exact_on_several_threads() {
        let budget = Arc::new(Budget::new());
        let client = || {
            let budget = Arc::clone(&budget);
            thread::spawn(move || {
                let is_repeated = |_: &u32| {
                    budget.deposit();
                    budget.withdraw()
                };
                (0..10_000).filter(is_repeated).count()
            })
        };
        let clients: Vec<_> = (0..4).map(|_| client()).collect();
        let retries: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert_eq!(retries + withdrawn(&budget), 10 + 40_000 / 5);
    }
}
