//! Which route a request takes, or that it could be understood in two ways and is refused: host, path and method.

use crate::{
    mint::id,
    table::{Vector, ask, bearer, requests},
    verdict::{HOST, MISSING, NO_ROUTE, OK, OPEN, PATH},
};

pub(super) fn vectors() -> Vec<Vector> {
    [spellings(), other_paths(), tricks(), methods(), named_methods(), hosts(), no_host()].concat()
}

fn spellings() -> Vec<Vector> {
    let rows = ["/id", "/id/", "/id?", "/id?a=/../b//c", "/%69d", "/%69%64", "/i%64/"];
    let rows = rows.map(|target| (target, ask().target(target), MISSING));
    let token = id().mint();
    let with_token = [("with a token", bearer(&token).target("/%69d/?x=1"), OK)];
    requests("no spelling of a path slips past its route", "id", rows.into_iter().chain(with_token))
}

fn other_paths() -> Vec<Vector> {
    let targets =
        ["/", "/ID", "/id/1", "/ids", "/i", "/id;x=1", "/id%3bx", "/deep", "/deep/", "/nowhere", "/id.json", "/id%20"];
    let rows = targets.map(|target| (target, ask().target(target), NO_ROUTE));
    requests("a path that is routed nowhere", "none", rows)
}

/// A path that one server reads as another path than the next.
fn tricks() -> Vec<Vector> {
    let targets = [
        "/open/../id",
        "/open/..",
        "/./id",
        "/id/.",
        "/open/%2e%2e/id",
        "/open/.%2E/id",
        "/open/%2e./id",
        "/open/..;/id",
        "/open/..;x=1/id",
        "/open/..%3b/id",
        "//id",
        "/id//",
        "/deep//1",
        "/;/id",
        "/deep/a%2fb",
        "/deep/a%2Fb",
        "/%2fid",
        "/deep/a%5cb",
        "/deep/a\\b",
        "/open\\..\\id",
        "/id%00",
        "/id%0d%0ax:%20y",
        "/id%7f",
        "/deep/%c0%ae%c0%ae/id",
        "/deep/%c0%af",
        "/deep/%ff",
        "/deep/%252e%252e/id",
        "/deep/a%252fb",
        "/deep/a%2500",
        "/id%",
        "/id%2",
        "/id%zz",
        "/id%u0069",
        "id",
        "*",
        "http://localhost/id",
        "/\u{ff49}d",
    ];
    let rows = targets.map(|target| (target, ask().target(target), PATH));
    requests("a path that could be another one", "none", rows)
}

fn methods() -> Vec<Vector> {
    let any = ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND", "get"];
    let rows = any.map(|method| (method, ask().method(method), MISSING));
    let with_token = [("POST with a token", bearer(&id().mint()).method("POST"), OK)];
    let never = [("TRACE", ask().method("TRACE").target("/id"), NO_ROUTE)];
    [
        requests("a route for any method", "id", rows.into_iter().chain(with_token)),
        requests("a method for no route", "none", never),
    ]
    .concat()
}

fn named_methods() -> Vec<Vector> {
    let token = id().mint();
    let here = [("GET", ask().method("GET"), MISSING), ("GET with a token", bearer(&token), OK)];
    let others = ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "GETS"];
    let others = others.map(|method| (method, bearer(&token).method(method).target("/get-only"), NO_ROUTE));
    let overridden = bearer(&token).method("POST").target("/get-only").field("X-HTTP-Method-Override", "GET");
    [
        requests("a route for GET", "get-only", here),
        requests("a method that the route has not", "none", others),
        requests("a method is not overridden", "none", [("POST", overridden, NO_ROUTE)]),
    ]
    .concat()
}

fn hosts() -> Vec<Vector> {
    let named = [
        "private.example.com",
        "PRIVATE.Example.com",
        "private.example.com:80",
        "private.example.com:8443",
        "private.example.com.",
        "private.example.com.:443",
    ];
    let named = named.map(|host| (host, ask().host(host), MISSING));
    let others = ["example.com", "xprivate.example.com", "private.example.com.evil.example", "localhost", "127.0.0.1"];
    let others = others.map(|host| (host, ask().host(host).target("/hosted"), OPEN));
    let token = id().mint();
    let forwarded = ask().target("/hosted").field("X-Forwarded-Host", "private.example.com");
    [
        requests("a route of one host", "hosted", named),
        requests("a route of one host", "hosted", [("with a token", bearer(&token).host("private.example.com"), OK)]),
        requests("every other host", "unhosted", others),
        requests("a host is not overridden", "unhosted", [("X-Forwarded-Host", forwarded, OPEN)]),
    ]
    .concat()
}

fn no_host() -> Vec<Vector> {
    let rows = [("none", ask().without_host().target("/open"), HOST), ("empty", ask().host("").target("/open"), HOST)];
    requests("a host", "none", rows)
}
