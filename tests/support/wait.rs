//! Waiting, always with a bound: for a value that another thread changes, or for an answer that can only be asked for.

use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for what happens at once on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The time between two questions to something that cannot say when it changes.
const GLANCE: Duration = Duration::from_millis(5);

/// A value that some threads change and others wait for.
#[derive(Debug, Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    /// A value that nobody has changed yet.
    pub const fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Condvar::new() }
    }

    /// Looks at the value or changes it, and wakes everybody who waits for a change.
    pub fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.value.lock().unwrap());
        self.changed.notify_all();
        result
    }

    /// What `look` finds in the value, now or after a change; `None` if it has not found it after `limit`.
    pub fn find<R>(&self, limit: Duration, mut look: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let mut found = None;
        let is_missing = |value: &mut T| {
            found = look(value);
            found.is_none()
        };
        let value = self.value.lock().unwrap();
        drop(self.changed.wait_timeout_while(value, limit, is_missing).unwrap());
        found
    }
}

/// Holds back whoever waits at it until it is opened. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Watched<bool>>);

impl Gate {
    /// Lets everybody through, from now on.
    pub fn open(&self) {
        self.0.with(|is_open| *is_open = true);
    }

    /// Waits until the gate is open. After [`PATIENCE`] nobody will open it any more: the test is over.
    pub fn wait(&self) {
        self.0.find(PATIENCE, |is_open| is_open.then_some(()));
    }
}

/// The first answer that `ask` gives; `None` if it has given none after `limit`.
pub fn within<R>(limit: Duration, mut ask: impl FnMut() -> Option<R>) -> Option<R> {
    let deadline = Instant::now() + limit;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= deadline {
            return answer;
        }
        thread::park_timeout(GLANCE);
    }
}

/// The first answer that `ask` gives.
///
/// # Panics
///
/// If it has given none after [`PATIENCE`].
#[track_caller]
pub fn eventually<R>(what: &str, ask: impl FnMut() -> Option<R>) -> R {
    match within(PATIENCE, ask) {
        Some(answer) => answer,
        None => panic!("not within {PATIENCE:?}: {what}"),
    }
}
