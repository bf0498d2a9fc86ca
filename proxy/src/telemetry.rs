//! What an operator sees: metrics, logs and traces.

pub mod access_log;
pub mod log;
pub mod metrics;
pub mod sampler;
pub mod trace;
