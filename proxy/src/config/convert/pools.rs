//! `user_pools`: whose tokens are accepted.

use std::{collections::HashMap, ops::RangeInclusive};

use cognigate_auth::pool::{ClientRule, Issuer, JwksPolicy, JwksUri, PoolId, UserPool};

use super::{check_name, words};
use crate::config::{
    file::{JwksSection, Named, Period, Scalar, UserPoolSection},
    finding::At,
    rule::BrokenRule,
};

/// `clock_skew`. More would keep dead tokens alive for longer than the shortest that Cognito issues live (5 minutes).
const CLOCK_SKEW: RangeInclusive<Period> = Period::seconds(0)..=Period::seconds(5 * 60);

/// Each time in `jwks`.
const JWKS_TIME: RangeInclusive<Period> = Period::seconds(1)..=Period::LONGEST;

pub(super) fn user_pools(Named(sections): Named<UserPoolSection>, at: &At<'_>) -> Vec<UserPool> {
    let mut issuers = Issuers::default();
    let pool = |(name, section): (String, UserPoolSection)| user_pool(&name, section, &mut issuers, &at.field(&name));
    sections.into_iter().filter_map(pool).collect()
}

fn user_pool(name: &str, section: UserPoolSection, issuers: &mut Issuers, at: &At<'_>) -> Option<UserPool> {
    let UserPoolSection {
        id,
        client_ids,
        any_client: Scalar(any_client),
        issuer: written_issuer,
        jwks_uri: written_uri,
        clock_skew: Scalar(clock_skew),
        jwks: jwks_section,
    } = section;
    check_name(name, at);
    let issuer = issuer(id, written_issuer, at).inspect(|issuer| issuers.check(issuer, at));
    let jwks_uri = jwks_uri(written_uri, issuer.as_ref(), at);
    let clients = clients(client_ids, any_client, at);
    let clock_skew = at.field("clock_skew").within(clock_skew, &CLOCK_SKEW);
    let jwks = jwks(jwks_section, &at.field("jwks"));
    Some(UserPool {
        name: name.into(),
        issuer: issuer?,
        jwks_uri: jwks_uri?,
        clients: clients?,
        clock_skew: clock_skew?.0,
        jwks: jwks?,
    })
}

/// The issuers so far, and the keys of their pools.
#[derive(Default)]
struct Issuers(HashMap<Issuer, String>);

impl Issuers {
    fn check(&mut self, issuer: &Issuer, at: &At<'_>) {
        if let Some(other) = self.0.insert(issuer.clone(), at.to_string()) {
            at.report(BrokenRule::SameIssuer { other, issuer: issuer.as_str().to_owned() });
        }
    }
}

/// An issuer that is written wins over the one that the id names.
fn issuer(id: Option<Scalar<String>>, issuer: Option<Scalar<String>>, at: &At<'_>) -> Option<Issuer> {
    let id = id.map(|Scalar(id)| at.field("id").accept(id.parse::<PoolId>()));
    match (id, issuer) {
        (_, Some(Scalar(issuer))) => at.field("issuer").accept(issuer.parse::<Issuer>()),
        (Some(id), None) => id.map(|id| id.issuer()),
        (None, None) => at.refuse(BrokenRule::PoolIdMissing),
    }
}

/// An address that is written wins over the one that the issuer names.
fn jwks_uri(uri: Option<Scalar<String>>, issuer: Option<&Issuer>, at: &At<'_>) -> Option<JwksUri> {
    match uri {
        Some(Scalar(uri)) => at.field("jwks_uri").accept(uri.parse::<JwksUri>()),
        None => at.field("issuer").accept(issuer?.jwks_uri()),
    }
}

fn clients(client_ids: Option<Vec<Scalar<String>>>, any_client: bool, at: &At<'_>) -> Option<ClientRule> {
    match (client_ids, any_client) {
        (Some(ids), false) if ids.is_empty() => at.field("client_ids").refuse(BrokenRule::Empty),
        (Some(ids), false) => Some(ClientRule::Listed(words(ids, &at.field("client_ids")))),
        (None, true) => Some(ClientRule::Any),
        (Some(_), true) => at.refuse(BrokenRule::ClientsContradict),
        (None, false) => at.refuse(BrokenRule::ClientsMissing),
    }
}

fn jwks(section: JwksSection, at: &At<'_>) -> Option<JwksPolicy> {
    let JwksSection { refresh: Scalar(refresh), max_stale: Scalar(max_stale), timeout: Scalar(timeout) } = section;
    let refresh = at.field("refresh").within(refresh, &JWKS_TIME);
    let max_stale = at.field("max_stale").within(max_stale, &JWKS_TIME);
    let timeout = at.field("timeout").within(timeout, &JWKS_TIME);
    let (refresh, max_stale, timeout) = (refresh?, max_stale?, timeout?);
    if max_stale < refresh {
        at.field("max_stale")
            .report(BrokenRule::KeysOutlived { max_stale: max_stale.to_string(), refresh: refresh.to_string() });
    }
    Some(JwksPolicy { refresh: refresh.0, max_stale: max_stale.0, timeout: timeout.0 })
}
