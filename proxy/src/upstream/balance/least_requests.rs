//! Hot path: no lock, no I/O, no info log.
//!
//! Of two that are drawn by weight, the one with fewer requests in flight for what it weighs.
//!
//! Two are nearly as good as all of them, and better than all where several proxies look at the same moment: they would all
//! choose the same one (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).

use fastrand::Rng;

use super::random::draw;

/// The lighter one of two; the first of equals, so that idle endpoints have their shares by weight.
pub(super) fn choose(
    order: &[usize],
    weights: &[u32],
    rng: &mut Rng,
    may_be: impl Fn(usize) -> bool,
    in_flight: impl Fn(usize) -> usize,
) -> Option<usize> {
    let first = draw(order, weights, rng, &may_be)?;
    let other = draw(order, weights, rng, |place| place != first && may_be(place));
    let weight = |place: usize| weights.get(place).map_or(0, |weight| u128::from(*weight));
    // Compared without a division: first / its weight with other / its weight.
    let load = |place: usize, other: usize| u128::try_from(in_flight(place)).unwrap_or(u128::MAX) * weight(other);
    Some(other.filter(|other| load(*other, first) < load(first, *other)).unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::schedule;

    /// How often each place was chosen, with so many requests in flight.
    fn shares<const N: usize>(weights: [u32; N], out: Option<usize>, in_flight: [usize; N]) -> [usize; N] {
        let (order, mut rng, mut shares) = (schedule::smooth(&weights), Rng::with_seed(7), [0; N]);
        for _ in 0..8000 {
            let chosen = choose(&order, &weights, &mut rng, |place| Some(place) != out, |place| in_flight[place]);
            shares[chosen.unwrap()] += 1;
        }
        shares
    }

    #[test]
    fn the_busiest_is_never_chosen_before_another() {
        assert_eq!(shares([1, 1, 1], None, [3, 0, 9])[2], 0);
        assert_eq!(shares([1, 1], None, [3, 4]), [8000, 0]);
        assert_eq!(shares([1, 1], Some(0), [3, 4]), [0, 8000]);
    }

    #[test]
    fn what_is_in_flight_is_weighed() {
        assert_eq!(shares([1, 4], None, [2, 7]), [0, 8000]);
        assert_eq!(shares([1, 4], None, [2, 9]), [8000, 0]);
    }

    #[test]
    fn idle_endpoints_have_their_shares() {
        let shares = shares([1, 2, 5], None, [0, 0, 0]);
        let is_close = |(share, expected): (&usize, &usize)| share.abs_diff(*expected) <= 150;
        assert!(shares.iter().zip(&[1000, 2000, 5000]).all(is_close), "{shares:?}");
    }

    #[test]
    fn without_any_there_is_none() {
        let mut rng = Rng::with_seed(7);
        assert_eq!(choose(&[0, 1], &[1, 1], &mut rng, |_| false, |_| 0), None);
    }
}
