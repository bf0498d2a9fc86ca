//! Hot path: no lock, no I/O, no info log.
//!
//! The route table: built once from a configuration, then only read.
//!
//! 1. The host: the routes that name it come before those that name none. A path that none of them matches goes on to the
//!    routes without a host.
//! 2. The path: segment for segment from the left, a literal beats `{one}`, which beats `{the rest+}`. Host and path have
//!    now picked one resource, the most specific, and nothing goes back behind that choice.
//! 3. The method: a route that names it beats one for any. A method that the resource does not have is not found: a `POST`
//!    to `/admin/x`, routed for `GET` alone, must not fall through to an open `/{proxy+}`.
//!
//! Literals are compared with decoded segments, so that `/%61dmin` does not slip past `/admin`, and one slash at the end
//! of a path is ignored, so that `/admin/` does not either. There are servers that ignore what follows a `;` in a segment
//! and servers that do not: a path with one is found only if both readings choose the same route.
//!
//! The cost does not grow with the number of routes but with that of segments: a look-up in a hash table for each. Where
//! literals and parameters overlap, a path may be tried along several branches of the tree; no node is visited twice in one
//! reading. Memory is allocated only for segments with a `%` (and see [`host::normalized`]).

use std::collections::HashMap;

use ahash::RandomState;
use http::Method;
use smallvec::SmallVec;

use crate::{
    config::pattern::{MethodSet, RawSegments, RouteMatch, Segment},
    route::{
        host,
        path::{RequestPath, decoded, without_parameters},
    },
};

/// Routes by host, path and method. Answers with the place of a route in the order in which they were given.
#[derive(Debug, Default)]
pub struct RouteTable {
    hosts: HashMap<Box<str>, Node, RandomState>,
    any_host: Node,
}

/// Where a path may lead on from one segment to the next. Small, and with the name that it is found by: of a thousand nodes
/// in turn each is far away.
#[derive(Debug, Default)]
struct Node {
    literals: Option<Box<Literals>>,
    parameter: Option<Box<Node>>,
    rest: Option<Resource>,
    end: Option<Resource>,
}

/// Nodes by segment. Most segments are short enough to lie with their node.
type Literals = HashMap<SmallVec<[u8; 16]>, Node, RandomState>;

/// The routes of one host and path.
#[derive(Debug, Default)]
struct Resource {
    named: Vec<(MethodSet, usize)>,
    any: Option<usize>,
}

/// What a `;` in a segment means.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// It is a letter like any other.
    AsWritten,
    /// It ends the segment's name; what follows are parameters.
    WithoutParameters,
}

impl RouteTable {
    /// Makes the table. Of routes that conflict ([`RouteMatch::conflicts_with`]), which a configuration refuses, the first
    /// wins.
    #[must_use]
    pub fn build<'a>(routes: impl IntoIterator<Item = &'a RouteMatch>) -> Self {
        let mut table = Self::default();
        for (place, route) in routes.into_iter().enumerate() {
            let root = match &route.host {
                Some(host) => table.hosts.entry(host.as_ref().into()).or_default(),
                None => &mut table.any_host,
            };
            root.resource(route.path.segments()).add(route.methods, place);
        }
        table
    }

    /// The place of the route that a request takes, by the rules above.
    ///
    /// `host` is what the request says in `Host` or `:authority`: port, dot at the end and capitals make no difference.
    #[must_use]
    pub fn find(&self, host: &str, path: &RequestPath<'_>, method: &Method) -> Option<usize> {
        let host = if self.hosts.is_empty() { None } else { self.hosts.get(&*host::normalized(host)) };
        let find = |reading| {
            let named_host = host.and_then(|root| root.search(path.segments(), reading));
            let resource = named_host.or_else(|| self.any_host.search(path.segments(), reading))?;
            resource.route(method)
        };
        let found = find(Reading::AsWritten)?;
        let is_clear = !path.has_parameters() || find(Reading::WithoutParameters) == Some(found);
        is_clear.then_some(found)
    }
}

