//! The process: what it is told, what it tells, and what it inherits.

pub mod descriptors;
pub mod handover;
pub mod inherited;
pub mod notify;
pub mod signal;
