//! Hot path: no lock, no I/O, no info log.
//!
//! The same key, the same endpoint, in every process and however many others there are.
//!
//! Weighted rendezvous hashing (D. Thaler, C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998; weights: J.
//! Schindler): a key draws a number for each endpoint, and the highest wins. When an endpoint is out, its keys go to all of the
//! others by weight, and no other key moves. A ring of points (ketama) needs 160 of them for each unit of weight, gives shares
//! that are 10 % off, and hands the keys of one that is out to its neighbours. What this one costs is a few nanoseconds for each
//! endpoint.

use std::net::SocketAddr;

/// Who wins a key.
#[derive(Debug)]
pub(super) struct Ranking(Box<[Contender]>);

#[derive(Debug)]
struct Contender {
    /// Of its address alone, so that every process has the same.
    name: u64,
    weight: f64,
}

impl Ranking {
    pub(super) fn new(endpoints: &[(SocketAddr, u32)]) -> Self {
        let contender = |(address, weight): &(SocketAddr, u32)| Contender {
            name: key(address.to_string().as_bytes()),
            weight: f64::from(*weight),
        };
        Self(endpoints.iter().map(contender).collect())
    }

    /// The place that wins a key, of those that may be chosen.
    pub(super) fn first(&self, key: u64, may_be: impl Fn(usize) -> bool) -> Option<usize> {
        let contenders = self.0.iter().enumerate().filter(|(place, _)| may_be(*place));
        let scores = contenders.map(|(place, contender)| (place, contender.score(key)));
        scores.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(place, _)| place)
    }
}

impl Contender {
    /// `-weight / ln(u)`, with `u` of the key and the name and between 0 and 1: it wins as often as its weight says.
    fn score(&self, key: u64) -> f64 {
        // 53 bits are what a float holds, and the half keeps both ends out.
        const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
        let drawn = (mixed(key ^ self.name) >> 11) as f64;
        -self.weight / ((drawn + 0.5) * UNIT).ln()
    }
}

/// The key that these bytes are: FNV-1a (IETF draft-eastlake-fnv), mixed. The same in every process and every version.
#[must_use]
pub fn key(bytes: &[u8]) -> u64 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mixed(hash)
}

/// Spreads what differs in one bit over all of them (S. Vigna's finalizer of SplitMix64).
const fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u32 = 20_000;

    fn endpoints(weights: &[u32]) -> Vec<(SocketAddr, u32)> {
        let address = |port: usize| SocketAddr::from(([10, 0, 0, 1], 8000 + u16::try_from(port).unwrap()));
        weights.iter().enumerate().map(|(place, weight)| (address(place), *weight)).collect()
    }

    fn winners(ranking: &Ranking, may_be: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..KEYS).map(|number| ranking.first(key(&number.to_be_bytes()), &may_be).unwrap()).collect()
    }

    fn count(winners: &[usize], place: usize) -> usize {
        winners.iter().filter(|winner| **winner == place).count()
    }

    /// Each moves that was the tenth's, and no other.
    #[test]
    fn one_of_ten_takes_only_its_own_keys_away() {
        let ranking = Ranking::new(&endpoints(&[1; 10]));
        let before = winners(&ranking, |_| true);
        for out in 0..10 {
            let after = winners(&ranking, |place| place != out);
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            assert_eq!(moved, count(&before, out));
            assert!(moved * 100 <= 15 * before.len(), "{out}: {moved}");
            for place in (0..10).filter(|place| *place != out) {
                // A ninth of the tenth goes to each of the others.
                let gained = count(&after, place) - count(&before, place);
                assert!((130..330).contains(&gained), "{out} to {place}: {gained}");
            }
        }
    }

    /// It is the address that counts, not the place in the list.
    #[test]
    fn the_order_of_endpoints_changes_nothing() {
        let (forwards, mut backwards) = (endpoints(&[1, 2, 5]), endpoints(&[1, 2, 5]));
        backwards.reverse();
        let (one, other) = (winners(&Ranking::new(&forwards), |_| true), winners(&Ranking::new(&backwards), |_| true));
        assert!(one.iter().zip(&other).all(|(one, other)| forwards[*one] == backwards[*other]));
    }

    #[test]
    fn shares_follow_weights() {
        let winners = winners(&Ranking::new(&endpoints(&[1, 2, 5])), |_| true);
        for (place, expected) in [2500, 5000, 12_500].into_iter().enumerate() {
            let share = count(&winners, place);
            assert!(share.abs_diff(expected) < 250, "{place}: {share}");
        }
    }

    /// What other processes and later versions have to agree with.
    #[test]
    fn keys_and_winners_are_the_same_everywhere() {
        assert_eq!(key(b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(key(b"a"), 0x02c0_bdbf_4814_20f8);
        let ranking = Ranking::new(&endpoints(&[1; 10]));
        let winners: Vec<_> = (0..10_u32).map(|number| ranking.first(key(&number.to_be_bytes()), |_| true)).collect();
        assert_eq!(winners, [5, 7, 4, 7, 2, 5, 0, 5, 9, 5].map(Some));
    }

    #[test]
    fn without_any_there_is_none() {
        assert_eq!(Ranking::new(&[]).first(1, |_| true), None);
        assert_eq!(Ranking::new(&endpoints(&[1])).first(1, |_| false), None);
    }
}
