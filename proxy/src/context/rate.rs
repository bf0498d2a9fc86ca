//! Hot path: no lock, no I/O, no info log.
//!
//! What a request takes from the limit of its route, and what its caller is told of it.

use super::RequestContext;
use crate::{
    filter::rate::RateFields,
    rate::{Allowance, Exhausted},
    response::Refusal,
};

impl RequestContext {
    /// Takes the request from what its source has, on a route that counts those.
    ///
    /// # Errors
    ///
    /// [`Refusal::RateLimited`].
    pub fn take_of_source(&mut self) -> Result<(), Refusal> {
        let limit = self.route().and_then(|route| route.rate_limit.as_ref());
        let taken = limit.map(|limit| limit.take_of_source(&self.runtime.rate_limiter, self.client));
        self.keep_allowance(taken.unwrap_or(Ok(None)))
    }

    /// Takes the request from what its caller has, on a route that counts those, once it is known who calls.
    ///
    /// # Errors
    ///
    /// [`Refusal::RateLimited`].
    pub fn take_of_caller(&mut self) -> Result<(), Refusal> {
        let limit = self.route().and_then(|route| route.rate_limit.as_ref()).zip(self.token.as_ref());
        let taken = limit.map(|(limit, token)| limit.take_of_caller(&self.runtime.rate_limiter, token.identity()));
        self.keep_allowance(taken.unwrap_or(Ok(None)))
    }

    fn keep_allowance(&mut self, taken: Result<Option<Allowance>, Exhausted>) -> Result<(), Refusal> {
        match taken {
            Ok(None) => Ok(()),
            Ok(allowance) => {
                self.allowance = allowance;
                Ok(())
            }
            Err(exhausted) => {
                self.allowance = Some(exhausted.into());
                Err(exhausted.into())
            }
        }
    }

    /// What the response says about the limit of the route, if it has one.
    #[must_use]
    pub fn rate_fields(&self) -> Option<RateFields<'_>> {
        let limit = self.route()?.rate_limit.as_ref()?;
        Some(limit.fields(self.allowance))
    }
}
