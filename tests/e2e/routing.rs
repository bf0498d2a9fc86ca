//! Which route a request takes, and that the upstream gets what was decided on, to the byte.

use e2e::client::{get, request};
use serde_json::json;

use crate::{edge, reason};

/// What a route matches and the path that tells the upstream which one it was; the most general first.
const ROUTES: [(&str, &str); 8] = [
    ("path: \"/{proxy+}\"", "/rest"),
    ("path: /", "/root"),
    ("path: \"/items/{proxy+}\"", "/items-rest"),
    ("path: \"/items/{id}\"", "/items-one"),
    ("path: \"/items/{id}\", methods: [DELETE]", "/items-one-deleted"),
    ("path: /items/list", "/items-list"),
    ("path: \"/items/{id}/parts/{part}\"", "/parts-one"),
    ("host: api.example.com, path: \"/items/{id}\"", "/api-items-one"),
];

fn open_route((matches, rewrite): (&str, &str)) -> String {
    format!("\n  - {{ match: {{ {matches} }}, auth: none, upstream: items, rewrite: {rewrite} }}")
}

#[test]
fn the_most_specific_route_wins_whatever_the_order() {
    let forwards: String = ROUTES.into_iter().map(open_route).collect();
    let backwards: String = ROUTES.into_iter().rev().map(open_route).collect();
    for routes in [forwards, backwards] {
        let edge = edge(&[("routes", &routes)]);
        for (sent, taken) in [
            (get("/"), "/root"),
            (get("/other"), "/rest"),
            (get("/other/a/b"), "/rest"),
            (get("/items"), "/rest"),
            (get("/items/list"), "/items-list"),
            (get("/items/l%69st"), "/items-list"),
            (get("/items/LIST"), "/items-one"),
            (get("/items/1"), "/items-one"),
            (request("DELETE", "/items/1"), "/items-one-deleted"),
            (get("/items/1/2"), "/items-rest"),
            (get("/items/1/parts/2"), "/parts-one"),
            (get("/items/1/parts/2/3"), "/items-rest"),
            (get("/items/1").host("api.example.com"), "/api-items-one"),
            (get("/items/1").host("API.Example.com:8080"), "/api-items-one"),
            (get("/items/1").host("api.example.com.evil"), "/items-one"),
            (get("/other").host("api.example.com"), "/rest"),
        ] {
            assert_eq!(edge.ask(&sent).status, 200, "{sent:?}");
            assert_eq!(edge.upstream.take_request().target(), taken, "{sent:?}");
        }
    }
}

#[test]
fn a_method_that_a_resource_does_not_have_is_not_found() {
    let routes = r#"
  - { match: { path: "/items/{id}", methods: [GET] }, auth: { user_pools: [main] }, upstream: items }
  - { match: { path: "/{proxy+}" }, auth: none, upstream: items }"#;
    let edge = edge(&[("routes", routes)]);
    let token = edge.pool.id_token(&json!({}));
    assert_eq!(edge.ask(&get("/items/1").token(&token)).status, 200);
    edge.upstream.take_requests();
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW", "get"] {
        assert_eq!(edge.ask(&request(method, "/items/1").token(&token)).status, 404, "{method}");
    }
    let overridden = request("POST", "/items/1").header("X-HTTP-Method-Override", "GET").token(&token);
    assert_eq!(edge.ask(&overridden).status, 404);
    assert!(edge.upstream.take_requests().is_empty());
}

#[test]
fn no_spelling_of_a_protected_path_slips_past_it() {
    let routes = r#"
  - { match: { path: /admin }, auth: { user_pools: [main] }, upstream: items }
  - { match: { path: "/{proxy+}" }, auth: none, upstream: items }"#;
    let edge = edge(&[("routes", routes)]);
    for (target, status) in [
        ("/admin", 401),
        ("/admin/", 401),
        ("/admin?x=1", 401),
        ("/%61dmin", 401),
        ("/%61%64%6D%69%6e", 401),
        ("/%61dmin/", 401),
        ("/admin;x=1", 404),
        ("/admin%3bx", 404),
        ("/x/../admin", 400),
        ("/x/%2e%2e/admin", 400),
        ("/./admin", 400),
        ("//admin", 400),
        ("/admin//", 400),
        ("/%2fadmin", 400),
        ("/%5cadmin", 400),
        ("/\\admin", 400),
        ("/admin%00", 400),
        ("/%2561dmin/%252e", 400),
        ("admin", 400),
        ("http://localhost/admin", 400),
    ] {
        assert_eq!(edge.ask(&get(target)).status, status, "{target}");
        assert!(edge.upstream.take_requests().is_empty(), "{target}");
    }
}

