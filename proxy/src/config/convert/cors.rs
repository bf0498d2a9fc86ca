//! `cors`: the pages that may read responses.

use std::{collections::HashSet, ops::RangeInclusive, time::Duration};

use http::HeaderName;

use crate::config::{
    file::{CorsSection, Period, Scalar},
    finding::At,
    model::{AllowedOrigins, CorsConfig},
    origin::Origin,
    pattern::MethodSet,
    rule::BrokenRule,
};

/// `cors.max_age`. No browser keeps an answer longer than a day.
const MAX_AGE: RangeInclusive<Period> = Period::seconds(0)..=Period::hours(24);

/// What stands for every origin, and for nothing else.
const WILDCARD: &str = "*";

pub(super) fn cors(section: CorsSection, at: &At<'_>) -> Option<CorsConfig> {
    let CorsSection {
        allow_origins: origin_section,
        allow_methods: method_section,
        allow_headers: allowed,
        expose_headers: exposed,
        allow_credentials: Scalar(allow_credentials),
        max_age: Scalar(found_age),
    } = section;
    let allow_origins = origins(&origin_section, allow_credentials, &at.field("allow_origins"));
    let allow_methods = methods(method_section, &at.field("allow_methods"));
    let allow_headers = header_names(&allowed, &at.field("allow_headers"));
    let expose_headers = header_names(&exposed, &at.field("expose_headers"));
    let max_age = max_age(found_age, &at.field("max_age"));
    Some(CorsConfig {
        allow_origins,
        allow_methods: allow_methods?,
        allow_headers,
        expose_headers,
        allow_credentials,
        max_age: max_age?,
    })
}

fn origins(list: &[Scalar<String>], allow_credentials: bool, at: &At<'_>) -> AllowedOrigins {
    if list.is_empty() {
        at.report(BrokenRule::Empty);
    }
    if list.iter().any(|Scalar(text)| text == WILDCARD) {
        if list.len() > 1 {
            at.report(BrokenRule::OriginsBesideWildcard);
        }
        if allow_credentials {
            at.report(BrokenRule::OriginWildcardWithCredentials);
        }
        return AllowedOrigins::Any;
    }
    let mut seen = HashSet::new();
    let origin = |(index, Scalar(text)): (usize, &Scalar<String>)| {
        let at = at.item(index);
        let origin: Origin = at.accept(text.parse())?;
        if !seen.insert(origin.clone()) {
            at.report(BrokenRule::Duplicate(format!("{text:?}")));
        }
        Some(origin)
    };
    AllowedOrigins::Listed(list.iter().enumerate().filter_map(origin).collect())
}

fn methods(list: Option<Vec<Scalar<String>>>, at: &At<'_>) -> Option<MethodSet> {
    let Some(list) = list else { return Some(MethodSet::named()) };
    let names: Vec<_> = list.into_iter().map(|Scalar(name)| name).collect();
    at.accept(MethodSet::parse(&names))
}

fn header_names(list: &[Scalar<String>], at: &At<'_>) -> Vec<HeaderName> {
    let mut seen = HashSet::new();
    let name = |(index, Scalar(text)): (usize, &Scalar<String>)| {
        let at = at.item(index);
        if text == WILDCARD {
            return at.refuse(BrokenRule::HeaderWildcard);
        }
        let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
            return at.refuse(BrokenRule::HeaderName(text.clone()));
        };
        if !seen.insert(name.clone()) {
            at.report(BrokenRule::Duplicate(format!("{text:?}")));
        }
        Some(name)
    };
    list.iter().enumerate().filter_map(name).collect()
}

fn max_age(found: Period, at: &At<'_>) -> Option<Duration> {
    let Period(max_age) = at.within(found, &MAX_AGE)?;
    match max_age.subsec_nanos() {
        0 => Some(max_age),
        _ => at.refuse(BrokenRule::WholeSeconds(found.to_string())),
    }
}
