//! Hot path: no lock, no I/O, no info log.
//!
//! Any, by weight.

use fastrand::Rng;

/// A place, as likely as its weight says among those that may be chosen. `order` has each place as often as it weighs: a draw
/// from it that may be chosen is the answer.
pub(super) fn draw(order: &[usize], weights: &[u32], rng: &mut Rng, may_be: impl Fn(usize) -> bool) -> Option<usize> {
    let drawn = *order.get(rng.usize(..order.len().max(1)))?;
    if may_be(drawn) {
        return Some(drawn);
    }
    // One pass, each taking the place of the one before as likely as it weighs next to all so far.
    let (mut total, mut chosen) = (0, None);
    for (place, weight) in weights.iter().enumerate().filter(|(place, weight)| **weight > 0 && may_be(*place)) {
        total += u64::from(*weight);
        if rng.u64(..total) < u64::from(*weight) {
            chosen = Some(place);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::schedule;

    #[test]
    fn each_is_as_likely_as_it_weighs_whoever_else_may_be_chosen() {
        let weights = [1, 2, 5, 0];
        let order = schedule::smooth(&weights);
        for (out, expected) in
            [(3, [10_000, 20_000, 50_000, 0]), (2, [26_667, 53_333, 0, 0]), (0, [0, 22_857, 57_143, 0])]
        {
            let (mut rng, mut shares) = (Rng::with_seed(7), [0_usize; 4]);
            for _ in 0..80_000 {
                shares[draw(&order, &weights, &mut rng, |place| place != out).unwrap()] += 1;
            }
            let is_close = |(share, expected): (&usize, &usize)| share.abs_diff(*expected) <= 600;
            assert!(shares.iter().zip(&expected).all(is_close), "without {out}: {shares:?}");
        }
    }

    #[test]
    fn without_any_there_is_none() {
        let mut rng = Rng::with_seed(7);
        assert_eq!(draw(&[0, 1], &[1, 1], &mut rng, |_| false), None);
        assert_eq!(draw(&[], &[], &mut rng, |_| true), None);
        assert_eq!(draw(&[], &[0, 0], &mut rng, |_| true), None);
    }
}