impl Node {
    /// The resource at the end of a pattern, which is made if it is not there.
    fn resource(&mut self, pattern: &[Segment]) -> &mut Resource {
        let Some((segment, pattern)) = pattern.split_first() else {
            return self.end.get_or_insert_default();
        };
        match segment {
            Segment::Greedy(_) => self.rest.get_or_insert_default(),
            Segment::Literal(text) => {
                let literals = self.literals.get_or_insert_default();
                literals.entry(text.as_bytes().into()).or_default().resource(pattern)
            }
            Segment::Parameter(_) => self.parameter.get_or_insert_default().resource(pattern),
        }
    }

    /// The most specific resource for a path. Goes at most as deep as the longest pattern has segments.
    fn search(&self, mut path: RawSegments<'_>, reading: Reading) -> Option<&Resource> {
        let Some(segment) = path.next() else {
            return self.end.as_ref();
        };
        let literal = self.literal(segment, reading).and_then(|node| node.search(path, reading));
        let parameter = || self.parameter.as_ref().and_then(|node| node.search(path, reading));
        literal.or_else(parameter).or(self.rest.as_ref())
    }

    fn literal(&self, segment: &str, reading: Reading) -> Option<&Self> {
        let literals = self.literals.as_ref()?;
        let segment = decoded(segment);
        match reading {
            Reading::AsWritten => literals.get(&*segment),
            Reading::WithoutParameters => literals.get(without_parameters(&segment)),
        }
    }
}

impl Resource {
    fn add(&mut self, methods: MethodSet, place: usize) {
        if methods.is_any() {
            self.any.get_or_insert(place);
        } else {
            self.named.push((methods, place));
        }
    }

    fn route(&self, method: &Method) -> Option<usize> {
        let named = self.named.iter().find(|(methods, _)| methods.contains(method)).map(|(_, place)| *place);
        named.or_else(|| self.any.filter(|_| MethodSet::any().contains(method)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::path::check;

    /// Reads `GET,POST api.example.com /items`, with `*` for any.
    fn route(text: &str) -> RouteMatch {
        let [methods, host, path] = text.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let methods = match methods {
            "*" => MethodSet::any(),
            _ => MethodSet::parse(&methods.split(',').collect::<Vec<_>>()).unwrap(),
        };
        let host = (host != "*").then(|| host.parse().unwrap());
        RouteMatch { host, path: path.parse().unwrap(), methods }
    }

    /// The route that a request written `GET api.example.com /items` takes.
    fn find<'a>(routes: &[&'a str], request: &str) -> Option<&'a str> {
        let [method, host, target] = request.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let matches: Vec<_> = routes.iter().map(|text| route(text)).collect();
        let (path, method) = (check(target.as_bytes()).unwrap(), method.parse().unwrap());
        RouteTable::build(&matches).find(host, &path, &method).map(|place| routes[place])
    }

    /// Checks `requests` against `routes` in both orders.
    fn assert_routes(routes: &[&str], requests: &[(&str, Option<&str>)]) {
        let reversed: Vec<_> = routes.iter().rev().copied().collect();
        for (request, route) in requests {
            assert_eq!(find(routes, request), *route, "{request}");
            assert_eq!(find(&reversed, request), *route, "{request}, with the routes in reverse");
        }
    }

    #[test]
    fn the_most_specific_path_wins_whatever_the_order() {
        let (root, all, items, one, mine, part, rest) = (
            "* * /",
            "* * /{p+}",
            "* * /items",
            "* * /items/{id}",
            "* * /items/mine",
            "* * /items/{id}/part",
            "* * /items/{p+}",
        );
        assert_routes(
            &[root, all, items, one, mine, part, rest],
            &[
                ("GET a /", Some(root)),
                ("GET a /?x", Some(root)),
                ("GET a /x", Some(all)),
                ("GET a /items", Some(items)),
                ("GET a /items/1", Some(one)),
                ("GET a /items/mine", Some(mine)),
                ("GET a /items/1/part", Some(part)),
                ("GET a /items/mine/part", Some(part)),
                ("GET a /items/mine/x", Some(rest)),
                ("GET a /items/1/2/3", Some(rest)),
                ("GET a /Items/1", Some(all)),
            ],
        );
    }

