//! The rows of the table, a file for each family of rules, in the order in which the rules are applied to a request.

use crate::table::Vector;

mod caller;
mod credential;
mod encoding;
mod grant;
mod header;
mod issuer;
mod json;
mod key;
mod lifetime;
mod order;
mod request;
mod revocation;
mod shape;
mod signature;

/// All of them.
pub(crate) fn all() -> Vec<Vector> {
    [
        request::vectors(),
        credential::vectors(),
        shape::vectors(),
        encoding::vectors(),
        header::vectors(),
        json::vectors(),
        issuer::vectors(),
        key::vectors(),
        lifetime::vectors(),
        caller::vectors(),
        signature::vectors(),
        revocation::vectors(),
        grant::vectors(),
        order::vectors(),
    ]
    .concat()
}