#[test]
fn a_path_that_can_be_read_in_two_ways_is_refused_and_counted() {
    let edge = edge(&[]);
    let tricks = [
        "/open/../items/1",
        "/open/..",
        "/open/./1",
        "/open/%2e%2e/items/1",
        "/open/.%2E/items/1",
        "/open/..;/items/1",
        "/open//1",
        "//open/1",
        "/open/a%2fb",
        "/open/a%5Cb",
        "/open/a\\b",
        "/open/%00",
        "/open/%0d%0ax",
        "/open/%c0%ae%c0%ae/x",
        "/open/%252e%252e/x",
        "/open/%",
        "/open/%zz",
        "/open/%2",
        "open/1",
        "*",
        "http://localhost/open/1",
    ];
    let refused = || edge.proxy.metrics().sum("cognigate_rejected_requests_total", &[("reason", "path_ambiguous")]);
    for (before, target) in tricks.iter().enumerate() {
        assert_eq!(edge.ask(&get(*target)).status, 400, "{target}");
        assert_eq!(refused(), (before + 1) as f64, "{target}");
    }
    assert!(edge.upstream.take_requests().is_empty());
}

#[test]
fn the_upstream_gets_the_target_as_it_was_sent() {
    let edge = edge(&[]);
    for target in [
        "/open/1",
        "/open/1/",
        "/open/1?",
        "/open/a%20b?x=%41&y=1+2&z",
        "/open/%41%7e~",
        "/open/caf%C3%A9",
        "/open/a;v=1/b,c=d:e@f!$'()*",
        "/open/1?next=/../x//y&z=%2e%2e%2f\\",
        "/open/100%25",
    ] {
        assert_eq!(edge.ask(&get(target)).status, 200, "{target}");
        let seen = edge.upstream.take_request();
        assert_eq!(seen.head.start_line(), format!("GET {target} HTTP/1.1"));
    }
}

#[test]
fn a_rewrite_changes_the_path_and_nothing_else() {
    let routes = r#"
  - { match: { path: "/items/{proxy+}" }, auth: none, upstream: items, rewrite: "/v2/things/{proxy}" }
  - { match: { path: "/users/{id}/posts/{post}" }, auth: none, upstream: items, rewrite: "/posts/{post}/by/{id}" }
  - { match: { path: "/old" }, auth: none, upstream: items, rewrite: / }"#;
    let edge = edge(&[("routes", routes)]);
    for (sent, seen) in [
        ("/items/1", "/v2/things/1"),
        ("/items/a%20b/%41", "/v2/things/a%20b/%41"),
        ("/items/1/?q=%2e%2e/&r", "/v2/things/1/?q=%2e%2e/&r"),
        ("/users/j%C3%A9/posts/7?x", "/posts/7/by/j%C3%A9?x"),
        ("/old?x=1", "/?x=1"),
    ] {
        assert_eq!(edge.ask(&get(sent)).status, 200, "{sent}");
        assert_eq!(edge.upstream.take_request().target(), seen, "{sent}");
    }
}

#[test]
fn a_request_has_exactly_one_host() {
    let edge = edge(&[]);
    for (case, sent) in [
        ("none", get("/open/1").without_host()),
        ("empty", get("/open/1").host("")),
        ("two", get("/open/1").header("Host", "other")),
        ("two and equal", get("/open/1").header("host", "localhost")),
    ] {
        assert_eq!(edge.ask(&sent).status, 400, "{case}");
    }
    assert!(edge.upstream.take_requests().is_empty());
}

#[test]
fn a_protected_route_of_one_host_protects_no_other() {
    let routes = r#"
  - { match: { host: private.example.com, path: "/{proxy+}" }, auth: { user_pools: [main] }, upstream: items }
  - { match: { path: "/{proxy+}" }, auth: none, upstream: items }"#;
    let edge = edge(&[("routes", routes)]);
    for (host, status) in [
        ("private.example.com", 401),
        ("PRIVATE.example.com", 401),
        ("private.example.com:443", 401),
        ("private.example.com.", 401),
        ("public.example.com", 200),
    ] {
        let response = edge.ask(&get("/a").host(host).token("a.b.c"));
        assert_eq!(response.status, status, "{host}");
        assert_eq!(reason(&response), (status == 401).then_some("token_malformed"), "{host}");
    }
}
