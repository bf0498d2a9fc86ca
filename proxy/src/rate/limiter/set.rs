//! Hot path: no lock, no I/O, no info log.
//!
//! The places that one hash can pick, and who has them.
//!
//! A place is two words: the name of an account, and its moment, which is when the account has everything back or else says
//! that the place is changing hands. There is at most one place in which an account can be taken from, whatever threads do
//! at the same time. Nobody waits for anybody, but where all the places of a set are changing hands at once:
//!
//! 1. Who wants a place *seizes* it: its moment becomes [`SEIZED`], by which it is out of reach for everybody else. A thread
//!    that was about to take from the account that it had finds another moment, and begins anew.
//! 2. The name is changed, and the moment becomes [`OPENING`], with a number that no other opening has.
//! 3. The opening is *settled*, by whoever sees it: the others of the set are looked through for the same name. Where one is
//!    in use, or an earlier place is opening, this one is given back; a later one that is opening is given back in its stead.
//!    Else it is in use from now on, and whoever settled it has taken the first.
//! 4. What is given back has a moment that no place had before, so that nobody takes it for what it was.
//!
//! Of two places that are opened for one account, the one that was opened later is settled with the other in view, so they
//! are never both in use. `tests/orders` runs through the orders of steps that there are.
//!
//! What is left to chance: a place that changed hands twice while a thread had its old moment in its hand, and has the very
//! same nanosecond again. Then the one who has it now pays for the other, and at most its own window (see
//! [`Quota::take`]).

use std::{cmp::Reverse, ptr};

use super::{
    WAYS,
    sync::{AtomicU64, Ordering, fence, spin_loop},
    tally::Tally,
};
use crate::rate::quota::{Allowance, Exhausted, Quota};

/// The name of no account.
pub(super) const NOBODY: u64 = 0;

/// The moment of a place that is opened, and the number of the opening. What is less is a moment: 146 years of them.
const OPENING: u64 = 1 << 62;

/// The moment of a place that nobody can use.
const SEIZED: u64 = 2 << 62;

/// The moment of a place that was given back, and a number that nothing else has.
const LEFT: u64 = 3 << 62;

/// The accounts that one hash can pick: two lines of a cache.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Set([Place; WAYS]);

#[derive(Debug, Default)]
struct Place {
    /// The name of the account, or [`NOBODY`]. Its lowest byte is that of the limit that it is an account of.
    name: AtomicU64,
    /// When it has everything back, in nanoseconds since the limiter began; or what is being done with it.
    moment: AtomicU64,
}

/// A place as it was seen.
#[derive(Clone, Copy)]
struct Seen<'a> {
    place: &'a Place,
    name: u64,
    moment: u64,
}

