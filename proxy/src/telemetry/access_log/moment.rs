//! Hot path: no lock, no I/O, no info log.
//!
//! A moment as logs write it, in UTC.

use cognigate_auth::clock::UnixMillis;
use time::{Month, OffsetDateTime};

use super::line::Line;

/// A moment, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    date: OffsetDateTime,
    millis: u64,
}

impl Moment {
    /// A moment after the year 9999 reads as the beginning of 1970.
    pub(super) fn new(at: UnixMillis) -> Self {
        let date = i64::try_from(at / 1_000).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        Self { date: date.unwrap_or(OffsetDateTime::UNIX_EPOCH), millis: at % 1_000 }
    }

    /// `2026-11-02T09:08:07.006Z` (RFC 3339).
    pub(super) fn rfc3339(self, line: &mut Line) {
        self.year(line);
        for (mark, number) in [("-", u8::from(self.date.month())), ("-", self.date.day()), ("T", self.date.hour())] {
            two(line, mark, number);
        }
        self.minute_and_second(line);
        line.text(".");
        line.digits(self.millis, 3);
        line.text("Z");
    }

    /// `02/Nov/2026:09:08:07 +0000`, as Apache has it.
    pub(super) fn common(self, line: &mut Line) {
        two(line, "", self.date.day());
        line.text("/");
        line.text(month(self.date.month()));
        line.text("/");
        self.year(line);
        two(line, ":", self.date.hour());
        self.minute_and_second(line);
        line.text(" +0000");
    }

    fn year(self, line: &mut Line) {
        line.digits(u64::from(self.date.year().unsigned_abs()), 4);
    }

    fn minute_and_second(self, line: &mut Line) {
        two(line, ":", self.date.minute());
        two(line, ":", self.date.second());
    }
}

fn two(line: &mut Line, mark: &str, number: u8) {
    line.text(mark);
    line.digits(number.into(), 2);
}

const fn month(month: Month) -> &'static str {
    match month {
        Month::January => "Jan",
        Month::February => "Feb",
        Month::March => "Mar",
        Month::April => "Apr",
        Month::May => "May",
        Month::June => "Jun",
        Month::July => "Jul",
        Month::August => "Aug",
        Month::September => "Sep",
        Month::October => "Oct",
        Month::November => "Nov",
        Month::December => "Dec",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        for (at, rfc3339, common) in [
            (0, "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
            (951_782_400_999, "2000-02-29T00:00:00.999Z", "29/Feb/2000:00:00:00 +0000"),
            (1_793_610_487_006, "2026-11-02T09:08:07.006Z", "02/Nov/2026:09:08:07 +0000"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z", "31/Dec/2099:23:59:59 +0000"),
            (u64::MAX - 615, "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
        ] {
            let [mut one, mut other] = [Line::default(), Line::default()];
            Moment::new(at).rfc3339(&mut one);
            Moment::new(at).common(&mut other);
            let written = [one, other].map(|line| String::from_utf8(line.as_bytes().to_vec()).unwrap());
            assert_eq!(written, [rfc3339, common], "{at}");
        }
    }
}
