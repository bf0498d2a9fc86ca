//! Hot path: no lock, no I/O, no info log.
//!
//! One timer for all the deadlines of a connection.
//!
//! A deadline that is reached by nobody costs nothing: the timer is left as it is when a deadline moves away, and looked at
//! again when it goes off. So a busy connection sets its timer about once in an idle time, not twice a request.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;

/// A timer that goes off at a deadline that may move.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: Pin<Box<Sleep>>,
    /// When the timer goes off; nothing if it did.
    set: Option<Instant>,
}

impl Alarm {
    /// One that goes off at `deadline`, if that does not move.
    pub(super) fn new(deadline: Instant) -> Self {
        Self { timer: Box::pin(sleep_until(deadline)), set: Some(deadline) }
    }

    /// Whether the deadline is over. If not, the task is woken when it is.
    pub(super) fn is_due(&mut self, deadline: Option<Instant>, context: &mut Context<'_>) -> bool {
        let Some(deadline) = deadline else { return false };
        loop {
            if self.set.is_none_or(|set| set > deadline) {
                self.timer.as_mut().reset(deadline);
                self.set = Some(deadline);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return false;
            }
            self.set = None;
            if Instant::now() >= deadline {
                return true;
            }
        }
    }

    /// Runs `work` for as long as the activity's deadlines allow. Nothing if one of them is over.
    pub(super) async fn watch<F: Future + ?Sized>(
        &mut self,
        activity: &Activity,
        mut work: Pin<&mut F>,
    ) -> Option<F::Output> {
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.is_due(activity.deadline(), context) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long it takes until the deadline that `deadline` tells is over.
    async fn time_until_due(alarm: &mut Alarm, mut deadline: impl FnMut() -> Option<Instant>) -> Duration {
        let began = Instant::now();
        let due = poll_fn(|context| match alarm.is_due(deadline(), context) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        due.await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_may_move_both_ways() {
        let began = Instant::now();
        let mut alarm = Alarm::new(began + 10 * SECOND);
        let is_slow = |time: Duration, seconds: u32| (seconds * SECOND..seconds * SECOND + SECOND / 10).contains(&time);
        let time = time_until_due(&mut alarm, || Some(began + 3 * SECOND)).await;
        assert!(is_slow(time, 3), "nearer: {time:?}");
        let time = time_until_due(&mut alarm, || Some(began + 5 * SECOND)).await;
        assert!(is_slow(time, 2), "farther: {time:?}");
        let mut alarm = Alarm::new(Instant::now() + SECOND);
        let late = Instant::now() + 4 * SECOND;
        assert!(is_slow(time_until_due(&mut alarm, || Some(late)).await, 4), "farther than the timer");
        let never = time_until_due(&mut alarm, || None);
        assert!(tokio::time::timeout(5 * SECOND, never).await.is_err(), "without a deadline nothing is due");
    }
}
