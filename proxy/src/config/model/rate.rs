//! `rate_limit` of a route, usable: how many requests each caller has.

use std::{num::NonZeroU32, time::Duration};

/// `rate_limit` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitConfig {
    /// `by`: whose requests are counted together. No default.
    pub by: RateLimitBy,
    /// `rate`: how many requests each has in the long run. No default.
    pub rate: Rate,
    /// `burst`: how many it may make at once after a pause. 1 to 1 000 000, default as many as `rate` counts: `30/m` gives 30 at
    /// once, and then one every two seconds.
    pub burst: NonZeroU32,
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimitBy {
    /// `client_id`: those of an app client. Not on an open route.
    ClientId,
    /// `source_ip`: those of a client's IPv4 address or IPv6 /64.
    SourceIp,
    /// `sub`: those of a user. Not on an open route.
    Sub,
}

/// So many in a while: `100/s`, `30/m`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many. 1 to 1 000 000.
    pub count: NonZeroU32,
    /// In which time: a second, a minute or an hour.
    pub period: Duration,
}
