//! The texts of an identity in one block of memory: an identity that was not looked at for a while costs few trips there.

/// How many texts every identity has.
const FIXED: usize = 5;

/// A fixed number of texts and a list of more. They come from one token, whose limit keeps their sum far below 4 GiB.
#[derive(Clone)]
pub(super) struct Texts {
    all: Box<str>,
    fixed_ends: [u32; FIXED],
    list_ends: Box<[u32]>,
}

impl Texts {
    pub(super) fn new(fixed: [&str; FIXED], list: &[impl AsRef<str>]) -> Self {
        let length = |texts: &mut dyn Iterator<Item = &str>| texts.map(str::len).sum::<usize>();
        let all = length(&mut fixed.into_iter()) + length(&mut list.iter().map(AsRef::as_ref));
        let mut all = String::with_capacity(all);
        let mut append = |text: &str| {
            all.push_str(text);
            u32::try_from(all.len()).unwrap_or(u32::MAX)
        };
        let fixed_ends = fixed.map(&mut append);
        let list_ends = list.iter().map(|text| append(text.as_ref())).collect();
        Self { all: all.into(), fixed_ends, list_ends }
    }

    /// The fixed text at this place.
    pub(super) fn fixed(&self, place: usize) -> &str {
        let end = |place| self.fixed_ends.get(place).copied();
        self.between(place.checked_sub(1).and_then(end).unwrap_or(0), end(place).unwrap_or(0))
    }

    /// The texts of the list.
    pub(super) fn list(&self) -> impl Iterator<Item = &str> {
        let [.., first] = self.fixed_ends;
        let starts = std::iter::once(first).chain(self.list_ends.iter().copied());
        starts.zip(&self.list_ends).map(|(start, end)| self.between(start, *end))
    }

    /// The sizes of what they have on the heap, one for each allocation.
    pub(super) fn heap_blocks(&self) -> [usize; 2] {
        [self.all.len(), size_of_val(&*self.list_ends)]
    }

    fn between(&self, start: u32, end: u32) -> &str {
        self.all.get(start as usize..end as usize).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_were_put_in() {
        for list in [vec![], vec![""], vec!["a"], vec!["", "b, c", "", "\u{0}\u{e9}"]] {
            let list: Vec<Box<str>> = list.into_iter().map(Box::from).collect();
            for fixed in [["", "", "", "", ""], ["a", "", "b c", "d\u{e9}", "e"]] {
                let texts = Texts::new(fixed, &list);
                for (place, text) in (0..).zip(fixed) {
                    assert_eq!(texts.fixed(place), text, "{place} of {fixed:?}");
                }
                assert_eq!(texts.list().map(Box::from).collect::<Vec<Box<str>>>(), list, "{fixed:?}");
                assert_eq!(texts.fixed(FIXED), "");
            }
        }
    }
}
