//! `user_pools`: whose tokens are accepted.

use std::{
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
    path::PathBuf,
};

use cognigate_auth::pool::{ClientRule, Issuer, IssuerEndpoint, JwksPolicy, JwksUri, PoolId, Region, UserPool};

use super::{NamedFiles, check_name, words};
use crate::config::{
    file::{JwksSection, Named, Period, Scalar, UserPoolSection},
    finding::At,
    rule::BrokenRule,
};

/// `clock_skew`. More would keep dead tokens alive for longer than the shortest that Cognito issues live (5 minutes).
const CLOCK_SKEW: RangeInclusive<Period> = Period::seconds(0)..=Period::seconds(5 * 60);

/// Each time in `jwks`.
const JWKS_TIME: RangeInclusive<Period> = Period::seconds(1)..=Period::LONGEST;

/// The pools in the order of the file.
#[derive(Default)]
pub(super) struct UserPools {
    pub(super) list: Vec<UserPool>,
    /// `jwks.state_file`, by the name of the pool.
    pub(super) state_files: BTreeMap<Box<str>, PathBuf>,
}

pub(super) fn user_pools(Named(sections): Named<UserPoolSection>, files: &mut NamedFiles, at: &At<'_>) -> UserPools {
    let (mut issuers, mut pools) = (Issuers::default(), UserPools::default());
    for (name, mut section) in sections {
        let at = at.field(&name);
        let file_at = at.field("jwks");
        let file_at = file_at.field("state_file");
        if let Some(Some(file)) = files.write_where_given(section.jwks.state_file.take(), &file_at) {
            pools.state_files.insert(name.as_str().into(), file);
        }
        pools.list.extend(user_pool(&name, section, &mut issuers, &at));
    }
    pools
}

fn user_pool(name: &str, section: UserPoolSection, issuers: &mut Issuers, at: &At<'_>) -> Option<UserPool> {
    let UserPoolSection {
        id,
        client_ids,
        any_client: Scalar(any_client),
        additional_regions,
        issuer: written_issuer,
        jwks_uri: written_uri,
        clock_skew: Scalar(clock_skew),
        jwks: jwks_section,
    } = section;
    check_name(name, at);
    let regions = regions(additional_regions, &at.field("additional_regions"));
    let own = own_issuers(id, written_issuer, &regions, at);
    let endpoints = own.and_then(|own| endpoints(own, written_uri, at));
    issuers.check(endpoints.iter().flatten().map(|endpoint| &endpoint.issuer), at);
    let clients = clients(client_ids, any_client, at);
    let clock_skew = at.field("clock_skew").within(clock_skew, &CLOCK_SKEW);
    let jwks = jwks(&jwks_section, &at.field("jwks"));
    let mut endpoints = endpoints?.into_iter();
    let IssuerEndpoint { issuer, jwks_uri } = endpoints.next()?;
    Some(UserPool {
        name: name.into(),
        issuer,
        jwks_uri,
        alternatives: endpoints.collect(),
        clients: clients?,
        clock_skew: clock_skew?.0,
        jwks: jwks?,
    })
}

/// The issuers so far, and the keys of their pools.
#[derive(Default)]
struct Issuers(HashMap<Issuer, String>);

impl Issuers {
    /// One error for a pool: where one of its issuers is another pool's, the others mostly are too.
    fn check<'i>(&mut self, issuers: impl Iterator<Item = &'i Issuer>, at: &At<'_>) {
        let taken = |issuer: &'i Issuer| Some((self.0.insert(issuer.clone(), at.to_string())?, issuer));
        let mut taken = issuers.filter_map(taken).collect::<Vec<_>>().into_iter();
        if let Some((other, issuer)) = taken.next() {
            at.report(BrokenRule::SameIssuer { other, issuer: issuer.as_str().to_owned() });
        }
    }
}

fn regions(list: Vec<Scalar<String>>, at: &At<'_>) -> Vec<Region> {
    let words = words(list, at).into_iter().enumerate();
    words.filter_map(|(index, word)| at.item(index).accept(word.parse::<Region>())).collect()
}

/// Who issues the tokens of a pool, its own issuer first. One that is written wins over those that the id names, and is
/// then the only one.
fn own_issuers(
    id: Option<Scalar<String>>,
    issuer: Option<Scalar<String>>,
    regions: &[Region],
    at: &At<'_>,
) -> Option<Vec<Issuer>> {
    let id = id.map(|Scalar(id)| at.field("id").accept(id.parse::<PoolId>()));
    match (id, issuer) {
        (_, Some(_)) if !regions.is_empty() => at.field("additional_regions").refuse(BrokenRule::RegionsOfIssuer),
        (_, Some(Scalar(issuer))) => Some(vec![at.field("issuer").accept(issuer.parse::<Issuer>())?]),
        (Some(id), None) => {
            let id = id?;
            let replicas = regions.iter().map(|region| id.replica_issuer(region));
            Some([id.issuer(), id.updated_issuer()].into_iter().chain(replicas).collect())
        }
        (None, None) => at.refuse(BrokenRule::PoolIdMissing),
    }
}

/// Where the issuers' keys are: an address that is written wins over those that the issuers name, and has all of them.
fn endpoints(issuers: Vec<Issuer>, uri: Option<Scalar<String>>, at: &At<'_>) -> Option<Vec<IssuerEndpoint>> {
    let written = match uri {
        Some(Scalar(uri)) => Some(at.field("jwks_uri").accept(uri.parse::<JwksUri>())?),
        None => None,
    };
    let endpoint = |issuer: Issuer| {
        let jwks_uri = match &written {
            Some(uri) => uri.clone(),
            None => at.field("issuer").accept(issuer.jwks_uri())?,
        };
        Some(IssuerEndpoint { issuer, jwks_uri })
    };
    issuers.into_iter().map(endpoint).collect()
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

fn jwks(section: &JwksSection, at: &At<'_>) -> Option<JwksPolicy> {
    let JwksSection { refresh: Scalar(refresh), max_stale: Scalar(max_stale), timeout: Scalar(timeout), state_file: _ } =
        *section;
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
