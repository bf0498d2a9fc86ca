//! Where requests go: pools of endpoints, and how one of them is chosen and spoken to.

pub mod attempt;
pub mod balance;
mod discovery;
pub mod endpoint;
pub mod figures;
mod health;
pub mod idle;
pub(crate) mod keeper;
mod outlier;
pub mod pool;
mod probe;
mod resolver;
mod retry;
mod schedule;
pub mod trust;
