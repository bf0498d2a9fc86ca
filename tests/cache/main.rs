//! The token cache against a model that has none: whatever happens, a token gets the verdict that it would get if it were
//! verified anew at that moment, and many verdicts come from the cache.
//!
//! Clocks move, keys rotate (away, under the same name with other material, and back), pools and clients leave the
//! configuration and return, tokens, sessions and users are revoked and let in again. The model is a plain map of each of
//! these, and the rules in the order that the authorizer promises.
//!
//! - `sequence`: one thing after the other, so that each verdict has one right answer
//! - `threads`: all of it at once; a verdict must be right for some moment of the call
//!
//! `COGNIGATE_TEST_SEED` runs other orders of events than those that are run always.

#![expect(clippy::print_stdout, reason = "how much was met is worth more than that it was enough")]

#[cfg(test)]
mod change;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod model;
#[cfg(test)]
mod sequence;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod world;
