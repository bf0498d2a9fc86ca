//! What threads meet over, under the eyes of the model checker: each use is a point at which another thread may go on.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use loom::sync::MutexGuard;
pub(super) use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What was loaded.
pub(super) struct Guard<T>(T);

impl<T> Guard<T> {
    pub(super) fn into_inner(guard: Self) -> T {
        guard.0
    }
}

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// An `ArcSwapOption` that keeps whatever was in it, and loads what the memory order of its promise allows.
pub(super) struct Slot<T> {
    /// The number of what is in it, counted from 1; 0 for nothing.
    current: loom::sync::atomic::AtomicUsize,
    /// Not seen by the checker: its own turns are over before another thread's begin.
    kept: Mutex<Vec<Arc<T>>>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { current: Default::default(), kept: Mutex::default() }
    }
}

impl<T> Slot<T> {
    pub(super) fn load(&self) -> Guard<Option<Arc<T>>> {
        Guard(self.kept(self.current.load(Ordering::Acquire)))
    }

    pub(super) fn swap(&self, entry: Option<Arc<T>>) -> Option<Arc<T>> {
        let fresh = entry.map_or(0, |entry| {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(entry);
            kept.len()
        });
        self.kept(self.current.swap(fresh, Ordering::AcqRel))
    }

    fn kept(&self, number: usize) -> Option<Arc<T>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        number.checked_sub(1).map(|at| Arc::clone(&kept[at]))
    }
}

/// A lock that does not ask whether a holder failed: the checker has stopped then.
#[derive(Default)]
pub(super) struct WriterLock(loom::sync::Mutex<usize>);

impl WriterLock {
    pub(super) fn lock(&self) -> MutexGuard<'_, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