/// Where an account is.
enum Found<'a> {
    /// It can be taken from.
    InUse(Seen<'a>),
    /// Nowhere, and nobody can have a place now: all of them are changing hands.
    Nowhere,
    /// It is being opened.
    Opening(Seen<'a>),
    /// Nowhere, but it could have this place.
    Vacant(Seen<'a>),
}

/// Another place of an account that is opened.
enum Rival<'a> {
    /// It comes first.
    First,
    /// It has to go.
    Second(Seen<'a>),
}

impl Set {
    /// Takes one from the account of this name, which is opened if there is none.
    pub(super) fn take(&self, name: u64, quota: Quota, now: u64, tally: &Tally) -> Result<Allowance, Exhausted> {
        let (first, fresh) = quota.take(0, now)?;
        // Each turn but the last was lost to a thread that took, or opened an account, in the same set.
        loop {
            match self.find(name, now) {
                Found::InUse(seen) => match quota.take(seen.moment, now) {
                    Ok((next, allowance)) if seen.change(next) => return Ok(allowance),
                    Err(exhausted) if seen.is_true() => return Err(exhausted),
                    Ok(_) | Err(_) => {}
                },
                Found::Nowhere => spin_loop(),
                Found::Opening(seen) if self.settle(&seen, first, tally) => return Ok(fresh),
                Found::Vacant(seen) => {
                    let opening = seen.open(name, now, tally);
                    if opening.is_some_and(|opening| self.settle(&opening, first, tally)) {
                        return Ok(fresh);
                    }
                }
                Found::Opening(_) => {}
            }
        }
    }

    /// Whether something is left in an account.
    pub(super) fn peek(&self, name: u64, quota: Quota, now: u64) -> Result<(), Exhausted> {
        loop {
            let Found::InUse(seen) = self.find(name, now) else { return Ok(()) };
            let verdict = quota.take(seen.moment, now).map(|_| ());
            if seen.is_true() {
                return verdict;
            }
        }
    }

    fn find(&self, name: u64, now: u64) -> Found<'_> {
        let all = self.0.each_ref().map(Place::look);
        let its_own = || all.iter().filter(|seen| seen.name == name);
        if let Some(seen) = its_own().find(|seen| seen.is_in_use()) {
            return Found::InUse(*seen);
        }
        if let Some(seen) = its_own().find(|seen| seen.is_opening()) {
            return Found::Opening(*seen);
        }
        vacancy(&all, limit_of(name), now).map_or(Found::Nowhere, Found::Vacant)
    }

    /// Has an opening come to an end, one way or another. Says whether the account is in use from now on, with this moment.
    fn settle(&self, opening: &Seen<'_>, first: u64, tally: &Tally) -> bool {
        // Whoever opened the same account before is seen now, or else will see this.
        fence(Ordering::SeqCst);
        loop {
            match self.rival(opening) {
                None => return opening.change(first),
                Some(Rival::First) => {
                    opening.give_back(tally);
                    return false;
                }
                // If it is settled already, it is seen again as what it is now.
                Some(Rival::Second(later)) => later.give_back(tally),
            };
        }
    }

    /// Another place of the account that is opened, if there is one.
    fn rival(&self, opening: &Seen<'_>) -> Option<Rival<'_>> {
        let mut is_earlier = true;
        for place in &self.0 {
            if ptr::eq(place, opening.place) {
                is_earlier = false;
                continue;
            }
            let other = place.look();
            if other.name != opening.name {
                continue;
            }
            if other.is_in_use() || (is_earlier && other.is_opening()) {
                return Some(Rival::First);
            }
            if other.is_opening() {
                return Some(Rival::Second(other));
            }
        }
        None
    }
}

impl Place {
    /// The moment before the name, which is written before the moment: whoever sees an opening sees its name.
    fn look(&self) -> Seen<'_> {
        let moment = self.moment.load(Ordering::Acquire);
        Seen { place: self, name: self.name.load(Ordering::Acquire), moment }
    }
}

impl<'a> Seen<'a> {
    const fn is_in_use(&self) -> bool {
        self.moment < OPENING
    }

    const fn is_opening(&self) -> bool {
        self.moment >= OPENING && self.moment < SEIZED
    }

    const fn is_left(&self) -> bool {
        self.moment >= LEFT
    }

    /// Whether it is still so, which says that name and moment belong together.
    fn is_true(&self) -> bool {
        self.place.moment.load(Ordering::Acquire) == self.moment
    }

    /// Moves the moment, if it is still the one that was seen.
    fn change(&self, moment: u64) -> bool {
        swap(&self.place.moment, self.moment, moment.min(OPENING - 1))
    }

    fn seize(&self) -> bool {
        swap(&self.place.moment, self.moment, SEIZED)
    }

    /// Begins to open an account here, if the place is still as it was seen.
    fn open(self, name: u64, now: u64, tally: &Tally) -> Option<Self> {
        if !self.seize() {
            return None;
        }
        // Only now nobody else changes the name.
        if self.place.name.load(Ordering::Relaxed) == NOBODY {
            tally.count_taken();
        } else if self.moment > now {
            tally.count_evicted();
        }
        let moment = OPENING + tally.number();
        self.place.name.store(name, Ordering::Release);
        self.place.moment.store(moment, Ordering::Release);
        Some(Self { name, moment, ..self })
    }

    /// Leaves the place to nobody, if it is still as it was seen. Says whether it was.
    fn give_back(&self, tally: &Tally) -> bool {
        let is_mine = self.seize();
        if is_mine {
            tally.count_left();
            self.place.name.store(NOBODY, Ordering::Release);
            self.place.moment.store(LEFT + tally.number(), Ordering::Release);
        }
        is_mine
    }
}

/// The place that a new account of this limit gets: one that owes nothing; in a full set, one of the limit that has the most
/// places with it, so that no limit takes more than its share from another, and of those the one that has everything back
/// first.
fn vacancy<'a>(all: &[Seen<'a>; WAYS], limit: u8, now: u64) -> Option<Seen<'a>> {
    let in_use = || all.iter().filter(|seen| seen.is_in_use());
    let owes_nothing = || in_use().filter(|seen| seen.moment <= now).min_by_key(|seen| seen.moment);
    let free = all.iter().find(|seen| seen.is_left()).or_else(owes_nothing);
    let members = |of| in_use().filter(|seen| limit_of(seen.name) == of).count() + usize::from(of == limit);
    let most = || in_use().max_by_key(|seen| (members(limit_of(seen.name)), Reverse(seen.moment)));
    free.or_else(most).copied()
}

/// The limit that an account belongs to.
const fn limit_of(name: u64) -> u8 {
    name.to_le_bytes()[0]
}

fn swap(cell: &AtomicU64, seen: u64, fresh: u64) -> bool {
    cell.compare_exchange(seen, fresh, Ordering::AcqRel, Ordering::Acquire).is_ok()
}
