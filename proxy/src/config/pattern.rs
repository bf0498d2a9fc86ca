//! What a route matches: a host, a path and methods, each a type whose values prove that they were checked.
//!
//! - a host is one exact name or address, and matches on every port: [`HostPattern`]
//! - a path is literals, `{parameters}` and at most one `{greedy+}` at the end: [`PathPattern`]
//! - methods are named one by one, or not at all for any: [`MethodSet`]
//! - what was matched can be sent on under another path: [`Rewrite`]
//!
//! This module says what one route matches, not which of several wins: that is the route table's part.

mod host;
mod methods;
mod path;
mod rewrite;
mod segment;

use std::fmt;

pub(crate) use segment::{RawSegments, raw_segments};

pub use host::{HostPattern, InvalidHost};
pub use methods::{InvalidMethods, MethodSet};
pub use path::{InvalidPathPattern, PathPattern, PathPatternFault};
pub use rewrite::{InvalidRewrite, Rewrite, RewriteFault};
pub use segment::{Segment, SegmentFault};

/// Which requests a route is for. Shown as `GET,POST api.example.com /items/{id}`; for any method and host, as `* /items`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    /// The host that the request is for; `None` for any.
    pub host: Option<HostPattern>,
    /// The shape of the path.
    pub path: PathPattern,
    /// The methods.
    pub methods: MethodSet,
}

impl RouteMatch {
    /// Whether some request matches both and neither is the more specific: the same host, the same path but for the
    /// names of parameters, and a method that both name or both leave open.
    ///
    /// A route that names a method and one for any method do not conflict: the one that names it wins.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.host == other.host
            && self.path.is_same_shape(&other.path)
            && self.methods.is_any() == other.methods.is_any()
            && self.methods.overlaps(&other.methods)
    }
}

impl fmt::Display for RouteMatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, path, methods } = self;
        match host {
            Some(host) => write!(out, "{methods} {host} {path}"),
            None => write!(out, "{methods} {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(methods: &[&str], host: Option<&str>, path: &str) -> RouteMatch {
        RouteMatch {
            host: host.map(|host| host.parse().unwrap()),
            path: path.parse().unwrap(),
            methods: if methods.is_empty() { MethodSet::any() } else { MethodSet::parse(methods).unwrap() },
        }
    }

    #[test]
    fn routes_conflict_when_neither_is_more_specific() {
        let one = route(&["GET", "POST"], Some("a.example"), "/items/{id}");
        for (other, conflicts) in [
            (route(&["GET", "POST"], Some("a.example"), "/items/{id}"), true),
            (route(&["POST", "PUT"], Some("A.example"), "/items/{name}"), true),
            (route(&["DELETE"], Some("a.example"), "/items/{id}"), false),
            (route(&[], Some("a.example"), "/items/{id}"), false),
            (route(&["GET"], Some("b.example"), "/items/{id}"), false),
            (route(&["GET"], None, "/items/{id}"), false),
            (route(&["GET"], Some("a.example"), "/items/{id+}"), false),
            (route(&["GET"], Some("a.example"), "/items/id"), false),
        ] {
            assert_eq!(one.conflicts_with(&other), conflicts, "{other}");
            assert_eq!(other.conflicts_with(&one), conflicts, "{other}");
        }
        assert!(route(&[], None, "/").conflicts_with(&route(&[], None, "/")), "both for any method");
    }

    #[test]
    fn a_route_is_shown_as_methods_host_path() {
        for (route, shown) in [
            (
                route(&["POST", "GET"], Some("API.example.com"), "/items/{proxy+}"),
                "GET,POST api.example.com /items/{proxy+}",
            ),
            (route(&[], None, "/"), "* /"),
        ] {
            assert_eq!(route.to_string(), shown);
        }
    }
}
