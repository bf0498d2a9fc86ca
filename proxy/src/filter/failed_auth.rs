//! Hot path: no lock, no I/O, no info log.
//!
//! Keeps garbage from buying CPU: whoever sends more tokens that nobody issued than is allowed gets no token verified that is
//! not remembered, until a while has passed.
//!
//! - What counts is what no client of Cognito sends by accident: a token that is none, or is signed by nobody who is trusted. A
//!   token that has expired, or is for another route, is an honest mistake and costs nothing; so does a request without one.
//! - It is asked before a token is verified, and counted afterwards. What was let through before the limit was reached goes on:
//!   as many as there are threads, and those that wait for a key that is not known yet, at most 64.
//! - It has a table of its own, so that no flood of callers elsewhere makes it forget.

use std::{net::IpAddr, sync::Arc, time::Instant};

use ahash::RandomState;
use cognigate_auth::rejection::Rejection;

use crate::{
    config::model::Rate,
    rate::{Account, Quota, RateLimiter, Whose},
    response::Refusal,
    subscriber::Subscriber,
    telemetry::metrics::RateMetrics,
};

/// Addresses that are kept in mind, 16 bytes each.
const SOURCES: usize = 65_536;

/// The limit.
#[derive(Clone, Debug)]
pub struct FailedAuth {
    limiter: Arc<RateLimiter>,
    quota: Quota,
}

/// The account of somebody who shows tokens.
#[derive(Clone, Copy, Debug)]
pub struct Failures<'a> {
    limiter: &'a RateLimiter,
    quota: Quota,
    account: Account<'a>,
}

impl FailedAuth {
    /// So many from each address. What they owe is taken over from `previous`.
    #[must_use]
    pub fn new(rate: Rate, metrics: &RateMetrics, previous: Option<&Self>) -> Self {
        let fresh = || Arc::new(RateLimiter::new(SOURCES, RandomState::new(), Instant::now(), metrics.clone()));
        let limiter = previous.map_or_else(fresh, |previous| Arc::clone(&previous.limiter));
        Self { limiter, quota: Quota::of_rate(rate) }
    }

    /// Those from this address.
    #[must_use]
    pub fn of(&self, client: IpAddr) -> Failures<'_> {
        let account = Account { route: None, whose: Whose::Source(Subscriber::of(client)) };
        Failures { limiter: &self.limiter, quota: self.quota, account }
    }
}

impl Failures<'_> {
    /// Whether one more is allowed.
    ///
    /// # Errors
    ///
    /// [`Refusal::FailedAuthLimit`].
    pub fn check(&self) -> Result<(), Refusal> {
        let left = self.limiter.peek(&self.account, self.quota, Instant::now());
        left.map_err(|exhausted| Refusal::FailedAuthLimit { retry_after: exhausted.retry_after })
    }

    /// Counts a token that was refused, if it was one that counts.
    pub fn count(&self, rejection: Rejection) {
        if is_forgery(rejection) {
            // One that came at the same time as the last that was allowed is one too many already.
            let _ = self.limiter.take(&self.account, self.quota, Instant::now());
        }
    }
}

const fn is_forgery(rejection: Rejection) -> bool {
    match rejection {
        Rejection::AlgNotAllowed
        | Rejection::SignatureInvalid
        | Rejection::TokenMalformed
        | Rejection::TokenTooLarge => true,
        Rejection::ClientNotAllowed
        | Rejection::GroupMissing
        | Rejection::IssuerUnknown
        | Rejection::KeysUnavailable
        | Rejection::KidUnknown
        | Rejection::ScopeMissing
        | Rejection::TokenExpired
        | Rejection::TokenMissing
        | Rejection::TokenNotYetValid
        | Rejection::TokenRevoked
        | Rejection::TokenUseMismatch => false,
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use prometheus::Registry;

    use super::*;

    fn failed_auth(count: u32) -> FailedAuth {
        let rate = Rate { count: NonZeroU32::new(count).unwrap(), period: Duration::from_secs(3600) };
        FailedAuth::new(rate, &RateMetrics::register(&Registry::new()).unwrap(), None)
    }

    #[test]
    fn only_forgeries_count_and_only_against_who_sent_them() {
        let limit = failed_auth(2);
        for rejection in Rejection::ALL {
            let forger = IpAddr::from([192, 0, 2, rejection as u8]);
            let failures = limit.of(forger);
            for _ in 0..2 {
                assert_eq!(failures.check(), Ok(()), "{rejection}");
                failures.count(rejection);
            }
            let is_over = ["alg_not_allowed", "signature_invalid", "token_malformed", "token_too_large"]
                .contains(&rejection.reason());
            let expected = if is_over { Err(Refusal::FailedAuthLimit { retry_after: 1800 }) } else { Ok(()) };
            assert_eq!(failures.check(), expected, "{rejection}");
        }
        assert_eq!(limit.of(IpAddr::from([198, 51, 100, 1])).check(), Ok(()));
    }

    #[test]
    fn a_reload_forgives_nobody() {
        let (before, forger) = (failed_auth(1), IpAddr::from([192, 0, 2, 1]));
        before.of(forger).count(Rejection::TokenMalformed);
        let rate = Rate { count: NonZeroU32::MIN, period: Duration::from_secs(3600) };
        let metrics = RateMetrics::register(&Registry::new()).unwrap();
        let after = FailedAuth::new(rate, &metrics, Some(&before));
        assert_eq!(after.of(forger).check(), Err(Refusal::FailedAuthLimit { retry_after: 3600 }));
    }
}
