//! Hot path: no lock, no I/O, no info log.
//!
//! How often something may happen: [`Quota`] says it, [`RateLimiter`] keeps the account of everyone at once.
//!
//! The algorithm is GCRA (ITU-T I.371), which is a token bucket that keeps one number: the moment at which the bucket would be
//! full again. Whatever the rate, an account is 16 bytes, and one that has nothing to answer for any more equals none.
//!
//! `governor` has the algorithm too, but its stores of many keys are maps without a bound: a flood of keys would be a flood
//! of memory, and to clear them out is a sweep. Here memory has an end, and a full place gives up who owes least
//! of the limit that has the most.

mod limiter;
mod quota;

pub use self::{
    limiter::{Account, RateLimiter, Whose},
    quota::{Allowance, Exhausted, Quota},
};
