//! `rate_limit` of a route: how many requests each caller has.

use std::{num::NonZeroU32, ops::RangeInclusive};

use crate::config::{
    file::{RateLimitSection, Scalar},
    finding::At,
    model::{RateLimitBy, RateLimitConfig},
    rule::BrokenRule,
};

/// `burst`: as much as a rate may count.
const BURST: RangeInclusive<u64> = 1..=1_000_000;

/// `is_open`: nobody has a `sub` or a `client_id` there.
pub(super) fn rate_limit(section: RateLimitSection, is_open: bool, at: &At<'_>) -> Option<RateLimitConfig> {
    let RateLimitSection { by: Scalar(by), rate: Scalar(rate), burst } = section;
    match by {
        RateLimitBy::ClientId | RateLimitBy::Sub if is_open => at.field("by").report(BrokenRule::NobodyToLimit),
        RateLimitBy::ClientId | RateLimitBy::SourceIp | RateLimitBy::Sub => {}
    }
    let burst = match burst {
        Some(Scalar(burst)) => at.field("burst").within(burst, &BURST).and_then(|burst| u32::try_from(burst).ok()),
        None => Some(rate.count.get()),
    };
    Some(RateLimitConfig { by, rate, burst: NonZeroU32::new(burst?)? })
}
