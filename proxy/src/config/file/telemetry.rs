//! `access_log` and `tracing`, as written.

use serde::Deserialize;

use super::scalar::{FromScalar, Period, Scalar};
use crate::config::model::{LogFormat, SampleRatio};

/// `access_log`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct AccessLogSection {
    pub(in crate::config) path: Scalar<String>,
    #[serde(default)]
    pub(in crate::config) format: Scalar<LogFormat>,
}

/// `tracing`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct TracingSection {
    pub(in crate::config) otlp: Scalar<String>,
    #[serde(default = "one_in_a_hundred")]
    pub(in crate::config) sample: Scalar<SampleRatio>,
    #[serde(default = "cognigate")]
    pub(in crate::config) service_name: Scalar<String>,
    #[serde(default = "five_seconds")]
    pub(in crate::config) timeout: Scalar<Period>,
}

const fn one_in_a_hundred() -> Scalar<SampleRatio> {
    Scalar(SampleRatio(SampleRatio::WHOLE / 100))
}

fn cognigate() -> Scalar<String> {
    Scalar("cognigate".to_owned())
}

const fn five_seconds() -> Scalar<Period> {
    Scalar(Period::seconds(5))
}

impl FromScalar for LogFormat {
    const EXPECTED: &'static str = "`json` or `combined`";

    fn from_text(found: &str) -> Option<Self> {
        match found {
            "combined" => Some(Self::Combined),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl FromScalar for SampleRatio {
    const EXPECTED: &'static str = "a share: 0, or a number from 0.000001 to 1";

    fn from_number(found: u64) -> Option<Self> {
        match found {
            0 => Some(Self(0)),
            1 => Some(Self(Self::WHOLE)),
            _ => None,
        }
    }

    fn from_float(found: f64) -> Option<Self> {
        let whole = f64::from(Self::WHOLE);
        // What is no number is in no range. A share too small to be told must become neither none nor a larger one.
        let is_share = found == 0.0 || (1.0 / whole..=1.0).contains(&found);
        #[expect(clippy::cast_possible_truncation, reason = "whole, and from 0 to a million")]
        is_share.then_some(Self((found * whole).round() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_told_in_millionths() {
        for (share, millionths) in [
            (0.0, 0),
            (-0.0, 0),
            (0.000_001, 1),
            (0.01, 10_000),
            (0.1, 100_000),
            (0.333_333_3, 333_333),
            (1.0, SampleRatio::WHOLE),
        ] {
            assert_eq!(SampleRatio::from_float(share), Some(SampleRatio(millionths)), "{share}");
        }
        for share in [
            -0.01,
            0.000_000_1,
            0.000_000_6,
            0.000_000_999,
            f64::MIN_POSITIVE,
            1.000_000_1,
            100.0,
            f64::INFINITY,
            f64::NAN,
        ] {
            assert_eq!(SampleRatio::from_float(share), None, "{share}");
        }
        assert_eq!(SampleRatio::from_number(1), Some(SampleRatio(SampleRatio::WHOLE)));
        assert_eq!(SampleRatio::from_number(2), None);
    }
}
