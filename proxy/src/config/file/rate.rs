//! `rate_limit` of a route, as written, and rates.

use std::{num::NonZeroU32, time::Duration};

use serde::Deserialize;

use super::scalar::{FromScalar, Scalar, quantity};
use crate::config::model::{Rate, RateLimitBy};

/// The most that a rate may count. More is no limit.
const MAX_COUNT: u32 = 1_000_000;

/// `routes[].rate_limit`
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct RateLimitSection {
    pub(in crate::config) by: Scalar<RateLimitBy>,
    pub(in crate::config) rate: Scalar<Rate>,
    pub(in crate::config) burst: Option<Scalar<u64>>,
}

impl FromScalar for RateLimitBy {
    const EXPECTED: &'static str = "`sub`, `client_id` or `source_ip`";

    fn from_text(found: &str) -> Option<Self> {
        match found {
            "client_id" => Some(Self::ClientId),
            "source_ip" => Some(Self::SourceIp),
            "sub" => Some(Self::Sub),
            _ => None,
        }
    }
}

impl FromScalar for Rate {
    const EXPECTED: &'static str = "a rate: a whole number from 1 to 1000000 and /s, /m or /h (100/s, 30/m, 1000/h)";

    fn from_text(found: &str) -> Option<Self> {
        let (number, unit) = quantity(found)?;
        let seconds = match unit {
            "/s" => 1,
            "/m" => 60,
            "/h" => 60 * 60,
            _ => return None,
        };
        let count = u32::try_from(number).ok().filter(|count| *count <= MAX_COUNT).and_then(NonZeroU32::new)?;
        Some(Self { count, period: Duration::from_secs(seconds) })
    }
}

/// A rate, or nothing where the file says 0.
impl FromScalar for Option<Rate> {
    const EXPECTED: &'static str =
        "0 for no limit, or a rate: a whole number from 1 to 1000000 and /s, /m or /h (100/s, 30/m, 1000/h)";

    fn from_number(found: u64) -> Option<Self> {
        (found == 0).then_some(None)
    }

    fn from_text(found: &str) -> Option<Self> {
        Rate::from_text(found).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_number_in_a_while() {
        for (text, count, seconds) in
            [("1/s", 1, 1), ("30/m", 30, 60), ("1000/h", 1000, 3600), ("1000000/s", 1_000_000, 1)]
        {
            let rate = Rate { count: NonZeroU32::new(count).unwrap(), period: Duration::from_secs(seconds) };
            assert_eq!(Rate::from_text(text), Some(rate), "{text}");
            assert_eq!(<Option<Rate>>::from_text(text), Some(Some(rate)), "{text}");
        }
        for text in ["", "100", "0/s", "/s", "100/", "100/d", "100/S", "100 /s", "1.5/s", "-1/s", "1000001/s", "1/s/s"]
        {
            assert_eq!(Rate::from_text(text), None, "{text:?}");
            assert_eq!(<Option<Rate>>::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_a_limit_that_may_be_none_can_be_0() {
        assert_eq!((<Option<Rate>>::from_number(0), <Option<Rate>>::from_number(1)), (Some(None), None));
        assert_eq!(Rate::from_number(0), None);
    }
}
