//! Hot path: no lock, no I/O, no info log.
//!
//! Counts the requests of each caller on a route that has a `rate_limit`, and tells every caller what it has left.
//!
//! - an address is counted as soon as the route is known, before anyone asks who calls; a user or an app client once its token
//!   is verified. What is refused before that is not counted, nor is a preflight
//! - what is refused with 429 takes nothing; everything else does, whatever becomes of it
//! - a client without an address (over a Unix socket) is not limited by its address
//! - every response on such a route says what the limit is and, if the caller is known, what is left of it
//!   (draft-ietf-httpapi-ratelimit-headers-11), in the place of what the upstream says of its own

use std::{io::Write, net::IpAddr, time::Instant};

use cognigate_auth::identity::Identity;
use http::{HeaderValue, StatusCode};
use pingora_core::Result;
use pingora_http::ResponseHeader;

use crate::{
    config::model::{RateLimitBy, RateLimitConfig},
    rate::{Account, Allowance, Exhausted, Quota, RateLimiter, Whose},
    response::Refusal,
    subscriber::Subscriber,
};

/// The fields that tell, for pages that want to read them.
pub const FIELDS: [&str; 2] = ["ratelimit", "ratelimit-policy"];

/// More than the longest value has: `"client_id";q=4294967295;w=4294967295`.
const MAX_VALUE_BYTES: usize = 48;

/// The limit of a route.
#[derive(Debug)]
pub struct RateLimit {
    by: RateLimitBy,
    quota: Quota,
    route: Box<str>,
    policy: Option<HeaderValue>,
}

/// What responses say about a limit.
#[derive(Clone, Copy, Debug)]
pub struct RateFields<'a> {
    limit: &'a RateLimit,
    allowance: Option<Allowance>,
}

impl RateLimit {
    /// The limit of the route with this label.
    #[must_use]
    pub fn new(config: RateLimitConfig, route: &str) -> Self {
        let RateLimitConfig { by, rate, burst } = config;
        let quota = Quota::new(rate, burst);
        let policy = value(by, &[("q", quota.burst()), ("w", quota.window())]);
        Self { by, quota, route: route.into(), policy }
    }

    /// Takes a request from what its source has, if that is what is counted: what is left then.
    ///
    /// # Errors
    ///
    /// [`Exhausted`].
    pub fn take_of_source(
        &self,
        limiter: &RateLimiter,
        client: Option<IpAddr>,
    ) -> Result<Option<Allowance>, Exhausted> {
        let whose = match self.by {
            RateLimitBy::SourceIp => client.map(|address| Whose::Source(Subscriber::of(address))),
            RateLimitBy::ClientId | RateLimitBy::Sub => None,
        };
        whose.map(|whose| self.take(limiter, whose)).transpose()
    }

    /// Takes a request from what its caller has, if that is what is counted: what is left then. The same `sub` in two user
    /// pools is two callers.
    ///
    /// # Errors
    ///
    /// [`Exhausted`].
    pub fn take_of_caller(&self, limiter: &RateLimiter, caller: &Identity) -> Result<Option<Allowance>, Exhausted> {
        let issuer = caller.pool().issuer.as_str();
        let whose = match self.by {
            RateLimitBy::ClientId => Whose::Client { issuer, client_id: caller.client_id() },
            RateLimitBy::SourceIp => return Ok(None),
            RateLimitBy::Sub => Whose::User { issuer, sub: caller.sub() },
        };
        self.take(limiter, whose).map(Some)
    }

    fn take(&self, limiter: &RateLimiter, whose: Whose<'_>) -> Result<Allowance, Exhausted> {
        limiter.take(&Account { route: Some(&self.route), whose }, self.quota, Instant::now())
    }

    /// What responses say to a caller who has this left; nothing, where it is not known who calls.
    #[must_use]
    pub const fn fields(&self, allowance: Option<Allowance>) -> RateFields<'_> {
        RateFields { limit: self, allowance }
    }
}

impl RateFields<'_> {
    /// Says it, but not with what comes before the response. A second time changes nothing.
    ///
    /// # Errors
    ///
    /// Pingora's, if the response has no room for a field.
    pub fn tell(self, response: &mut ResponseHeader) -> Result<()> {
        let Self { limit, allowance } = self;
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        if let Some(policy) = &limit.policy {
            response.insert_header("RateLimit-Policy", policy.clone())?;
        }
        let left = allowance.and_then(|Allowance { left, more_in }| value(limit.by, &[("r", left), ("t", more_in)]));
        match left {
            Some(left) => response.insert_header("RateLimit", left),
            None => {
                response.remove_header("RateLimit");
                Ok(())
            }
        }
    }
}

impl From<Exhausted> for Refusal {
    fn from(Exhausted { retry_after }: Exhausted) -> Self {
        Self::RateLimited { retry_after }
    }
}

