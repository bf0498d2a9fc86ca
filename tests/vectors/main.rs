//! One table of tokens and requests, and what becomes of each: the verifier's rules, by example.
//!
//! The table is in `rows`, a file for each family of rules and a function for each rule. A row is a name, a token to the
//! byte and its verdict: a reason of the closed set, with its status. Every token has one thing about it, so that its name
//! says why the verdict is what it is; where it has several, the row says which of the rules comes first. Header, payload
//! and signature are made at run time, with throw-away keys, from the text that stands in the row.
//!
//! Each vector goes three ways, and all must give the verdict of the table:
//!
//! - `library`: `Authorizer::authorize`, with and without its cache, at a moment that stands still
//! - `explain`: `cognigate explain`, a process for each vector, by its exit status and its lines `reason` and `status`
//! - `live`: `cognigate run`, over a socket, by status, challenge and metrics, and by what reaches the upstream
//!
//! The library and the proxy are asked twice: a token that is remembered is judged like a new one. What a way has no words
//! for is not asked of it (see [`table::Vector`]): a path of the library, two headers of `explain`, the last second of a
//! token's life of a clock that runs. The ways share one configuration, [`world`], so that a route means the same in each.
//!
//! The table says what is right, not what is done: a verdict changes because a rule did, never to make a test pass.

#[cfg(test)]
mod explain;
#[cfg(test)]
mod library;
#[cfg(test)]
mod live;
#[cfg(test)]
mod mint;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod table;
#[cfg(test)]
mod verdict;
#[cfg(test)]
mod world;
