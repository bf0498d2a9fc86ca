//! Keeps the keys of one source fresh, off the request path.
//!
//! - The first fetch happens at once, the next ones as `schedule` says, or as soon as a request asks for one; from then
//!   on the schedule starts anew.
//! - A document that cannot be fetched or used leaves the keys as they were.
//! - In between, the keys are looked at again when they expire and every half minute: those that have become too old, and those
//!   whose date turns out to lie in the future because the clock was set back, are fetched at once.
//! - Each change is logged once and counted: keys fetched, not fetched, rotated, stale, expired.
//! - It ends by itself when no configuration uses the source any more.

use std::{
    ops::ControlFlow::{self, Break, Continue},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{
    clock::{Clock, UnixSeconds},
    keys::{
        archive::{ArchivedKeys, Chain},
        demand::Service,
        fetch::{FetchError, Fetcher},
        key_set::{KeySet, UnusableDocument},
        schedule,
        source::{KeySource, SourceEnd},
        store::KeyState,
    },
    pool::JwksUri,
};

/// The longest time between two looks at the clock: it may be set at any time.
const LOOK: Duration = Duration::from_secs(30);

/// Fetches the keys of one source again and again.
#[derive(Debug)]
pub struct Refresher {
    source: Arc<KeySource>,
    end: SourceEnd,
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    random: fastrand::Rng,
    failures: u32,
    state: KeyState,
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
    pub(crate) fn new(source: Arc<KeySource>, end: SourceEnd, fetcher: Fetcher, clock: Arc<dyn Clock>) -> Self {
        let state = source.store.state(clock.now());
        Self { source, end, fetcher, clock, random: fastrand::Rng::new(), failures: 0, state }
    }

    /// Fetches until no authorizer uses the keys any more.
    pub async fn run(mut self) {
        self.source.report_state(self.state);
        let source = Arc::clone(&self.source);
        let service = source.demand.serve();
        while self.turn(&service).await.is_continue() {}
    }

    /// The name of the pool whose keys these are.
    #[must_use]
    pub fn user_pool(&self) -> &str {
        &self.source.user_pool
    }

    /// Where they are fetched from.
    #[must_use]
    pub fn jwks_uri(&self) -> &JwksUri {
        &self.source.jwks_uri
    }

    /// Whether the pool publishes keys there in any case, and not only if it is set up that way.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.source.is_required
    }

    /// Fetches once.
    ///
    /// # Errors
    ///
    /// [`RefreshError`]; the keys are then what they were before.
    pub async fn refresh(&self) -> Result<(), RefreshError> {
        refresh(&self.source, &self.fetcher, &*self.clock).await.map(|_| ())
    }

    /// One fetch, and the wait for the next one.
    async fn turn(&mut self, service: &Service<'_>) -> ControlFlow<()> {
        service.begin();
        let outcome = tokio::select! {
            outcome = refresh(&self.source, &self.fetcher, &*self.clock) => outcome,
            _ = &mut self.end => return Break(()),
        };
        let wait = self.settle(outcome.map(|fetched| self.keep(fetched)));
        service.end();
        self.rest(Instant::now() + wait, service).await
    }

    /// Hands what was fetched to the archive. Only here: a process that fetches once to look must not write.
    fn keep(&self, fetched: ArchivedKeys) {
        if let Some(archive) = &self.source.archive {
            archive.keep(fetched);
        }
    }

    /// Waits for the next fetch.
    async fn rest(&mut self, next: Instant, service: &Service<'_>) -> ControlFlow<()> {
        while Instant::now() < next {
            let look = Instant::now() + self.time_to_look();
            tokio::select! {
                () = sleep_until(next.min(look)) => {}
                () = service.asked() => return Continue(()),
                _ = &mut self.end => return Break(()),
            }
            if self.has_aged() {
                self.failures = 0;
                return Continue(());
            }
        }
        Continue(())
    }

    /// How long the keys stay what they are, as far as the clock can be trusted.
    fn time_to_look(&self) -> Duration {
        let remaining = self.source.store.remaining(self.clock.now());
        remaining.map_or(LOOK, |seconds| Duration::from_secs(seconds).min(LOOK))
    }

    /// Whether time has made the keys something else: too old, or of the future.
    fn has_aged(&mut self) -> bool {
        let now = self.clock.now();
        let is_redated = self.redate(now);
        let before = self.state;
        let has_expired = self.source.store.state(now) == KeyState::Expired;
        if has_expired {
            self.enter(KeyState::Expired, now);
        }
        is_redated || (has_expired && before != KeyState::Expired)
    }

    /// Keys that were fetched while the clock was far ahead would be fresh for as long: they count from now on.
    fn redate(&mut self, now: UnixSeconds) -> bool {
        let is_redated = self.source.store.redate(now);
        if is_redated {
            let (user_pool, uri) = (&*self.source.user_pool, self.source.jwks_uri.as_str());
            tracing::warn!(user_pool, uri, "the clock was set back: keys count from now on");
            self.enter(KeyState::Stale, now);
        }
        is_redated
    }

    /// Counts and logs the outcome, and says how long to wait.
    fn settle(&mut self, outcome: Result<(), RefreshError>) -> Duration {
        let now = self.clock.now();
        let source = Arc::clone(&self.source);
        let KeySource { user_pool, jwks_uri, policy, metrics, .. } = &*source;
        let (user_pool, uri) = (&**user_pool, jwks_uri.as_str());
        let wait = match outcome {
            Ok(()) => {
                self.failures = 0;
                metrics.refreshed.inc();
                self.enter(KeyState::Fresh, now);
                schedule::wait(policy.refresh, 0, true, self.random.f64())
            }
            Err(error) if source.is_optional() => {
                // Not every pool is set up for every form of its issuer: that is no failure.
                if matches!(&error, RefreshError::Fetch(FetchError::Status(status)) if status.is_client_error()) {
                    source.store.deny();
                }
                metrics.not_offered.inc();
                tracing::debug!(user_pool, uri, error = %Chain(&error), "no keys for this form of the pool's issuer");
                schedule::spread(policy.refresh.min(schedule::LAST_RETRY), self.random.f64())
            }
            Err(error) => {
                self.redate(now);
                let state = source.store.state(now);
                self.failures = self.failures.saturating_add(1);
                metrics.failed.inc();
                let (failures, age, error) = (self.failures, source.store.age(now), Chain(&error));
                tracing::warn!(user_pool, uri, failures, age, %error, "keys not refreshed");
                self.enter(state, now);
                schedule::wait(policy.refresh, failures, state == KeyState::Stale, self.random.f64())
            }
        };
        source.report_next(now.saturating_add(wait.as_secs()));
        wait
    }

    /// Notes what the keys are now, and logs it if they were something else.
    fn enter(&mut self, state: KeyState, now: UnixSeconds) {
        if std::mem::replace(&mut self.state, state) == state {
            return;
        }
        self.source.report_state(state);
        let KeySource { user_pool, jwks_uri, policy, store, .. } = &*self.source;
        let (user_pool, uri, age, max_stale) =
            (&**user_pool, jwks_uri.as_str(), store.age(now), policy.max_stale.as_secs());
        match state {
            KeyState::Expired => {
                tracing::error!(user_pool, uri, age, max_stale, "keys expired: nothing can be decided")
            }
            KeyState::Fresh => {
                let current = store.current();
                let kids: Vec<_> = current.set().map(|set| set.kids().collect()).unwrap_or_default();
                tracing::info!(user_pool, uri, ?kids, "keys fetched");
            }
            KeyState::Missing => tracing::warn!(user_pool, uri, "keys missing: nothing can be decided"),
            KeyState::Stale => {
                tracing::warn!(user_pool, uri, age, max_stale, "keys stale: they decide until max_stale")
            }
        }
    }
}