    #[test]
    fn an_earlier_segment_counts_more_than_a_later_one() {
        let (left, right) = ("* * /a/{x}", "* * /{x}/b");
        assert_routes(&[left, right], &[("GET a /a/b", Some(left)), ("GET a /c/b", Some(right)), ("GET a /c/d", None)]);
        let (deep, wide) = ("* * /a/b/c", "* * /{x}/b/{y}");
        assert_routes(&[deep, wide], &[("GET a /a/b/d", Some(wide)), ("GET a /a/b/c", Some(deep))]);
    }

    #[test]
    fn a_greedy_parameter_takes_at_least_one_segment() {
        let all = "* * /files/{rest+}";
        assert_routes(
            &[all],
            &[
                ("GET a /files", None),
                ("GET a /files/", None),
                ("GET a /files/a", Some(all)),
                ("GET a /files/a/", Some(all)),
                ("GET a /files/a/b/c", Some(all)),
            ],
        );
        assert_routes(&["* * /{rest+}"], &[("GET a /", None)]);
    }

    #[test]
    fn a_slash_at_the_end_is_ignored() {
        let (admin, all) = ("GET * /admin", "* * /{p+}");
        assert_routes(
            &[admin, all],
            &[("GET a /admin/", Some(admin)), ("POST a /admin/", None), ("GET a /x/", Some(all))],
        );
    }

    #[test]
    fn encoded_letters_do_not_slip_past_a_literal() {
        let (admin, all) = ("GET * /admin/{x}", "* * /{p+}");
        assert_routes(
            &[admin, all],
            &[
                ("GET a /%61dmin/1", Some(admin)),
                ("GET a /%61%64%6D%69%6e/%31", Some(admin)),
                ("POST a /%61dmin/1", None),
                ("GET a /%41dmin/1", Some(all)),
                ("GET a /%2561dmin/1", Some(all)),
            ],
        );
    }

    #[test]
    fn a_semicolon_does_not_slip_past_a_literal() {
        let (admin, item, all) = ("* * /admin/{p+}", "* * /items/{id}", "* * /{p+}");
        assert_routes(
            &[admin, item, all],
            &[
                ("GET a /admin;x/1", None),
                ("GET a /admin;/1", None),
                ("GET a /admin%3bx/1", None),
                ("GET a /%61dmin%3Bx/1", None),
                ("GET a /admin/1;x", Some(admin)),
                ("GET a /items/1;v=2", Some(item)),
                ("GET a /items;v=2/1", None),
                ("GET a /other;v=2/1", Some(all)),
            ],
        );
        assert_routes(&["* * /open", all], &[("GET a /open;x", None)]);
    }

    #[test]
    fn a_host_comes_before_no_host() {
        let (host, root, any, all) = ("GET api.example /a/{x}", "* api.example /", "* * /a/b", "* * /{p+}");
        assert_routes(
            &[host, root, any, all],
            &[
                ("GET api.example /a/b", Some(host)),
                ("GET API.Example.:8443 /a/b", Some(host)),
                ("POST api.example /a/b", None),
                ("GET other.example /a/b", Some(any)),
                ("GET sub.api.example /a/b", Some(any)),
                ("GET api.example /c", Some(all)),
                ("GET api.example /", Some(root)),
                ("GET other.example /", None),
            ],
        );
        let six = "* [2001:db8::1] /";
        assert_routes(&[six], &[("GET [2001:DB8:0::1]:443 /", Some(six)), ("GET [2001:db8::2] /", None)]);
    }

    #[test]
    fn a_method_that_the_resource_lacks_is_not_found() {
        let (read, write, any, all) = ("GET,HEAD * /admin", "POST * /admin", "* * /items", "* * /{p+}");
        assert_routes(
            &[read, write, any, all, "DELETE * /items", "OPTIONS * /items"],
            &[
                ("GET a /admin", Some(read)),
                ("HEAD a /admin", Some(read)),
                ("POST a /admin", Some(write)),
                ("PUT a /admin", None),
                ("OPTIONS a /admin", None),
                ("get a /admin", None),
                ("GET a /items", Some(any)),
                ("DELETE a /items", Some("DELETE * /items")),
                ("OPTIONS a /items", Some("OPTIONS * /items")),
                ("PROPFIND a /items", Some(any)),
                ("TRACE a /items", None),
                ("CONNECT a /x", None),
                ("PUT a /x", Some(all)),
            ],
        );
    }

