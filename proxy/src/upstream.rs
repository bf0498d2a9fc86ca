//! Where requests go: pools of endpoints, and how one of them is chosen and spoken to.

pub mod pool;
mod schedule;
pub mod trust;
