//! Hot path: no lock, no I/O, no info log.
//!
//! A line while it is made.

use std::{
    fmt::{self, Write},
    time::Duration,
};

/// As many digits as a number can have.
const MAX_DIGITS: usize = 20;

/// Bytes that are written one after another, into room that is kept.
#[derive(Debug, Default)]
pub(super) struct Line(Vec<u8>);

impl Line {
    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// All of it so far.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds these bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Adds this text as it is.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Adds a number in decimal digits.
    pub(super) fn number(&mut self, number: u64) {
        self.digits(number, 1);
    }

    /// Adds a number in this many decimal digits, or more if it has more.
    pub(super) fn digits(&mut self, number: u64, at_least: usize) {
        let (mut digits, mut rest, mut count) = ([b'0'; MAX_DIGITS], number, 0);
        for digit in digits.iter_mut().rev() {
            if rest == 0 && count >= at_least {
                break;
            }
            *digit = u8::try_from(rest % 10).map_or(b'0', |value| b'0' + value);
            (rest, count) = (rest / 10, count + 1);
        }
        self.bytes(digits.get(MAX_DIGITS - count..).unwrap_or_default());
    }

    /// Adds milliseconds with their microseconds: `12.345`.
    pub(super) fn millis(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.number(micros / 1_000);
        self.text(".");
        self.digits(micros % 1_000, 3);
    }

    /// Adds what has a form of its own.
    pub(super) fn shown(&mut self, value: impl fmt::Display) {
        // Writing to memory does not fail.
        let _ = write!(self, "{value}");
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Line)) -> String {
        let mut line = Line::default();
        write(&mut line);
        String::from_utf8(line.0).unwrap()
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 7, 10, 99, 100, 12_345, u64::MAX - 1, u64::MAX] {
            assert_eq!(written(|line| line.number(number)), number.to_string());
        }
        for (number, at_least, expected) in
            [(0, 2, "00"), (7, 2, "07"), (42, 2, "42"), (2026, 2, "2026"), (5, 3, "005")]
        {
            assert_eq!(written(|line| line.digits(number, at_least)), expected);
        }
    }

    #[test]
    fn durations_are_milliseconds_to_the_microsecond() {
        for (duration, expected) in [
            (Duration::ZERO, "0.000"),
            (Duration::from_nanos(999), "0.000"),
            (Duration::from_micros(7), "0.007"),
            (Duration::from_micros(12_345), "12.345"),
            (Duration::from_secs(86_400), "86400000.000"),
            (Duration::MAX, "18446744073709551.615"),
        ] {
            assert_eq!(written(|line| line.millis(duration)), expected);
        }
    }
}
