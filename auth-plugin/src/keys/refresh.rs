//! Keeps the keys of one issuer fresh, off the request path.
//!
//! - The first fetch happens at once. After a success the next follows in `refresh`, after a failure sooner: 1 s, 2 s, 4 s
//!   and so on up to 1 minute or `refresh`, whichever is shorter, and never under 1 s.
//! - Every wait is spread by a fifth either way, so that a fleet of proxies does not ask in step.
//! - A document that cannot be fetched or used leaves the keys as they were.

use std::{error::Error as _, fmt, sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    keys::{
        fetch::{FetchError, Fetcher},
        issuer::KeySource,
        key_set::{KeySet, UnusableDocument},
    },
    metrics::KeyMetrics,
    pool::{JwksUri, UserPool},
};

/// The first wait after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait after a failure.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// How far a wait may be off, either way.
const SPREAD: f64 = 0.2;

/// Fetches the keys of one pool again and again.
#[derive(Debug)]
pub struct Refresher {
    source: KeySource,
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    metrics: KeyMetrics,
    random: fastrand::Rng,
    failures: u32,
}

/// Why the keys are what they were before.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// There is no document.
    #[error("cannot fetch the document")]
    Fetch(#[from] FetchError),
    /// There is one, but no keys in it.
    #[error("cannot use the document")]
    Document(#[from] UnusableDocument),
}

impl Refresher {
    pub(crate) fn new(source: KeySource, fetcher: Fetcher, clock: Arc<dyn Clock>, metrics: KeyMetrics) -> Self {
        Self { source, fetcher, clock, metrics, random: fastrand::Rng::new(), failures: 0 }
    }

    /// Fetches until the task is dropped.
    pub async fn run(mut self) {
        loop {
            let outcome = self.refresh().await;
            let wait = self.settle(outcome);
            tokio::time::sleep(wait).await;
        }
    }

    /// The pool whose keys these are.
    #[must_use]
    pub fn pool(&self) -> &UserPool {
        &self.source.pool
    }

    /// Where they are fetched from.
    #[must_use]
    pub fn jwks_uri(&self) -> &JwksUri {
        &self.source.jwks_uri
    }

    /// Whether the pool publishes keys there in any case, and not only if it is set up that way.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.source.is_required()
    }

    /// Fetches once.
    ///
    /// # Errors
    ///
    /// [`RefreshError`]; the keys are then what they were before.
    pub async fn refresh(&self) -> Result<(), RefreshError> {
        let document = self.fetcher.fetch(&self.source.jwks_uri, self.source.pool.jwks.timeout).await?;
        let current = self.source.store.current();
        let fresh = KeySet::parse(&document, self.clock.now(), current.set())?;
        self.report_change(current.set(), &fresh);
        self.source.store.publish(fresh);
        Ok(())
    }

    /// Counts and logs the outcome, and says how long to wait.
    fn settle(&mut self, outcome: Result<(), RefreshError>) -> Duration {
        let KeySource { pool, jwks_uri, .. } = &self.source;
        let (user_pool, uri) = (&*pool.name, jwks_uri.as_str());
        match outcome {
            Ok(()) => {
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!(user_pool, uri, "keys can be fetched again");
                }
                self.metrics.refreshed.inc();
            }
            Err(error) if self.is_optional() => {
                // Not every pool is set up for every form of its issuer: that is no failure.
                if matches!(&error, RefreshError::Fetch(FetchError::Status(status)) if status.is_client_error()) {
                    self.source.store.deny();
                }
                self.metrics.not_offered.inc();
                tracing::debug!(user_pool, uri, error = %Chain(&error), "no keys for this form of the pool's issuer");
                return spread(pool.jwks.refresh.min(LAST_RETRY), self.random.f64());
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.metrics.failed.inc();
                let error = Chain(&error);
                tracing::warn!(user_pool, uri, failures = self.failures, %error, "keys not refreshed");
            }
        }
        spread(delay(pool.jwks.refresh, self.failures), self.random.f64())
    }

    /// Whether these keys may well not exist: another form of the pool's issuer, and there were none before.
    fn is_optional(&self) -> bool {
        !self.source.is_required() && self.source.store.current().set().is_none()
    }

    fn report_change(&self, before: Option<&KeySet>, fresh: &KeySet) {
        // A replica that answers must not hide that the pool itself does not.
        if self.source.is_required() {
            self.metrics.last_success.set(i64::try_from(fresh.fetched_at()).unwrap_or(i64::MAX));
            self.metrics.keys.set(i64::try_from(fresh.kids().len()).unwrap_or(i64::MAX));
        }
        let is_unchanged = before.is_some_and(|before| fresh.has_keys_of(before) && before.has_keys_of(fresh));
        if !is_unchanged {
            let kids: Vec<_> = fresh.kids().collect();
            tracing::info!(user_pool = &*self.source.pool.name, ?kids, "new keys");
        }
    }
}

/// The wait before spread, after so many failures in a row.
fn delay(refresh: Duration, failures: u32) -> Duration {
    let refresh = refresh.max(FIRST_RETRY);
    match failures.checked_sub(1) {
        None => refresh,
        Some(doublings) => FIRST_RETRY.saturating_mul(1 << doublings.min(16)).min(LAST_RETRY).min(refresh),
    }
}

/// A wait that is off by [`SPREAD`] at most; `random` is from 0 to 1. One too long to be spread is left as it is.
fn spread(wait: Duration, random: f64) -> Duration {
    let factor = 1.0 - SPREAD + 2.0 * SPREAD * random;
    Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(wait)
}

/// An error with its causes in one line.
struct Chain<'e>(&'e RefreshError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(out, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_back_off_and_never_wait_longer_than_a_success() {
        for (refresh, failures, expected) in [
            (300, 0, 300),
            (300, 1, 1),
            (300, 2, 2),
            (300, 4, 8),
            (300, 7, 60),
            (300, u32::MAX, 60),
            (5, 9, 5),
            (1, 1, 1),
            (0, 0, 1),
            (0, 1, 1),
        ] {
            let wait = delay(Duration::from_secs(refresh), failures);
            assert_eq!(wait.as_secs(), expected, "{refresh} {failures}");
        }
    }

    #[test]
    fn waits_are_spread_by_a_fifth_and_never_overflow() {
        let minutes = Duration::from_secs(300);
        for (wait, random, expected) in [
            (minutes, 0.0, Duration::from_secs(240)),
            (minutes, 0.5, minutes),
            (minutes, 1.0, Duration::from_secs(360)),
            (Duration::MAX, 1.0, Duration::MAX),
        ] {
            assert_eq!(spread(wait, random), expected, "{wait:?} {random}");
        }
    }
}
