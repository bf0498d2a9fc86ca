//! One test for each MUST of the token RFCs that the token library answers for, named by section.
//!
//! All of it goes through the library's public face. Where the library is stricter than an RFC, the test says so: Cognito
//! signs in one way only, and what it never does is not worth accepting.

#[cfg(test)]
mod differential;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod rfc6750;
#[cfg(test)]
mod rfc7515;
#[cfg(test)]
mod rfc7517;
#[cfg(test)]
mod rfc7518;
#[cfg(test)]
mod rfc7519;
