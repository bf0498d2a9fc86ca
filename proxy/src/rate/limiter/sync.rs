//! Hot path: no lock, no I/O, no info log.
//!
//! What the places are made of. The tests put a model checker's in its place.

pub(super) use std::{
    hint::spin_loop,
    sync::atomic::{AtomicU64, Ordering, fence},
};
