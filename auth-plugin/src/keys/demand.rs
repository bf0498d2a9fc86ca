//! Requests whose token names a key that is not known, and the fetch that may bring it.
//!
//! A user pool may rotate its keys at any moment, so that the first token of a new key arrives before the next refresh.
//! Anyone can name a key that does not exist, too, so the rules are strict:
//!
//! - Requests ask for at most one fetch in [`BETWEEN_DEMANDS`], whatever arrives. Fetches that nobody asked for do not
//!   count.
//! - There is one fetch at a time. While one is under way, requests wait for it and ask for nothing.
//! - At most [`MAX_WAITING`] requests wait, and nobody for a fetch that has taken [`MAX_WAIT`]: all others are answered at
//!   once.
//! - Where nobody refreshes the keys nobody waits.
//!
//! A request waits without a lock, and one that is given up leaves its place.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use prometheus::IntGauge;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// The shortest time between two fetches that requests asked for.
const BETWEEN_DEMANDS: Duration = Duration::from_secs(10);

/// The most requests that wait for one source.
const MAX_WAITING: usize = 64;

/// The longest that a fetch is waited for.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// What requests want of a source, and who waits for it.
#[derive(Debug)]
pub(crate) struct Demand {
    state: Mutex<State>,
    /// How many fetches have ended.
    ended: AtomicU64,
    /// Wakes the task that fetches.
    asked: Notify,
    /// Wakes the requests that wait.
    over: Notify,
    waiting: IntGauge,
}

#[derive(Debug, Default)]
struct State {
    is_served: bool,
    last_asked: Option<Instant>,
    fetch: Fetch,
    waiting: usize,
}

/// Whether there is a fetch to wait for, and since when.
#[derive(Clone, Copy, Debug, Default)]
enum Fetch {
    #[default]
    None,
    Asked(Instant),
    Running(Instant),
}

/// What a request that lacks a key is told.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// A fetch has ended in the meantime.
    News,
    /// There is nothing to wait for.
    No,
    /// It has a place to wait, until then.
    Wait(Instant),
}

impl Demand {
    /// Nobody waits yet; `waiting` says how many do.
    pub(crate) fn new(waiting: IntGauge) -> Self {
        let (ended, asked, over) = (AtomicU64::new(0), Notify::new(), Notify::new());
        Self { state: Mutex::default(), ended, asked, over, waiting }
    }

    /// How many fetches have ended: read before the keys, it says what they bring at least.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Asks for a fetch on behalf of a request that did not find its key after so many had `ended`, and waits until it is
    /// over. Says whether it is worth looking again.
    pub(crate) async fn satisfy(&self, ended: u64) -> bool {
        // Made before the state is looked at, so that no end is missed.
        let over = self.over.notified();
        match self.join(ended, Instant::now()) {
            Answer::News => true,
            Answer::No => false,
            Answer::Wait(until) => {
                let _place = Place(self);
                timeout_at(until, over).await.is_ok()
            }
        }
    }

    fn join(&self, ended: u64, now: Instant) -> Answer {
        let mut state = self.state.lock();
        if self.ended() != ended {
            return Answer::News;
        }
        let since = match state.fetch {
            Fetch::None if !state.is_served || state.has_asked_lately(now) => return Answer::No,
            Fetch::None => {
                state.last_asked = Some(now);
                state.fetch = Fetch::Asked(now);
                self.asked.notify_one();
                now
            }
            Fetch::Asked(since) | Fetch::Running(since) => since,
        };
        let until = since + MAX_WAIT;
        if now >= until || state.waiting >= MAX_WAITING {
            return Answer::No;
        }
        state.waiting += 1;
        self.waiting.inc();
        Answer::Wait(until)
    }

    /// Whoever holds this fetches what is asked for.
    pub(crate) fn serve(&self) -> Service<'_> {
        self.state.lock().is_served = true;
        Service(self)
    }
}

impl State {
    fn has_asked_lately(&self, now: Instant) -> bool {
        self.last_asked.is_some_and(|asked| now.saturating_duration_since(asked) < BETWEEN_DEMANDS)
    }
}

/// A place among those that wait. It is free again when this is dropped, however the wait ends.
struct Place<'d>(&'d Demand);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
        self.0.waiting.dec();
    }
}

/// The side of the task that fetches. When it is dropped nobody waits any more.
#[derive(Debug)]
pub(crate) struct Service<'d>(&'d Demand);