/// An item and its parameters (RFC 9651 section 3.3): `"sub";r=12;t=1`.
fn value(by: RateLimitBy, parameters: &[(&str, u32)]) -> Option<HeaderValue> {
    let name = match by {
        RateLimitBy::ClientId => "client_id",
        RateLimitBy::SourceIp => "source_ip",
        RateLimitBy::Sub => "sub",
    };
    let mut room = [0; MAX_VALUE_BYTES];
    let mut rest = &mut room[..];
    write!(rest, "\"{name}\"").ok()?;
    for (parameter, number) in parameters {
        write!(rest, ";{parameter}={number}").ok()?;
    }
    let length = MAX_VALUE_BYTES - rest.len();
    HeaderValue::from_bytes(room.get(..length)?).ok()
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use ahash::RandomState;
    use prometheus::Registry;

    use super::*;
    use crate::{config::model::Rate, telemetry::metrics::RateMetrics};

    fn limit(by: RateLimitBy, count: u32, burst: u32) -> RateLimit {
        let [count, burst] = [count, burst].map(|number| NonZeroU32::new(number).unwrap());
        let rate = Rate { count, period: Duration::from_secs(60) };
        RateLimit::new(RateLimitConfig { by, rate, burst }, "GET /a")
    }

    fn limiter() -> RateLimiter {
        let metrics = RateMetrics::register(&Registry::new()).unwrap();
        RateLimiter::new(1024, RandomState::new(), Instant::now(), metrics)
    }

    fn told(fields: RateFields<'_>, theirs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in theirs {
            response.append_header(*name, *value).unwrap();
        }
        fields.tell(&mut response).unwrap();
        fields.tell(&mut response).unwrap();
        let fields = response.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut fields: Vec<_> = fields.collect();
        fields.sort();
        fields
    }

    #[test]
    fn a_caller_is_told_its_limit_and_what_is_left_of_it() {
        let known = Some(Allowance { left: 12, more_in: 3 });
        for (by, allowance, expected) in [
            (RateLimitBy::Sub, known, vec![r#"ratelimit-policy: "sub";q=20;w=40"#, r#"ratelimit: "sub";r=12;t=3"#]),
            (
                RateLimitBy::ClientId,
                known,
                vec![r#"ratelimit-policy: "client_id";q=20;w=40"#, r#"ratelimit: "client_id";r=12;t=3"#],
            ),
            (RateLimitBy::SourceIp, None, vec![r#"ratelimit-policy: "source_ip";q=20;w=40"#]),
        ] {
            assert_eq!(told(limit(by, 30, 20).fields(allowance), &[]), expected);
        }
    }

    #[test]
    fn what_comes_before_the_response_tells_nothing() {
        let limit = limit(RateLimitBy::Sub, u32::MAX, 1_000_000);
        for (status, told) in [(100, 0), (103, 0), (101, 2), (200, 2), (429, 2)] {
            let mut response = ResponseHeader::build(status, None).unwrap();
            limit.fields(Some(Allowance { left: u32::MAX, more_in: u32::MAX })).tell(&mut response).unwrap();
            assert_eq!(response.headers.len(), told, "{status}");
        }
    }

    #[test]
    fn what_an_upstream_says_of_limits_of_its_own_is_replaced() {
        let theirs = [("RateLimit", "a"), ("RateLimit", "b"), ("RateLimit-Policy", "c"), ("X-Kept", "d")];
        let limit = limit(RateLimitBy::Sub, 60, 1);
        let policy = r#"ratelimit-policy: "sub";q=1;w=1"#;
        let known = limit.fields(Some(Allowance { left: 0, more_in: 1 }));
        assert_eq!(told(known, &theirs), [policy, r#"ratelimit: "sub";r=0;t=1"#, "x-kept: d"]);
        assert_eq!(told(limit.fields(None), &theirs), [policy, "x-kept: d"]);
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_64() {
        for (one, other, is_same) in [
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let (limiter, limit) = (limiter(), limit(RateLimitBy::SourceIp, 1, 1));
            let take = |address: &str| limit.take_of_source(&limiter, Some(address.parse().unwrap()));
            assert_eq!(take(one).unwrap(), Some(Allowance { left: 0, more_in: 60 }));
            assert_eq!(take(other).is_err(), is_same, "{one} {other}");
        }
    }

    #[test]
    fn who_has_no_address_and_who_is_not_counted_by_it_is_not_limited_by_it() {
        let limiter = limiter();
        for _ in 0..3 {
            assert_eq!(limit(RateLimitBy::SourceIp, 1, 1).take_of_source(&limiter, None), Ok(None));
            let address = Some(IpAddr::from([192, 0, 2, 1]));
            assert_eq!(limit(RateLimitBy::Sub, 1, 1).take_of_source(&limiter, address), Ok(None));
        }
    }
}
