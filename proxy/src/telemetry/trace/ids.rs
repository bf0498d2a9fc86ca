//! Hot path: no lock, no I/O, no info log.
//!
//! The ids of traces and spans, and which traces are chosen.
//!
//! Which are chosen is decided with a key of its own: ids are shown, and must not tell.

use ahash::RandomState;

use crate::{
    config::model::SampleRatio,
    filter::{
        number::Numbers,
        trace_context::{SpanId, TraceId},
    },
};

/// Draws ids.
#[derive(Debug)]
pub(super) struct Ids {
    numbers: Numbers,
    chance: RandomState,
}

impl Ids {
    /// Ids that no other process draws, as far as chance goes.
    pub(super) fn new() -> Self {
        Self { numbers: Numbers::new(), chance: RandomState::new() }
    }

    /// The id of a trace that begins here.
    pub(super) fn trace(&self) -> TraceId {
        loop {
            if let Some(id) = TraceId::new(self.numbers.draw_wide().to_be_bytes()) {
                return id;
            }
        }
    }

    /// The id of a span that begins here.
    pub(super) fn span(&self) -> SpanId {
        loop {
            if let Some(id) = SpanId::new(self.numbers.draw().to_be_bytes()) {
                return id;
            }
        }
    }

    /// Whether spans are made of a trace, of which this share is chosen. The same trace gets the same answer, and nobody
    /// outside can tell which.
    pub(super) fn is_chosen(&self, trace: TraceId, share: SampleRatio) -> bool {
        self.chance.hash_one(trace) % u64::from(SampleRatio::WHOLE) < u64::from(share.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_id_is_drawn_twice() {
        let (one, other) = (Ids::new(), Ids::new());
        let traces: HashSet<_> = (0..10_000).flat_map(|_| [one.trace(), other.trace()]).collect();
        let spans: HashSet<_> = (0..10_000).flat_map(|_| [one.span(), other.span()]).collect();
        assert_eq!((traces.len(), spans.len()), (20_000, 20_000));
    }

    #[test]
    fn the_share_that_is_asked_for_is_chosen() {
        let ids = Ids::new();
        let traces: Vec<_> = (0..100_000).map(|_| ids.trace()).collect();
        for (share, least, most) in
            [(0, 0, 0), (10_000, 800, 1200), (500_000, 49_000, 51_000), (1_000_000, 100_000, 100_000)]
        {
            let is_chosen = |trace: &&TraceId| ids.is_chosen(**trace, SampleRatio(share));
            let chosen: Vec<_> = traces.iter().filter(is_chosen).collect();
            assert!((least..=most).contains(&chosen.len()), "{share}: {}", chosen.len());
            assert!(
                chosen.iter().all(|trace| ids.is_chosen(**trace, SampleRatio(share))),
                "the same trace, the same answer"
            );
        }
    }

    #[test]
    fn nobody_can_tell_which_are_chosen() {
        // Those that a plain comparison with the share would choose.
        let lowest = (1..=1000_u128).filter_map(|number| TraceId::new(number.to_be_bytes()));
        let ids = Ids::new();
        let chosen = lowest.filter(|trace| ids.is_chosen(*trace, SampleRatio(10_000))).count();
        assert!(chosen < 100, "{chosen}");
    }
}
