//! Hot path: no lock, no I/O, no info log.
//!
//! What is known of an endpoint at one moment, as one word.

use super::{MAX_EJECTIONS, Rule};

const UNWELL: u64 = 1;
const EJECTED: u64 = 1 << 1;
const PROBATION: u64 = 1 << 2;
const GONE: u64 = 1 << 3;

/// 0 to [`MAX_EJECTIONS`].
const EJECTIONS: Field = Field { shift: 4, bits: 4 };

/// 0 to 1000, which is the most that the configuration asks for.
const FAILURES: Field = Field { shift: 8, bits: 10 };

/// 34 years.
const UNTIL: Field = Field { shift: 18, bits: 40 };

/// Comes round after 32 ejections and returns. A request that lasts for exactly as long is taken for one of now.
const EPOCH: Field = Field { shift: 58, bits: 6 };

/// What is known of an endpoint at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Health checks took it out.
    pub(super) is_unwell: bool,
    pub(super) is_ejected: bool,
    /// One request decides, and has it to itself meanwhile.
    pub(super) is_on_probation: bool,
    /// It left the pool: what becomes of it counts nowhere.
    pub(super) is_gone: bool,
    /// How many times in a row it was ejected.
    pub(super) ejections: u64,
    /// How many requests in a row failed.
    pub(super) failures: u64,
    /// In milliseconds since the origin: when it may be asked, if it is ejected; until when its trial keeps others away, if it
    /// is on probation. 0, if there is none.
    pub(super) until: u64,
    /// Another whenever it leaves or enters rotation.
    pub(super) epoch: u64,
}

/// Some bits of a word.
#[derive(Clone, Copy, Debug)]
struct Field {
    shift: u32,
    bits: u32,
}

impl Field {
    const fn most(self) -> u64 {
        (1 << self.bits) - 1
    }

    const fn of(self, word: u64) -> u64 {
        word >> self.shift & self.most()
    }

    /// A value that does not fit becomes the largest that does.
    fn with(self, value: u64) -> u64 {
        value.min(self.most()) << self.shift
    }
}

impl State {
    pub(super) const fn of(word: u64) -> Self {
        Self {
            is_unwell: word & UNWELL != 0,
            is_ejected: word & EJECTED != 0,
            is_on_probation: word & PROBATION != 0,
            is_gone: word & GONE != 0,
            ejections: EJECTIONS.of(word),
            failures: FAILURES.of(word),
            until: UNTIL.of(word),
            epoch: EPOCH.of(word),
        }
    }

    pub(super) fn word(self) -> u64 {
        let Self { is_unwell, is_ejected, is_on_probation, is_gone, ejections, failures, until, epoch } = self;
        let flags = [(is_unwell, UNWELL), (is_ejected, EJECTED), (is_on_probation, PROBATION), (is_gone, GONE)];
        let flags = flags.into_iter().filter_map(|(is_set, flag)| is_set.then_some(flag)).sum::<u64>();
        let fields = [EJECTIONS.with(ejections), FAILURES.with(failures), UNTIL.with(until), EPOCH.with(epoch)];
        fields.into_iter().fold(flags, |word, field| word | field)
    }

    pub(super) const fn is_out(self) -> bool {
        self.is_unwell || self.is_ejected
    }

    /// Ejected, at this moment.
    pub(super) fn ejected(self, rule: Rule, now: u64) -> Self {
        let ejections = MAX_EJECTIONS.min(self.ejections + 1);
        let until = now + rule.time(ejections);
        Self { is_ejected: true, is_on_probation: false, ejections, failures: 0, until, ..self }.in_next_epoch()
    }

    /// The same, and what was sent before counts no more.
    pub(super) const fn in_next_epoch(self) -> Self {
        Self { epoch: (self.epoch + 1) & EPOCH.most(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_a_state() {
        for state in [
            State::default(),
            State { is_unwell: true, is_on_probation: true, ejections: 10, failures: 1000, ..State::default() },
            State { is_ejected: true, is_gone: true, until: (1 << 40) - 1, ..State::default() },
            State { epoch: 63, until: 1, ..State::default() },
        ] {
            assert_eq!(State::of(state.word()), state);
        }
        let late = State { until: u64::MAX, ..State::default() };
        assert_eq!(State::of(late.word()).until, (1 << 40) - 1);
        assert_eq!(State { epoch: 63, ..State::default() }.in_next_epoch(), State::default());
    }
}