impl Service<'_> {
    /// Waits until a fetch is asked for.
    pub(crate) async fn asked(&self) {
        while !matches!(self.0.state.lock().fetch, Fetch::Asked(_)) {
            self.0.asked.notified().await;
        }
    }

    /// A fetch begins.
    pub(crate) fn begin(&self) {
        self.0.state.lock().fetch = Fetch::Running(Instant::now());
    }

    /// It is over, and what it brought is published.
    pub(crate) fn end(&self) {
        let mut state = self.0.state.lock();
        state.fetch = Fetch::None;
        self.0.ended.fetch_add(1, Ordering::Release);
        self.0.over.notify_waiters();
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_served = false;
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::{JoinSet, yield_now};

    use super::*;

    const NONE: [bool; 0] = [];
    const SECOND: Duration = Duration::from_secs(1);

    fn demand() -> Arc<Demand> {
        Arc::new(Demand::new(IntGauge::new("waiting", "waiting").unwrap()))
    }

    /// So many requests that wait, or not.
    async fn ask(demand: &Arc<Demand>, count: usize) -> JoinSet<bool> {
        let mut requests = JoinSet::new();
        for _ in 0..count {
            let (demand, ended) = (Arc::clone(demand), demand.ended());
            requests.spawn(async move { demand.satisfy(ended).await });
        }
        for _ in 0..=count {
            yield_now().await;
        }
        requests
    }

    /// The answers that there are.
    fn answers(requests: &mut JoinSet<bool>) -> Vec<bool> {
        std::iter::from_fn(|| requests.try_join_next()).map(Result::unwrap).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_is_asked_for_once_and_wakes_everyone_who_waits() {
        let demand = demand();
        let service = demand.serve();
        let mut requests = ask(&demand, 3).await;
        service.asked().await;
        service.begin();
        let mut late = ask(&demand, 1).await;
        assert_eq!((answers(&mut requests), demand.waiting.get()), (vec![], 4));
        service.end();
        yield_now().await;
        yield_now().await;
        assert_eq!((answers(&mut requests), answers(&mut late), demand.waiting.get()), (vec![true; 3], vec![true], 0));
        assert_eq!(answers(&mut ask(&demand, 1).await), [false], "once is enough");
        tokio::time::advance(BETWEEN_DEMANDS - Duration::from_millis(1)).await;
        assert_eq!(answers(&mut ask(&demand, 1).await), [false]);
        tokio::time::advance(Duration::from_millis(1)).await;
        let mut requests = ask(&demand, 1).await;
        assert_eq!(answers(&mut requests), NONE);
        service.asked().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_nobody_asked_for_is_waited_for_and_does_not_count() {
        let demand = demand();
        let service = demand.serve();
        service.begin();
        let mut requests = ask(&demand, 1).await;
        service.end();
        yield_now().await;
        assert_eq!(answers(&mut requests), [true]);
        let mut requests = ask(&demand, 1).await;
        assert_eq!(answers(&mut requests), NONE, "waits");
        service.asked().await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_fetch_that_takes_long() {
        let demand = demand();
        let service = demand.serve();
        let mut first = ask(&demand, 1).await;
        tokio::time::advance(SECOND / 2).await;
        service.begin();
        tokio::time::advance(SECOND / 2).await;
        yield_now().await;
        assert_eq!((answers(&mut first), demand.waiting.get()), (vec![false], 0), "a second after it asked");
        let mut second = ask(&demand, 1).await;
        assert_eq!(answers(&mut second), NONE);
        tokio::time::advance(SECOND / 2).await;
        yield_now().await;
        assert_eq!(answers(&mut second), [false], "a second after the fetch began");
        assert_eq!(answers(&mut ask(&demand, 1).await), [false], "at once");
        service.end();
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_those_who_wait_is_bounded_and_who_leaves_makes_room() {
        let demand = demand();
        let service = demand.serve();
        service.begin();
        let mut requests = ask(&demand, MAX_WAITING + 1).await;
        assert_eq!((answers(&mut requests), demand.waiting.get()), (vec![false], 64));
        requests.abort_all();
        while requests.join_next().await.is_some() {}
        assert_eq!(demand.waiting.get(), 0);
        let mut requests = ask(&demand, 1).await;
        assert_eq!(answers(&mut requests), NONE);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_came_in_between_are_looked_at_at_once() {
        let demand = demand();
        let service = demand.serve();
        let ended = demand.ended();
        service.begin();
        service.end();
        assert!(demand.satisfy(ended).await);
        assert!(demand.state.lock().last_asked.is_none(), "and nothing is asked for");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_where_nobody_fetches() {
        let demand = demand();
        assert_eq!(answers(&mut ask(&demand, 1).await), [false]);
        let service = demand.serve();
        let mut requests = ask(&demand, 1).await;
        drop(service);
        yield_now().await;
        assert_eq!(answers(&mut requests), [true], "looks once more");
        assert_eq!(answers(&mut ask(&demand, 1).await), [false]);
    }
}
