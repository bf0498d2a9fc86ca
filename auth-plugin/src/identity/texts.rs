//! The texts of an identity in one block of memory: an identity that was not looked at for a while costs few trips there.

use std::ops::Range;

use smallvec::SmallVec;

use crate::token::MAX_TOKEN_BYTES;

/// How many texts every identity has.
const FIXED: usize = 4;

/// How many more it may have before their ends take a block of their own: most tokens have fewer scopes and groups.
pub(super) const USUAL_LIST: usize = 12;

// The texts come from one token, each from another part of it.
const _: () = assert!(MAX_TOKEN_BYTES <= u16::MAX as usize);

/// A fixed number of texts and a list of more.
#[derive(Clone)]
pub(super) struct Texts {
    all: Box<str>,
    fixed_ends: [u16; FIXED],
    list_ends: SmallVec<[u16; USUAL_LIST]>,
}

impl Texts {
    pub(super) fn new(fixed: [&str; FIXED], list: &[&str]) -> Self {
        let length = |texts: &[&str]| texts.iter().map(|text| text.len()).sum::<usize>();
        let mut all = String::with_capacity(length(&fixed) + length(list));
        let mut append = |text: &str| {
            all.push_str(text);
            u16::try_from(all.len()).unwrap_or(u16::MAX)
        };
        let fixed_ends = fixed.map(&mut append);
        let mut list_ends: SmallVec<_> = list.iter().copied().map(append).collect();
        list_ends.shrink_to_fit();
        Self { all: all.into(), fixed_ends, list_ends }
    }

    /// The fixed text at this place.
    pub(super) fn fixed(&self, place: usize) -> &str {
        let end = |place| self.fixed_ends.get(place).copied();
        self.all
            .get(between(place.checked_sub(1).and_then(end).unwrap_or(0), end(place).unwrap_or(0)))
            .unwrap_or_default()
    }

    /// The texts of the list.
    pub(super) fn list(&self) -> impl Iterator<Item = &str> {
        self.list_ranges().map(|range| self.all.get(range).unwrap_or_default())
    }

    /// The same as bytes, which nobody asks whether a letter begins and ends where they do.
    pub(super) fn list_bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.list_ranges().map(|range| self.all.as_bytes().get(range).unwrap_or_default())
    }

    /// Reads of the block that they are in: of its end, where the list is.
    pub(super) fn touch(&self) -> impl Sized {
        (self.all.as_bytes().last().copied(), self.list_ends.len())
    }

    /// The sizes of what they have on the heap, one for each allocation.
    pub(super) fn heap_blocks(&self) -> [usize; 2] {
        [self.all.len(), if self.list_ends.spilled() { size_of::<u16>() * self.list_ends.capacity() } else { 0 }]
    }

    fn list_ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let [.., first] = self.fixed_ends;
        let starts = std::iter::once(first).chain(self.list_ends.iter().copied());
        starts.zip(&self.list_ends).map(|(start, end)| between(start, *end))
    }
}

fn between(start: u16, end: u16) -> Range<usize> {
    usize::from(start)..usize::from(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_were_put_in() {
        for list in [vec![], vec![""], vec!["a"], vec!["", "b, c", "", "\u{0}\u{e9}"], vec!["ab"; USUAL_LIST + 1]] {
            for fixed in [["", "", "", ""], ["a", "", "b c", "d\u{e9}"]] {
                let texts = Texts::new(fixed, &list);
                for (place, text) in (0..).zip(fixed) {
                    assert_eq!(texts.fixed(place), text, "{place} of {fixed:?}");
                }
                assert_eq!(texts.list().collect::<Vec<_>>(), list, "{fixed:?}");
                let spilled = if list.len() > USUAL_LIST { size_of::<u16>() * list.len() } else { 0 };
                let length = fixed.iter().chain(&list).map(|text| text.len()).sum::<usize>();
                assert_eq!(texts.heap_blocks(), [length, spilled], "{fixed:?}");
                assert!(texts.list_bytes().eq(texts.list().map(str::as_bytes)), "{fixed:?}");
                assert_eq!(texts.fixed(FIXED), "");
            }
        }
    }
}
