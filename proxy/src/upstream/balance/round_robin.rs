//! Hot path: no lock, no I/O, no info log.
//!
//! One after the other, by weight.
//!
//! The turn of an endpoint that may not be chosen is spare, and so is that of a request that had its turn already and failed.
//! Spare turns are dealt out to all that may be chosen, by their weights and as evenly as can be. Given to the next in the order,
//! all of them would go to one, and a request that takes two turns would keep the next from who has it. A choice is one addition
//! to a number that others write too, two where its turn is spare, however many endpoints are out.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::upstream::schedule;

/// The golden ratio of 2^64: its multiples, modulo that, are spread as evenly as can be, however many there are (the three-gap
/// theorem; D. Knuth, "The Art of Computer Programming", volume 3, section 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    order: Box<[usize]>,
    next: AtomicUsize,
    spare: AtomicU64,
}

impl Turns {
    pub(super) fn new(weights: &[u32]) -> Self {
        Self { order: schedule::smooth(weights), next: AtomicUsize::new(0), spare: AtomicU64::new(0) }
    }

    /// The places in the order of their turns: each as often as its weight says.
    pub(super) const fn order(&self) -> &[usize] {
        &self.order
    }

    /// Whose turn it is of those with these weights, if there is one that may be chosen. `is_spare`: a request that had its turn
    /// already.
    pub(super) fn next(&self, weights: &[u32], is_spare: bool, may_be: impl Fn(usize) -> bool) -> Option<usize> {
        if !is_spare {
            let turn = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(self.order.len())?;
            let place = *self.order.get(turn)?;
            if may_be(place) {
                return Some(place);
            }
        }
        self.deal(weights, may_be)
    }

    /// Whose a spare turn is. Those that may be chosen lie side by side, each as wide as it weighs, and the next multiple of the
    /// golden ratio falls on one of them.
    fn deal(&self, weights: &[u32], may_be: impl Fn(usize) -> bool) -> Option<usize> {
        let eligible = || {
            let all = weights.iter().enumerate().filter(|(place, weight)| **weight > 0 && may_be(*place));
            all.map(|(place, weight)| (place, u64::from(*weight)))
        };
        let total: u64 = eligible().map(|(_, weight)| weight).sum();
        if total == 0 {
            return None;
        }
        let spot = scaled(self.spare.fetch_add(GOLDEN, Ordering::Relaxed), total);
        let mut end = 0;
        // Whoever has left meanwhile makes the rest end earlier: then it is the last of them.
        eligible()
            .take_while(|(_, weight)| {
                let is_before = end <= spot;
                end += weight;
                is_before
            })
            .last()
            .map(|(place, _)| place)
    }
}

/// A fraction of 2^64, of so many.
fn scaled(fraction: u64, total: u64) -> u64 {
    u64::try_from((u128::from(fraction) * u128::from(total)) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each place was chosen, of so many turns.
    fn shares<const N: usize>(weights: [u32; N], out: &[usize], turns: usize) -> [usize; N] {
        let (all, mut shares) = (Turns::new(&weights), [0; N]);
        for _ in 0..turns {
            shares[all.next(&weights, false, |place| !out.contains(&place)).unwrap()] += 1;
        }
        shares
    }

    #[test]
    fn shares_are_exact_and_smooth() {
        assert_eq!(shares([1, 2, 5], &[], 8000), [1000, 2000, 5000]);
        let turns = Turns::new(&[1, 2, 5]);
        let chosen: Vec<_> = (0..8).map(|_| turns.next(&[1, 2, 5], false, |_| true).unwrap()).collect();
        assert_eq!(chosen, [2, 1, 2, 0, 2, 2, 1, 2]);
    }

    /// One is out of three. Were its turns given to whoever comes next, that one would have twice its share.
    #[test]
    fn the_others_share_the_turns_of_one_that_is_out() {
        for (weights, out, expected) in [
            ([1, 1, 1], 0, [0, 3000, 3000]),
            ([1, 1, 1], 2, [3000, 3000, 0]),
            ([1, 2, 3], 2, [2000, 4000, 0]),
            ([1, 2, 3], 0, [0, 2400, 3600]),
            ([6, 1, 1], 0, [0, 3000, 3000]),
        ] {
            let shares = shares(weights, &[out], 6000);
            let is_close = |(share, expected): (&usize, &usize)| share.abs_diff(*expected) <= 3;
            assert!(shares.iter().zip(&expected).all(is_close), "{weights:?} without {out}: {shares:?}");
        }
    }

    /// In any window, each of the others has its share, give or take three turns: the spare ones are not dealt out in a row.
    #[test]
    fn turns_are_smooth_while_one_is_out() {
        const WINDOW: usize = 30;
        let weights = [1, 2, 5];
        for out in 0..3 {
            let turns = Turns::new(&weights);
            let order: Vec<_> = (0..3000).map(|_| turns.next(&weights, false, |place| place != out).unwrap()).collect();
            let total: u32 = (0..3).filter(|place| *place != out).map(|place| weights[place]).sum();
            for place in (0..3).filter(|place| *place != out) {
                let expected = WINDOW as f64 * f64::from(weights[place]) / f64::from(total);
                let count = |window: &[usize]| window.iter().filter(|chosen| **chosen == place).count() as f64;
                let worst = order.windows(WINDOW).map(|window| (count(window) - expected).abs()).fold(0.0, f64::max);
                assert!(worst <= 3.0, "{place} without {out}: {worst}");
            }
        }
    }

    /// The heavy ones are out: whose turn it is says one addition, and not a walk over all of theirs.
    #[test]
    fn a_spare_turn_is_one_addition() {
        let weights = [256, 255, 1];
        let turns = Turns::new(&weights);
        for turn in 1..=1000_u64 {
            assert_eq!(turns.next(&weights, true, |place| place == 2), Some(2));
            assert_eq!(turns.spare.load(Ordering::Relaxed), GOLDEN.wrapping_mul(turn));
        }
    }

    /// Whoever leaves between the two looks at them.
    #[test]
    fn who_leaves_meanwhile_is_not_chosen_and_somebody_is() {
        let asked = std::cell::Cell::new(0);
        let turns = Turns::new(&[1, 1, 1]);
        for _ in 0..30 {
            asked.set(0);
            let chosen = turns.next(&[1; 3], true, |place| {
                asked.set(asked.get() + 1);
                asked.get() <= 3 || place == 0
            });
            assert_eq!(chosen, Some(0));
        }
    }

    /// The first is dead, and each of its requests is tried once more.
    #[test]
    fn who_is_tried_again_takes_no_turn_of_others() {
        let (turns, mut firsts, mut seconds) = (Turns::new(&[1, 1, 1]), [0; 3], [0; 3]);
        for _ in 0..3000 {
            let first = turns.next(&[1; 3], false, |_| true).unwrap();
            firsts[first] += 1;
            if first == 0 {
                seconds[turns.next(&[1; 3], true, |place| place != first).unwrap()] += 1;
            }
        }
        assert_eq!((firsts, seconds), ([1000; 3], [0, 500, 500]));
    }

    #[test]
    fn without_any_there_is_none() {
        assert_eq!(Turns::new(&[1, 2]).next(&[1, 2], false, |_| false), None);
        assert_eq!(Turns::new(&[]).next(&[], true, |_| true), None);
        assert_eq!(Turns::new(&[0, 0]).next(&[0, 0], false, |_| true), None);
        assert_eq!(Turns::new(&[0, 0]).next(&[0, 0], true, |_| true), None);
    }
}