async fn refresh(source: &KeySource, fetcher: &Fetcher, clock: &dyn Clock) -> Result<ArchivedKeys, RefreshError> {
    let document = fetcher.fetch(&source.jwks_uri, source.policy.timeout).await?;
    let current = source.store.current();
    let fresh = KeySet::parse(&document, clock.now(), current.set())?;
    report_rotation(source, current.set(), &fresh);
    source.report(&fresh);
    let fetched_at = fresh.fetched_at();
    source.store.publish(fresh);
    // Lossless: a document that is not UTF-8 yields no keys.
    let document = String::from_utf8_lossy(&document).into_owned();
    Ok(ArchivedKeys { jwks_uri: source.jwks_uri.as_str().to_owned(), fetched_at, document })
}

fn report_rotation(source: &KeySource, before: Option<&KeySet>, fresh: &KeySet) {
    let Some(before) = before else { return };
    let (added, removed) = (fresh.kids_beyond(before), before.kids_beyond(fresh));
    if !(added.is_empty() && removed.is_empty()) {
        source.metrics.rotations.inc();
        let (user_pool, uri) = (&*source.user_pool, source.jwks_uri.as_str());
        tracing::info!(user_pool, uri, ?added, ?removed, "keys rotated");
    }
}

#[cfg(test)]
mod tests;
