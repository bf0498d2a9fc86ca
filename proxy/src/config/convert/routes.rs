//! `routes`: what is served, to whom, from where.

use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    time::Duration,
};

use cognigate_auth::policy::{Policy, TokenUseRule};

use super::{Names, rate, words};
use crate::config::{
    file::{AuthSection, MatchSection, Period, RequiredSection, RouteSection, Scalar},
    finding::At,
    model::{RateLimitConfig, RouteConfig},
    pattern::{HostPattern, MethodSet, PathPattern, Rewrite, RouteMatch, Segment},
    rule::BrokenRule,
};

/// The longest name of a route, in characters. It is a label of metrics.
const MAX_LABEL_CHARS: usize = 128;

/// `timeout`: 0 would be no time at all, and more than a day no bound.
const TIMEOUT: RangeInclusive<Period> = Period::milliseconds(1)..=Period::hours(24);

/// The label of the requests that no route matches.
const NO_ROUTE: &str = "none";

/// A route whose requests are known, whatever may be wrong with the rest of it.
struct Placed {
    /// Its place in the file.
    index: usize,
    label: Box<str>,
    matches: RouteMatch,
    auth: Option<Auth>,
    upstream: Option<usize>,
    rewrite: Option<Rewrite>,
    timeout: Option<Duration>,
    rate_limit: Option<RateLimitConfig>,
}

/// What a route asks of a caller; nothing if it is open.
type Auth = Option<Policy>;

pub(super) fn routes(sections: Vec<RouteSection>, pools: &Names, upstreams: &Names, at: &At<'_>) -> Vec<RouteConfig> {
    if sections.is_empty() {
        at.report(BrokenRule::Empty);
    }
    let placed = |(index, section)| placed(index, section, pools, upstreams, &at.item(index));
    let routes: Vec<_> = sections.into_iter().enumerate().filter_map(placed).collect();
    check_conflicts(&routes, at);
    check_labels(&routes, at);
    routes.into_iter().filter_map(route).collect()
}

fn route(placed: Placed) -> Option<RouteConfig> {
    let Placed { index: _, label, matches, auth, upstream, rewrite, timeout, rate_limit } = placed;
    Some(RouteConfig { label, matches, auth: auth?, upstream: upstream?, rewrite, timeout, rate_limit })
}

fn placed(index: usize, section: RouteSection, pools: &Names, upstreams: &Names, at: &At<'_>) -> Option<Placed> {
    let RouteSection {
        name,
        matches: match_section,
        auth: auth_section,
        upstream: Scalar(upstream),
        rewrite: rewrite_section,
        timeout,
        rate_limit,
    } = section;
    let name = name.map(|Scalar(name)| checked_label(name, &at.field("name")));
    let matches = matches(match_section, &at.field("match"));
    let auth = auth(auth_section, pools, &at.field("auth"));
    let upstream = upstreams.place_of(&upstream, &at.field("upstream"));
    let timeout = timeout.and_then(|Scalar(timeout)| at.field("timeout").within(timeout, &TIMEOUT));
    let timeout = timeout.map(|Period(timeout)| timeout);
    let is_open = matches!(auth, Some(None));
    let rate_limit = rate_limit.and_then(|section| rate::rate_limit(section, is_open, &at.field("rate_limit")));
    let matches = matches?;
    let rewrite = rewrite(rewrite_section, &matches.path, &at.field("rewrite"));
    let label = name.unwrap_or_else(|| default_label(&matches)).into();
    Some(Placed { index, label, matches, auth, upstream, rewrite, timeout, rate_limit })
}

fn matches(section: MatchSection, at: &At<'_>) -> Option<RouteMatch> {
    let MatchSection { host, path: Scalar(path), methods } = section;
    let host = host.map(|Scalar(host)| at.field("host").accept(host.parse::<HostPattern>()));
    let path = at.field("path").accept(path.parse::<PathPattern>());
    let methods = methods.map_or(Some(MethodSet::any()), |names| {
        let names: Vec<_> = names.into_iter().map(|Scalar(name)| name).collect();
        at.field("methods").accept(MethodSet::parse(&names))
    });
    let host = match host {
        Some(host) => Some(host?),
        None => None,
    };
    Some(RouteMatch { host, path: path?, methods: methods? })
}

fn auth(section: Option<AuthSection>, pools: &Names, at: &At<'_>) -> Option<Auth> {
    match section {
        Some(AuthSection::Open) => Some(None),
        Some(AuthSection::Required(required)) => Some(Some(policy(required, pools, at))),
        None => at.refuse(BrokenRule::AuthMissing),
    }
}

