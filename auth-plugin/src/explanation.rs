//! Lets someone watch the rules as they are applied to a token.
//!
//! There is one way through the rules: a request goes it with a `Silent` witness, which compiles to nothing, and an
//! explanation with one that writes down what it sees. So an explanation cannot differ from the verdict that it explains.

use crate::{
    clock::UnixSeconds,
    identity::Identity,
    keys::store::KeyStore,
    policy::{TokenUse, TokenUseRule},
    pool::{ClientRule, UserPool},
    rejection::Rejection,
    revocation::RevocationList,
    token::RawToken,
};

/// A rule that was applied to a token, and what it was applied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name: a claim, a header parameter or what else was looked at.
    pub rule: &'static str,
    /// The values that were compared. Never the token, never its signature.
    pub values: String,
    /// The rule that was not met; nothing if it was.
    pub rejection: Option<Rejection>,
}

/// Watches rules being applied.
pub(crate) trait Witness {
    /// Passes an outcome on, having seen it. `values` is asked only if someone wants to know.
    fn see<T>(
        &mut self,
        rule: &'static str,
        outcome: Result<T, Rejection>,
        values: impl FnOnce() -> String,
    ) -> Result<T, Rejection>;
}

/// Watches nothing.
pub(crate) struct Silent;

impl Witness for Silent {
    fn see<T>(
        &mut self,
        _rule: &'static str,
        outcome: Result<T, Rejection>,
        _values: impl FnOnce() -> String,
    ) -> Result<T, Rejection> {
        outcome
    }
}

/// Writes everything down.
#[derive(Default)]
pub(crate) struct Protocol(pub(crate) Vec<Finding>);

impl Witness for Protocol {
    fn see<T>(
        &mut self,
        rule: &'static str,
        outcome: Result<T, Rejection>,
        values: impl FnOnce() -> String,
    ) -> Result<T, Rejection> {
        self.0.push(Finding { rule, values: values(), rejection: outcome.as_ref().err().copied() });
        outcome
    }
}

/// How long a token is.
pub(crate) fn shape(token: RawToken<'_>) -> String {
    format!("{} bytes", token.as_bytes().len())
}

/// Whose token it is, and whose are taken.
pub(crate) fn issuer<'i>(found: &str, accepted: impl Iterator<Item = &'i str>) -> String {
    let mut accepted: Vec<_> = accepted.collect();
    accepted.sort_unstable();
    format!("{found:?}; the route accepts {accepted:?}")
}

/// How old the issuer's keys are.
pub(crate) fn keys(store: &KeyStore, now: UnixSeconds) -> String {
    match store.current().set() {
        Some(set) => {
            let (keys, age) = (set.kids().len(), now.saturating_sub(set.fetched_at()));
            format!("{keys} keys, {age} s old; at most {} s", store.max_stale_seconds())
        }
        None => "none were ever fetched".to_owned(),
    }
}

/// The kind of token, and the kinds that are taken.
pub(crate) fn token_use(found: TokenUse, wanted: TokenUseRule) -> String {
    format!("{found:?} token; the route takes {wanted:?}").to_lowercase()
}

/// The app client, and those of the pool that may call.
pub(crate) fn client(found: &str, pool: &UserPool) -> String {
    match &pool.clients {
        ClientRule::Any => format!("{found:?}; pool {} takes any client", pool.name),
        ClientRule::Listed(ids) => format!("{found:?}; pool {} takes {ids:?}", pool.name),
    }
}

/// What of the caller is revoked, if anything. Which entry it is that says so is for the list to tell.
pub(crate) fn revocation(list: &RevocationList, identity: &Identity) -> String {
    match list.revoking(identity) {
        Some(kind) => format!("the token's {kind} is among {} revocations", list.len()),
        None if list.is_ready() => format!("none of {} revocations names the token", list.len()),
        None => "it is not known yet what is revoked".to_owned(),
    }
}

/// What the caller was granted, and what is asked for.
pub(crate) fn one_of<'g>(granted: impl Iterator<Item = &'g str>, wanted: &[Box<str>]) -> String {
    format!("{:?}; the route asks for one of {wanted:?}", granted.collect::<Vec<_>>())
}

/// What is wrong with the claims. serde's words may repeat a value of the token, so they are shown as text and not printed.
pub(crate) fn claims(fault: Option<&serde_json::Error>) -> String {
    match fault {
        None => "each once, iss, sub, token_use and exp there, all of their types".to_owned(),
        Some(fault) => format!("{:?}", fault.to_string()),
    }
}
