//! Paths and hosts: what passes is read the same by every upstream, takes the route that a list would give it, and stays fit
//! when it is rewritten.
//!
//! An input is lines: a request target, a host, a path pattern, a rewrite. Those that are missing are empty.

mod naive;
mod upstream;

use std::sync::LazyLock;

use cognigate::{
    config::pattern::{HostPattern, MethodSet, PathPattern, Rewrite, RouteMatch, Segment},
    route::{
        host,
        path::{self, RequestPath},
        table::RouteTable,
    },
};
use http::Method;

/// Methods, hosts and paths of the routes that every path is tried on: where one way in must not slip past another.
const ROUTES: [(&str, &str, &str); 16] = [
    ("*", "*", "/"),
    ("GET", "*", "/{proxy+}"),
    ("*", "*", "/public/{rest+}"),
    ("GET", "*", "/admin"),
    ("POST", "*", "/admin/{rest+}"),
    ("GET,HEAD", "*", "/items/{id}"),
    ("*", "*", "/items/{id}"),
    ("*", "*", "/items/mine"),
    ("*", "*", "/items/{id}/parts"),
    ("*", "*", "/{a}/{b}/parts"),
    ("*", "*", "/a/b/c"),
    ("*", "*", "/a/{x}/d"),
    ("*", "api.example.com", "/a/{rest+}"),
    ("POST", "api.example.com", "/{x}"),
    ("*", "[2001:db8::1]", "/{rest+}"),
    ("*", "192.0.2.1", "/a"),
];

/// Patterns and rewrites for them.
const REWRITES: [(&str, &str); 8] = [
    ("/", "/v2"),
    ("/{a}", "/{a}/"),
    ("/{a}/{b}", "/{b}/x/{a}/{b}"),
    ("/{a}/{b}/{rest+}", "/{rest}/{b}/.../{rest}"),
    ("/items/{proxy+}", "/{proxy}"),
    ("/{proxy+}", "/{proxy}"),
    ("/{proxy+}", "/v2/{proxy}/end"),
    ("/{proxy+}", "/"),
];

static TABLE: LazyLock<(Vec<RouteMatch>, RouteTable)> = LazyLock::new(|| {
    let routes: Vec<_> = ROUTES.iter().map(|(methods, host, path)| route(methods, host, path)).collect();
    let table = RouteTable::build(&routes);
    (routes, table)
});

/// Checks one input.
///
/// # Panics
///
/// If a path that passes can be read as another one, takes another route than it should or is rewritten to one that would
/// not pass; or if a host has two normal forms.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let mut text = || str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let (host, pattern, rewrite) = (text(), text(), text());
    assert_host(host);
    let pattern = parsed_pattern(pattern);
    let rewrite = pattern.as_ref().and_then(|pattern| Some((Rewrite::parse(rewrite, pattern).ok()?, rewrite)));
    let Ok(path) = path::check(target) else { return };
    assert_is_forwarded(&path, target);
    upstream::assert_is_read_alike(path.path());
    assert_route(&path, host);
    if let Some(pattern) = &pattern {
        assert_rewritten(&path, pattern, rewrite.as_ref().map(|(rewrite, text)| (rewrite, *text)));
    }
    for (pattern, text) in REWRITES {
        let pattern: PathPattern = pattern.parse().expect("a pattern");
        let rewrite = Rewrite::parse(text, &pattern).expect("a rewrite");
        assert_rewritten(&path, &pattern, Some((&rewrite, text)));
    }
}

/// What is decided on is what is sent on, byte for byte.
fn assert_is_forwarded(path: &RequestPath<'_>, target: &[u8]) {
    let mut halves = target.splitn(2, |byte| *byte == b'?');
    assert_eq!(Some(path.path().as_bytes()), halves.next(), "the path");
    assert_eq!(path.query().map(str::as_bytes), halves.next(), "the query");
}

/// The route is the one that a list gives.
fn assert_route(path: &RequestPath<'_>, host: &str) {
    let (routes, table) = &*TABLE;
    for method in [Method::GET, Method::POST, Method::TRACE] {
        let found = table.find(host, path, &method);
        assert_eq!(found, naive::find(routes, host, path.path(), &method), "{method} {host:?} {path:?}");
    }
}

/// A path that a pattern matches is rewritten to one that passes, made of the segments as they came.
fn assert_rewritten(path: &RequestPath<'_>, pattern: &PathPattern, rewrite: Option<(&Rewrite, &str)>) {
    let routes = [RouteMatch { host: None, path: pattern.clone(), methods: MethodSet::any() }];
    let found = RouteTable::build(&routes).find("", path, &Method::GET);
    assert_eq!(found, naive::find(&routes, "", path.path(), &Method::GET), "{pattern} {path:?}");
    let Some((rewrite, text)) = rewrite else { return };
    let result = rewrite.apply(path.path());
    if found.is_some() {
        let result = result.expect("a path of the route");
        let checked = path::check(result.as_bytes());
        assert!(checked.is_ok_and(|checked| checked.path() == result), "{path:?} became {result}: {checked:?}");
        assert_eq!(naive::segments(&result), naive::rewritten(path.path(), pattern, text), "{path:?} became {result}");
    }
}

/// A pattern is shown as it was written.
fn parsed_pattern(text: &str) -> Option<PathPattern> {
    let pattern: PathPattern = text.parse().ok()?;
    assert_eq!(pattern.to_string(), text);
    let is_greedy = |segment: &Segment| matches!(segment, Segment::Greedy(_));
    let greedy = pattern.segments().iter().position(is_greedy);
    assert!(greedy.is_none_or(|place| place + 1 == pattern.segments().len()), "{text}");
    Some(pattern)
}

/// A host that a route can name has one form, and a request names it so however it writes it.
fn assert_host(text: &str) {
    if let Ok(pattern) = host::normalized(text).parse::<HostPattern>() {
        assert_eq!(host::normalized(pattern.as_ref()), pattern.as_ref(), "{text:?}");
    }
    let Ok(pattern) = text.parse::<HostPattern>() else { return };
    let kept = pattern.as_ref();
    assert_eq!(kept.parse(), Ok(pattern.clone()), "{text:?}");
    for written in [kept.to_owned(), kept.to_ascii_uppercase(), format!("{kept}:8443"), format!("{kept}:")] {
        assert_eq!(host::normalized(&written), kept, "{written}");
    }
    if !kept.starts_with('[') {
        assert_eq!(host::normalized(&format!("{text}.:80")), kept, "{text:?}");
    }
}

fn route(methods: &str, host: &str, path: &str) -> RouteMatch {
    let names: Vec<_> = methods.split(',').collect();
    RouteMatch {
        host: (host != "*").then(|| host.parse().expect("a host")),
        path: path.parse().expect("a pattern"),
        methods: if methods == "*" { MethodSet::any() } else { MethodSet::parse(&names).expect("methods") },
    }
}
