//! The rules of the route table once more, without a tree: all routes that match, the most specific of them, its methods.

use std::net::Ipv6Addr;

use cognigate::config::pattern::{PathPattern, RouteMatch, Segment};
use http::Method;

/// How specific a segment of a pattern is; a pattern is as its segments are, from the left.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Greedy,
    Parameter,
    Literal,
}

/// The place of the route that a request takes.
pub(super) fn find(routes: &[RouteMatch], host: &str, path: &str, method: &Method) -> Option<usize> {
    let decoded: Vec<_> = segments(path).iter().map(|segment| decoded(segment.as_bytes())).collect();
    let names: Vec<_> = decoded.iter().map(|segment| cut(segment).to_vec()).collect();
    let found = find_read(routes, host, &decoded, method)?;
    (find_read(routes, host, &names, method) == Some(found)).then_some(found)
}

fn find_read(routes: &[RouteMatch], host: &str, path: &[Vec<u8>], method: &Method) -> Option<usize> {
    let ranked = routes.iter().enumerate().filter_map(|(place, route)| Some((rank(route, host, path)?, place, route)));
    let matching: Vec<_> = ranked.collect();
    let best = matching.iter().map(|(rank, ..)| rank).max()?;
    let resource = matching.iter().filter(|(rank, ..)| rank == best);
    let willing = resource.filter(|(.., route)| route.methods.contains(method));
    willing.min_by_key(|(_, place, route)| (route.methods.is_any(), *place)).map(|(_, place, _)| *place)
}

/// How specific a route is for a request that it matches.
fn rank(route: &RouteMatch, host: &str, path: &[Vec<u8>]) -> Option<(bool, Vec<Rank>)> {
    if route.host.as_ref().is_some_and(|named| !is_host(host, named.as_ref())) {
        return None;
    }
    let pattern = route.path.segments();
    let is_greedy = matches!(pattern.last(), Some(Segment::Greedy(_)));
    if !(path.len() == pattern.len() || is_greedy && path.len() > pattern.len()) {
        return None;
    }
    let ranks = pattern.iter().zip(path).map(|(wanted, found)| match wanted {
        Segment::Greedy(_) => Some(Rank::Greedy),
        Segment::Literal(text) => (text.as_bytes() == found).then_some(Rank::Literal),
        Segment::Parameter(_) => Some(Rank::Parameter),
    });
    Some((route.host.is_some(), ranks.collect::<Option<_>>()?))
}

/// Whether a request that names its host like this means this one.
fn is_host(authority: &str, host: &str) -> bool {
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (authority, ""),
    };
    let address = |text: &str| text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let is_same = match address(host) {
        Some(wanted) => address(name) == Some(wanted),
        None => name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case(host),
    };
    is_same && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// The segments that a path was rewritten to, by hand.
pub(super) fn rewritten(path: &str, pattern: &PathPattern, rewrite: &str) -> Vec<String> {
    let came = segments(path);
    let mut result = Vec::new();
    for segment in segments(rewrite) {
        let name = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
        let place = name.and_then(|name| pattern.segments().iter().position(|segment| segment.name() == Some(name)));
        match place.and_then(|place| Some((came.get(place..)?, pattern.segments().get(place)?))) {
            Some((rest, Segment::Greedy(_))) => result.extend_from_slice(rest),
            Some((rest, Segment::Literal(_) | Segment::Parameter(_))) => result.extend(rest.first().cloned()),
            None => result.push(segment),
        }
    }
    result
}

/// What is between the slashes of a path that passed, as it stands there.
pub(super) fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

/// Every `%` and two digits as the byte that they stand for.
pub(super) fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        match (first, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// A segment without what follows its first `;`.
pub(super) fn without_parameters(segment: &str) -> &str {
    segment.split(';').next().unwrap_or_default()
}

fn cut(segment: &[u8]) -> &[u8] {
    segment.split(|byte| *byte == b';').next().unwrap_or_default()
}
