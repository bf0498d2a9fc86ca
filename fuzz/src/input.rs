//! The bytes of a fuzzer, taken from the front. They never run out: after the last come zeros, so every input means
//! something.

/// What is left of an input.
pub(crate) struct Input<'d>(&'d [u8]);

impl<'d> Input<'d> {
    pub(crate) const fn new(data: &'d [u8]) -> Self {
        Self(data)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    /// So many bytes, or fewer at the end.
    pub(crate) fn bytes(&mut self, count: usize) -> &'d [u8] {
        let (taken, rest) = self.0.split_at_checked(count).unwrap_or((self.0, b""));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub(crate) const fn rest(self) -> &'d [u8] {
        self.0
    }

    /// A place in something of this length, from 0 to before its end; 0 if it is empty. Takes two bytes, so that a place
    /// stays about where it is when the length changes.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        let fraction = usize::from(self.byte()) << 8 | usize::from(self.byte());
        (fraction * length) >> 16
    }

    /// One of several. Takes a byte.
    pub(crate) fn pick<'t, T>(&mut self, options: &'t [T]) -> &'t T {
        let place = usize::from(self.byte()).checked_rem(options.len()).unwrap_or_default();
        options.get(place).expect("there is something to pick")
    }
}