    #[test]
    fn of_routes_that_conflict_the_first_wins() {
        let (one, two) = ("GET,POST * /{a}", "GET,PUT * /{b}");
        assert_eq!(find(&[one, two], "GET a /x"), Some(one));
        assert_eq!(find(&[two, one], "GET a /x"), Some(two));
        assert_eq!(find(&[one, two], "PUT a /x"), Some(two));
    }

    #[test]
    fn an_empty_table_has_no_route() {
        assert_eq!(find(&[], "GET a /"), None);
    }

    /// The rules once more, without a tree: every route that matches, the most specific, then the methods.
    fn naive(routes: &[RouteMatch], host: &str, path: &str, method: &Method) -> Option<usize> {
        let ranked =
            routes.iter().enumerate().filter_map(|(place, route)| Some((rank(route, host, path)?, place, route)));
        let matching: Vec<_> = ranked.collect();
        let best = matching.iter().map(|(rank, ..)| rank).max()?;
        let resource =
            matching.iter().filter(|(rank, ..)| rank == best).filter(|(.., route)| route.methods.contains(method));
        resource.min_by_key(|(_, place, route)| (route.methods.is_any(), *place)).map(|(_, place, _)| *place)
    }

    /// How specific a route is for a request that it matches.
    fn rank(route: &RouteMatch, host: &str, path: &str) -> Option<(bool, Vec<u8>)> {
        let named_host = match &route.host {
            Some(named) if named.as_ref() == host => true,
            Some(_) => return None,
            None => false,
        };
        let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let pattern = route.path.segments();
        let is_greedy = matches!(pattern.last(), Some(Segment::Greedy(_)));
        if !(segments.len() == pattern.len() || is_greedy && segments.len() > pattern.len()) {
            return None;
        }
        let ranks = pattern.iter().zip(segments).map(|(wanted, found)| match wanted {
            Segment::Greedy(_) => Some(0),
            Segment::Literal(text) => (**text == *found.replace("%61", "a")).then_some(2),
            Segment::Parameter(_) => Some(1),
        });
        Some((named_host, ranks.collect::<Option<_>>()?))
    }

    fn routes() -> impl Strategy<Value = Vec<RouteMatch>> {
        let path = (prop::collection::vec("a|b|c|\\{\\}", 0..4), any::<bool>()).prop_map(|(segments, is_greedy)| {
            let named = (0..)
                .zip(segments)
                .map(|(place, text)| text.replace("{}", &["{", &"p".repeat(place + 1), "}"].concat()));
            let mut path: String = named.map(|segment| ["/", &segment].concat()).collect();
            path.push_str(if is_greedy {
                "/{rest+}"
            } else if path.is_empty() {
                "/"
            } else {
                ""
            });
            path
        });
        let text =
            ("\\*|GET|GET,POST|PUT", "\\*|h|i", path).prop_map(|(methods, host, path)| [methods, host, path].join(" "));
        prop::collection::vec(text.prop_map(|text| route(&text)), 0..24)
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_a_list_would(
            routes in routes(),
            host in "h|i|j",
            path in "(/(a|b|c|d|%61)){0,5}/?",
            method in "GET|POST|PUT|PATCH|TRACE",
        ) {
            let path = if path.is_empty() { "/" } else { &path };
            let method = method.parse().unwrap();
            let found = RouteTable::build(&routes).find(&host, &check(path.as_bytes()).unwrap(), &method);
            prop_assert_eq!(found, naive(&routes, &host, path, &method));
        }

        #[test]
        fn a_path_with_a_semicolon_is_found_where_both_readings_agree(routes in routes(), path in "(/(a|b|c|a;x|b%3bx)){1,4}") {
            let found = RouteTable::build(&routes).find("h", &check(path.as_bytes()).unwrap(), &Method::GET);
            let without = path.replace(";x", "").replace("%3bx", "");
            let as_written = naive(&routes, "h", &path, &Method::GET);
            let both = as_written.filter(|place| Some(*place) == naive(&routes, "h", &without, &Method::GET));
            prop_assert_eq!(found, both);
        }
    }
}
