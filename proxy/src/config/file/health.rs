//! How endpoints are known to be well, as written: `health_check` and `outlier` of an upstream.

use serde::Deserialize;

use super::scalar::{FromScalar, Period, Scalar, quantity};
use crate::config::model::{Percent, StatusRange};

/// `upstreams.NAME.health_check`
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct HealthCheckSection {
    pub(in crate::config) path: Option<Scalar<String>>,
    pub(in crate::config) tcp: Scalar<bool>,
    pub(in crate::config) host: Option<Scalar<String>>,
    pub(in crate::config) statuses: Option<Vec<Scalar<StatusRange>>>,
    pub(in crate::config) body_contains: Option<Scalar<String>>,
    pub(in crate::config) interval: Scalar<Period>,
    pub(in crate::config) timeout: Scalar<Period>,
    pub(in crate::config) healthy_after: Scalar<u64>,
    pub(in crate::config) unhealthy_after: Scalar<u64>,
}

impl Default for HealthCheckSection {
    fn default() -> Self {
        Self {
            path: None,
            tcp: Scalar(false),
            host: None,
            statuses: None,
            body_contains: None,
            interval: Scalar(Period::seconds(5)),
            timeout: Scalar(Period::seconds(1)),
            healthy_after: Scalar(2),
            unhealthy_after: Scalar(3),
        }
    }
}

/// `upstreams.NAME.outlier`
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct OutlierSection {
    pub(in crate::config) consecutive_failures: Scalar<u64>,
    pub(in crate::config) eject_for: Scalar<Period>,
    pub(in crate::config) max_ejected: Scalar<Percent>,
    pub(in crate::config) statuses: Vec<Scalar<StatusRange>>,
}

impl Default for OutlierSection {
    fn default() -> Self {
        let statuses = [StatusRange { first: 500, last: 500 }, StatusRange { first: 502, last: 504 }];
        Self {
            consecutive_failures: Scalar(5),
            eject_for: Scalar(Period::seconds(30)),
            max_ejected: Scalar(Percent(50)),
            statuses: statuses.map(Scalar).into(),
        }
    }
}

impl FromScalar for StatusRange {
    const EXPECTED: &'static str =
        "a status from 100 to 599, or the first and the last of several (200, 200-299, 502-504)";

    fn from_number(found: u64) -> Option<Self> {
        let status = u16::try_from(found).ok().filter(is_status)?;
        Some(Self { first: status, last: status })
    }

    fn from_text(found: &str) -> Option<Self> {
        let (first, last) = found.split_once('-')?;
        let (first, last) = (status(first)?, status(last)?);
        (first <= last).then_some(Self { first, last })
    }
}

fn status(text: &str) -> Option<u16> {
    let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|status| is_number && is_status(status))
}

fn is_status(status: &u16) -> bool {
    (100..=599).contains(status)
}

impl FromScalar for Percent {
    const EXPECTED: &'static str = "a share in whole percent, 0% to 100%";

    fn from_text(found: &str) -> Option<Self> {
        let (number, unit) = quantity(found)?;
        let percent = u8::try_from(number).ok()?;
        (unit == "%" && percent <= 100).then_some(Self(percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_one_or_a_range() {
        assert_eq!(StatusRange::from_number(200), Some(StatusRange { first: 200, last: 200 }));
        assert_eq!(StatusRange::from_text("100-599"), Some(StatusRange { first: 100, last: 599 }));
        assert_eq!(StatusRange::from_text("204-204"), Some(StatusRange { first: 204, last: 204 }));
        for number in [0, 99, 600, 65_736] {
            assert_eq!(StatusRange::from_number(number), None, "{number}");
        }
        for text in
            ["", "200", "-", "200-", "-200", "299-200", "200-600", "99-100", "2xx", "200 - 299", "+20-299", "0200-0299"]
        {
            assert_eq!(StatusRange::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn shares_are_whole_percent() {
        for (text, percent) in [("0%", 0), ("50%", 50), ("100%", 100)] {
            assert_eq!(Percent::from_text(text), Some(Percent(percent)), "{text}");
        }
        for text in ["", "%", "50", "50 %", "-1%", "101%", "256%", "0.5", "33.3%", "50%%"] {
            assert_eq!(Percent::from_text(text), None, "{text:?}");
        }
    }
}