fn policy(section: RequiredSection, pools: &Names, at: &At<'_>) -> Policy {
    let RequiredSection { user_pools, token, scopes_any, groups_any } = section;
    let user_pools = pool_names(user_pools, pools, &at.field("user_pools"));
    let scopes_any = demanded(scopes_any, &at.field("scopes_any"));
    for (index, scope) in scopes_any.iter().enumerate() {
        if !is_scope(scope) {
            at.field("scopes_any").item(index).report(BrokenRule::Scope(scope.to_string()));
        }
    }
    let groups_any = demanded(groups_any, &at.field("groups_any"));
    let token_use = match token {
        Some(Scalar(rule)) => rule,
        None if scopes_any.is_empty() => TokenUseRule::Id,
        None => TokenUseRule::Access,
    };
    if token_use == TokenUseRule::Id && !scopes_any.is_empty() {
        at.field("scopes_any").report(BrokenRule::ScopesOfIdToken);
    }
    Policy { user_pools, token_use, scopes_any, groups_any }
}

fn pool_names(names: Vec<Scalar<String>>, pools: &Names, at: &At<'_>) -> Box<[Box<str>]> {
    if names.is_empty() {
        at.report(BrokenRule::Empty);
    }
    let mut seen = HashSet::new();
    for (index, Scalar(name)) in names.iter().enumerate() {
        let at = at.item(index);
        if pools.place_of(name, &at).is_some() && !seen.insert(name) {
            at.report(BrokenRule::Duplicate(format!("{name:?}")));
        }
    }
    names.into_iter().map(|Scalar(name)| name.into()).collect()
}

/// What a token must have one of; nothing is demanded where the key is left out.
fn demanded(list: Option<Vec<Scalar<String>>>, at: &At<'_>) -> Box<[Box<str>]> {
    let list = list.inspect(|list| {
        if list.is_empty() {
            at.report(BrokenRule::EmptyDemand);
        }
    });
    words(list.unwrap_or_default(), at)
}

fn rewrite(section: Option<Scalar<String>>, path: &PathPattern, at: &At<'_>) -> Option<Rewrite> {
    section.and_then(|Scalar(text)| at.accept(Rewrite::parse(&text, path)))
}

fn checked_label(name: String, at: &At<'_>) -> String {
    let length = name.chars().count();
    if !(1..=MAX_LABEL_CHARS).contains(&length) || name.contains(char::is_control) || name == NO_ROUTE {
        at.report(BrokenRule::Label(name.clone()));
    }
    name
}

/// `METHODS host path`, without the host where any will do.
fn default_label(RouteMatch { host, path, methods }: &RouteMatch) -> String {
    match host {
        Some(host) => format!("{methods} {host} {path}"),
        None => format!("{methods} {path}"),
    }
}

/// Refuses a second route for the same requests.
fn check_conflicts(routes: &[Placed], at: &At<'_>) {
    let mut alike: HashMap<_, Vec<&Placed>> = HashMap::new();
    for placed in routes {
        let earlier = alike.entry(outline(&placed.matches)).or_default();
        if let Some(other) = earlier.iter().find(|other| is_conflict(other, placed)) {
            at.item(placed.index).field("match").report(BrokenRule::RoutesConflict {
                label: placed.label.clone(),
                other: at.item(other.index).to_string(),
                other_label: other.label.clone(),
            });
        }
        earlier.push(placed);
    }
}

fn is_conflict(one: &Placed, other: &Placed) -> bool {
    one.matches.conflicts_with(&other.matches)
}

/// What routes have in common that may conflict: the host, and the literals of the path with their places. Comparing only
/// those keeps ten thousand routes from being compared pair by pair.
fn outline(matches: &RouteMatch) -> (Option<&HostPattern>, Vec<Option<&str>>) {
    (matches.host.as_ref(), matches.path.segments().iter().map(literal).collect())
}

fn literal(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Literal(text) => Some(text),
        Segment::Greedy(_) | Segment::Parameter(_) => None,
    }
}

/// Refuses a label that an earlier route has; where the two conflict, that is said already.
fn check_labels(routes: &[Placed], at: &At<'_>) {
    let mut labels = HashMap::new();
    for placed in routes {
        let label = &placed.label;
        if let Some(other) = labels.insert(label, placed)
            && !is_conflict(other, placed)
        {
            at.item(placed.index)
                .report(BrokenRule::LabelTaken { label: label.clone(), other: at.item(other.index).to_string() });
        }
    }
}

/// RFC 6749 section 3.3: ASCII but for `"` and `\`. White space and control characters are no word's.
fn is_scope(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\\'))
}
