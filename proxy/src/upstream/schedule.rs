//! Smooth weighted round robin, worked out beforehand.
//!
//! The order in which nginx' algorithm visits endpoints repeats after as many turns as the weights add up to. It is written
//! down once, so that choosing an endpoint is one addition and one look-up.

/// The endpoints, by index, in the order of their turns. Empty if every weight is 0.
///
/// Each appears as often as its weight says once common factors are taken out, spread as evenly as can be: weights 5, 1, 1
/// give `0 0 1 0 2 0 0`.
pub(super) fn smooth(weights: &[u32]) -> Box<[usize]> {
    let divisor = weights.iter().fold(0, |divisor, weight| greatest_common_divisor(divisor, *weight)).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / divisor)).collect();
    let total: i64 = weights.iter().sum();
    let mut credits = vec![0; weights.len()];
    (0..total).filter_map(|_| next_turn(&weights, &mut credits, total)).collect()
}

/// The endpoint with the most credit, the first of equals; everyone earns its weight, the chosen one pays for all.
fn next_turn(weights: &[i64], credits: &mut [i64], total: i64) -> Option<usize> {
    for (credit, weight) in credits.iter_mut().zip(weights) {
        *credit += weight;
    }
    let (index, credit) = credits.iter_mut().enumerate().rev().max_by_key(|(_, credit)| **credit)?;
    *credit -= total;
    Some(index)
}

const fn greatest_common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_weights_smoothly() {
        for (weights, turns) in [
            (vec![1], vec![0]),
            (vec![5, 1, 1], vec![0, 0, 1, 0, 2, 0, 0]),
            (vec![1, 3], vec![1, 0, 1, 1]),
            (vec![2, 4], vec![1, 0, 1]),
            (vec![0, 2], vec![1]),
            (vec![7, 7, 7], vec![0, 1, 2]),
            (vec![0, 0], vec![]),
            (vec![], vec![]),
        ] {
            assert_eq!(*smooth(&weights), *turns, "{weights:?}");
        }
    }
}
