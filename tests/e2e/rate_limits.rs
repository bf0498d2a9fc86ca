//! Rate limits: each caller has its burst and its rate and no more, is told what is left of it, and costs nobody else anything.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use e2e::{
    client::{Client, Request, Response, get, request},
    edge::Edge,
    pool::{KID, Pool, key, strangers_key},
    upstream::Answer,
    wait::eventually,
};
use serde_json::json;

use crate::edge;

/// An edge with a route `/limited/{proxy+}` for every token of the pool, which has this limit, and whatever else is set.
#[track_caller]
fn limited(limit: &str, more: &[(&str, &str)]) -> Edge {
    let routes = routes(limit);
    let sections: Vec<_> = [("routes", routes.as_str())].iter().chain(more).copied().collect();
    edge(&sections)
}

fn routes(limit: &str) -> String {
    format!(
        r#"
  - match: {{ path: "/limited/{{proxy+}}" }}
    auth: {{ user_pools: [main], token: any }}
    upstream: items
    rate_limit: {limit}
  - match: {{ path: "/items/{{proxy+}}" }}
    auth: {{ user_pools: [main] }}
    upstream: items"#
    )
}

/// A request of this user on the route with a limit.
fn of(edge: &Edge, sub: &str) -> Request {
    get("/limited/1").token(&edge.pool.id_token(&json!({ "sub": sub })))
}

fn statuses(edge: &Edge, request: &Request, count: usize) -> Vec<u16> {
    let mut client = edge.client();
    (0..count).map(|_| client.ask(request).status).collect()
}

/// What a response tells about limits.
fn told(response: &Response) -> [Option<&str>; 3] {
    ["ratelimit-policy", "ratelimit", "retry-after"].map(|name| response.header(name))
}

/// What is said a few seconds after an hour began, however busy the machine is.
#[track_caller]
fn assert_is_nearly_an_hour(seconds: &str) {
    assert!((3590..=3600).contains(&seconds.parse().unwrap()), "{seconds}");
}

#[track_caller]
fn rejected(edge: &Edge, reason: &str) -> f64 {
    edge.proxy.metrics().sum("cognigate_rejected_requests_total", &[("reason", reason)])
}

#[test]
fn a_burst_is_served_and_what_is_over_it_is_refused_in_each_profile() {
    for profile in ["rfc6750", "aws-rest", "aws-http"] {
        let responses = format!("{{ profile: {profile} }}");
        let edge = limited("{ by: sub, rate: 1/h, burst: 3 }", &[("responses", &responses)]);
        let request = of(&edge, "ann");
        let mut client = edge.client();
        let policy = Some(r#""sub";q=3;w=10800"#);
        for left in [2, 1, 0] {
            let response = client.ask(&request);
            let [told_policy, told_left, retry_after] = told(&response);
            assert_eq!((response.status, told_policy, retry_after), (200, policy, None), "{profile}");
            let more_in = told_left.and_then(|told| told.strip_prefix(&format!(r#""sub";r={left};t="#)));
            assert_is_nearly_an_hour(more_in.unwrap());
        }
        for _ in 0..2 {
            let response = client.ask(&request);
            assert_eq!((response.status, response.is_last()), (429, false), "{profile}");
            assert_eq!(response.text(), r#"{"message":"Too Many Requests"}"#, "{profile}");
            let retry_after = response.header("retry-after").unwrap();
            assert_is_nearly_an_hour(retry_after);
            let left = format!(r#""sub";r=0;t={retry_after}"#);
            assert_eq!(told(&response), [policy, Some(&*left), Some(retry_after)], "{profile}");
        }
        assert_eq!(edge.upstream.take_requests().len(), 3, "{profile}");
        assert_eq!(rejected(&edge, "rate_limited"), 2.0, "{profile}");
        assert_eq!(edge.proxy.metrics().sum("cognigate_auth_decisions_total", &[("reason", "ok")]), 5.0, "{profile}");
        assert_eq!(edge.proxy.metrics().sum("cognigate_rate_limit_keys", &[]), 1.0, "{profile}");
    }
}

#[test]
fn a_caller_comes_back_at_its_rate() {
    let edge = limited("{ by: sub, rate: 4/s, burst: 1 }", &[]);
    let (request, mut client) = (of(&edge, "ann"), edge.client());
    let began = Instant::now();
    assert_eq!(client.ask(&request).status, 200);
    for _ in 0..4 {
        eventually("another", || (client.ask(&request).status == 200).then_some(()));
    }
    assert!(began.elapsed() > Duration::from_millis(900), "four took {:?}", began.elapsed());
}

#[test]
fn each_user_of_each_pool_has_a_limit_of_its_own() {
    let user_pools = r#"
  main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS" }
  other: { id: eu-west-1_Other, client_ids: [$CLIENT], jwks_uri: "$KEYS" }"#;
    let routes = r#"
  - match: { path: "/limited/{proxy+}" }
    auth: { user_pools: [main, other] }
    upstream: items
    rate_limit: { by: sub, rate: 1/h, burst: 1 }
  - match: { path: "/too/{proxy+}" }
    auth: { user_pools: [main] }
    upstream: items
    rate_limit: { by: sub, rate: 1/h, burst: 1 }"#;
    let edge = edge(&[("user_pools", user_pools), ("routes", routes)]);
    let ann = json!({ "sub": "ann" });
    let token = edge.pool.id_token(&ann);
    for (case, request) in [
        ("a user", get("/limited/1").token(&token)),
        ("another", of(&edge, "bob")),
        ("the same name in another pool", get("/limited/1").token(&Pool::new("eu-west-1_Other").id_token(&ann))),
        ("another route", get("/too/1").token(&token)),
    ] {
        assert_eq!(statuses(&edge, &request, 2), [200, 429], "{case}");
    }
    let renewed = edge.pool.id_token(&json!({ "sub": "ann", "jti": "another" }));
    assert_eq!(edge.ask(&get("/limited/2").token(&renewed)).status, 429, "a new token is the same user");
}

#[test]
fn an_app_client_is_told_by_either_kind_of_token() {
    let user_pools = "{ main: { id: $POOL, any_client: true, jwks_uri: \"$KEYS\" } }";
    let edge = limited("{ by: client_id, rate: 1/h, burst: 2 }", &[("user_pools", user_pools)]);
    let id = |sub: &str, aud: &str| edge.pool.id_token(&json!({ "sub": sub, "aud": aud }));
    let access = |client: &str| edge.pool.access_token(&json!({ "client_id": client }));
    for (case, token, status) in [
        ("one user", id("ann", "web"), 200),
        ("another user, by an access token", access("web"), 200),
        ("a third user", id("cid", "web"), 429),
        ("another client", id("ann", "app"), 200),
    ] {
        let response = edge.ask(&get("/limited/1").token(&token));
        assert_eq!(response.status, status, "{case}");
        assert_eq!(response.header("ratelimit-policy"), Some(r#""client_id";q=2;w=7200"#), "{case}");
    }
}

#[test]
fn a_source_is_who_a_trusted_proxy_says() {
    const LIMIT: &str = "{ by: source_ip, rate: 1/h, burst: 1 }";
    let from = |hops: &str| get("/limited/1").header("X-Forwarded-For", hops);
    let edge = limited(LIMIT, &[("forwarded", "{ trusted: [127.0.0.0/8] }")]);
    for (case, request, expected) in [
        ("who says nothing", get("/limited/1"), [401, 429]),
        ("a client", from("203.0.113.1"), [401, 429]),
        ("another", from("203.0.113.2"), [401, 429]),
        ("what it claims itself changes nothing", from("198.51.100.1, 203.0.113.2"), [429, 429]),
        ("an IPv6 network", from("2001:db8::1"), [401, 429]),
        ("the same", from("2001:db8::2"), [429, 429]),
        ("another", from("2001:db8:0:1::2"), [401, 429]),
    ] {
        assert_eq!(statuses(&edge, &request, 2), expected, "{case}");
    }
    let edge = limited(LIMIT, &[]);
    assert_eq!(edge.ask(&from("203.0.113.1")).status, 401);
    assert_eq!(edge.ask(&from("203.0.113.2")).status, 429, "nobody believes a stranger");
    assert_eq!(edge.proxy.metrics().sum("cognigate_auth_decisions_total", &[]), 1.0, "nobody asked who calls");
}

#[test]
fn every_response_of_a_limited_route_tells() {
    let theirs =
        "HTTP/1.1 200 OK\r\nRateLimit: \"theirs\";r=1\r\nRateLimit-Policy: \"theirs\";q=1\r\ncontent-length: 0\r\n\r\n";
    let edge = limited("{ by: sub, rate: 10/s, burst: 20 }", &[]);
    edge.upstream.answer(Answer::Raw(theirs.into()));
    let policy = Some(r#""sub";q=20;w=2"#);
    assert_eq!(told(&edge.ask(&of(&edge, "ann"))), [policy, Some(r#""sub";r=19;t=1"#), None]);
    assert_eq!(told(&edge.ask(&get("/limited/1"))), [policy, None, None], "nobody knows who calls");
    edge.upstream.answer(Answer::Close);
    let response = edge.ask(&of(&edge, "bob"));
    assert_eq!((response.status, told(&response)), (502, [policy, Some(r#""sub";r=19;t=1"#), None]));
    edge.upstream.answer(Answer::Raw(theirs.into()));
    let unlimited = edge.ask(&get("/items/1").token(&edge.pool.id_token(&json!({}))));
    assert_eq!(told(&unlimited), [Some(r#""theirs";q=1"#), Some(r#""theirs";r=1"#), None], "not ours to say");
    assert_eq!(told(&edge.ask(&get("/nowhere"))), [None; 3]);
}

#[test]
fn a_page_may_read_what_is_left() {
    const CORS: &str = "{ allow_origins: [https://app.example.com], allow_headers: [], expose_headers: [etag] }";
    let edge = limited("{ by: source_ip, rate: 1/h, burst: 1 }", &[("cors", CORS)]);
    let token = edge.pool.id_token(&json!({}));
    let asked = get("/limited/1").token(&token).header("Origin", "https://app.example.com");
    let preflight = request("OPTIONS", "/limited/1")
        .header("Origin", "https://app.example.com")
        .header("Access-Control-Request-Method", "GET");
    for _ in 0..3 {
        assert_eq!(edge.ask(&preflight).status, 204, "a preflight is nobody's request");
    }
    for (status, exposed) in [
        (200, "etag, ratelimit, ratelimit-policy"),
        (429, "etag, ratelimit, ratelimit-policy, www-authenticate, retry-after, x-request-id"),
    ] {
        let response = edge.ask(&asked);
        assert_eq!((response.status, response.header("access-control-expose-headers")), (status, Some(exposed)));
    }
}

#[test]
fn a_reload_forgives_nobody_but_where_the_limit_changed() {
    const LIMIT: &str = "{ by: sub, rate: 1/h, burst: 1 }";
    let edge = limited(LIMIT, &[]);
    let request = of(&edge, "ann");
    assert_eq!(statuses(&edge, &request, 2), [200, 429]);
    let same = routes(LIMIT);
    edge.reload(&[("routes", &same), ("identity", "{ headers: { x-sub: sub } }")]);
    assert_eq!(edge.ask(&request).status, 429);
    let more = routes("{ by: sub, rate: 1/h, burst: 2 }");
    edge.reload(&[("routes", &more)]);
    assert_eq!(statuses(&edge, &request, 3), [200, 200, 429]);
    edge.reload(&[("routes", &more), ("limits", "{ rate_limit_keys: 2048 }")]);
    assert_eq!(statuses(&edge, &request, 3), [200, 200, 429], "a table of another size is a new one");
    assert_eq!(edge.proxy.metrics().sum("cognigate_rate_limit_keys", &[]), 1.0);
}

/// A user, and what it got.
struct User {
    request: Request,
    granted: u32,
    /// Before the first request was sent, and after it was answered.
    first: Option<(Instant, Instant)>,
    /// The same of the last.
    last: Option<(Instant, Instant)>,
}

impl User {
    fn ask(&mut self, client: &mut Client) -> u16 {
        let sent = Instant::now();
        let status = client.ask(&self.request).status;
        let times = (sent, Instant::now());
        self.first.get_or_insert(times);
        self.last = Some(times);
        self.granted += u32::from(status == 200);
        status
    }
}

/// The last request of each was refused, so it had all that it was due: what that is, is known as exactly as the moments are
/// at which its first and its last request were judged.
#[test]
fn a_thousand_users_at_once_have_what_they_are_due() {
    const USERS: usize = 1_000;
    const CONNECTIONS: usize = 8;
    const TIME: Duration = Duration::from_secs(3);
    const BURST: f64 = 5.0;
    let edge = limited("{ by: sub, rate: 1/s, burst: 5 }", &[]);
    let mut users: Vec<User> = (0..USERS)
        .map(|number| User { request: of(&edge, &number.to_string()), granted: 0, first: None, last: None })
        .collect();
    let address = edge.proxy.address();
    thread::scope(|scope| {
        for users in users.chunks_mut(USERS / CONNECTIONS) {
            scope.spawn(move || ask_all(address, users, TIME));
        }
    });
    for User { granted, first, last, .. } in &users {
        let (first, last) = (first.unwrap(), last.unwrap());
        let least = (BURST + last.0.duration_since(first.1).as_secs_f64()).floor();
        let most = (BURST + last.1.duration_since(first.0).as_secs_f64()).floor();
        assert!((least..=most).contains(&f64::from(*granted)), "{granted} of {least} to {most}");
    }
    assert_eq!(edge.proxy.metrics().sum("cognigate_rate_limit_evictions_total", &[]), 0.0);
}

/// Each asks again and again, and then until it is refused.
fn ask_all(address: SocketAddr, users: &mut [User], time: Duration) {
    let mut client = Client::connect(address);
    let began = Instant::now();
    while began.elapsed() < time {
        for user in &mut *users {
            user.ask(&mut client);
        }
    }
    for user in users {
        while user.ask(&mut client) == 200 {}
    }
}

/// An edge that believes what its clients say of where they are, and looks at so many forged tokens of each.
#[track_caller]
fn guarded(failed_auth_per_ip: &str, more: &[(&str, &str)]) -> Edge {
    let limits = format!("{{ failed_auth_per_ip: {failed_auth_per_ip} }}");
    let sections = [("limits", limits.as_str()), ("forwarded", "{ trusted: [127.0.0.0/8] }")];
    edge(&sections.iter().chain(more).copied().collect::<Vec<_>>())
}

fn from(address: &str, token: &str) -> Request {
    get("/items/1").header("X-Forwarded-For", address).token(token)
}

fn forged(edge: &Edge, number: u32) -> String {
    edge.pool.token(&strangers_key(KID), cognigate_auth::policy::TokenUse::Id, &json!({ "jti": number.to_string() }))
}

#[test]
fn garbage_buys_no_cpu_and_costs_nobody_else_anything() {
    const RATE: f64 = 5.0;
    const FLOOD: u32 = 300;
    let edge = guarded("5/s", &[]);
    let (flooder, neighbour) = ("203.0.113.1", "203.0.113.2");
    let [good, new] = ["good", "new"].map(|jti| edge.pool.id_token(&json!({ "jti": jti })));
    assert_eq!(edge.ask(&from(flooder, &good)).status, 200);
    let verified = || edge.proxy.metrics().sum("cognigate_auth_duration_seconds_count", &[("path", "verified")]);
    let before = verified();
    let mut client = edge.client();
    let garbage: Vec<_> = (0..FLOOD).map(|number| from(flooder, &forged(&edge, number))).collect();
    let began = Instant::now();
    let answers: Vec<_> = garbage.iter().map(|request| client.ask(request).status).collect();
    let most = (RATE + RATE * began.elapsed().as_secs_f64()).floor();
    let looked_at = verified() - before;
    let count = |status| f64::from(answers.iter().map(|answer| u32::from(*answer == status)).sum::<u32>());
    assert!((RATE..=most).contains(&looked_at), "{looked_at} of at most {most}");
    assert_eq!((count(401), count(401) + count(429)), (looked_at, f64::from(FLOOD)));
    assert_eq!(rejected(&edge, "failed_auth_limit"), count(429));
    let decided = edge.proxy.metrics().sum("cognigate_auth_decisions_total", &[]);
    assert_eq!(decided, 1.0 + looked_at, "what nobody looked at was not decided");

    assert_eq!(client.ask(&from(flooder, &good)).status, 200, "what is remembered is served");
    assert_eq!(client.ask(&get("/items/1").header("X-Forwarded-For", flooder)).status, 401, "no token, no CPU");
    assert_eq!(client.ask(&from(neighbour, &forged(&edge, FLOOD))).status, 401);
    assert_eq!(client.ask(&from(neighbour, &new)).status, 200);
    let later = edge.pool.id_token(&json!({ "jti": "later" }));
    eventually("looked at again", || (client.ask(&from(flooder, &later)).status == 200).then_some(()));
}

#[test]
fn whoever_forged_too_much_is_told_so_in_each_profile() {
    for profile in ["rfc6750", "aws-rest", "aws-http"] {
        let responses = format!("{{ profile: {profile} }}");
        let edge = guarded("1/h", &[("responses", &responses)]);
        let good = edge.pool.id_token(&json!({}));
        let mut client = edge.client();
        for _ in 0..3 {
            assert_eq!(client.ask(&get("/items/1").header("X-Forwarded-For", "203.0.113.1")).status, 401);
        }
        assert_eq!(client.ask(&from("203.0.113.1", "garbage")).status, 401, "{profile}");
        let response = client.ask(&from("203.0.113.1", &good));
        assert_eq!((response.status, response.is_last()), (429, false), "{profile}");
        assert_eq!(response.text(), r#"{"message":"Too Many Requests"}"#, "{profile}");
        assert_eq!(told(&response)[..2], [None, None], "{profile}");
        assert_is_nearly_an_hour(response.header("retry-after").unwrap());
        assert_eq!(response.header("www-authenticate"), None, "{profile}");
    }
}

#[test]
fn an_honest_mistake_is_no_forgery_and_no_limit_is_none() {
    let edge = guarded("1/h", &[]);
    let expired = edge.pool.id_token(&json!({ "exp": 1 }));
    let other_key = edge.pool.token(&key("key-2"), cognigate_auth::policy::TokenUse::Id, &json!({}));
    for token in [&expired, &other_key, &edge.pool.access_token(&json!({}))] {
        assert_eq!(edge.ask(&from("203.0.113.1", token)).status, 401);
    }
    assert_eq!(edge.ask(&from("203.0.113.1", &edge.pool.id_token(&json!({})))).status, 200);
    for edge in [guarded("0", &[]), crate::edge(&[])] {
        let mut client = edge.client();
        for number in 0..200 {
            assert_eq!(client.ask(&from("203.0.113.1", "garbage")).status, 401, "{number}");
        }
    }
}

#[test]
fn a_reload_forgives_no_forger() {
    let edge = guarded("1/h", &[]);
    assert_eq!(edge.ask(&from("203.0.113.1", "garbage")).status, 401);
    let sections = |keys| {
        [("limits", keys), ("forwarded", "{ trusted: [127.0.0.0/8] }"), ("identity", "{ headers: { x-sub: sub } }")]
    };
    edge.reload(&sections("{ failed_auth_per_ip: 1/h, rate_limit_keys: 2048 }"));
    assert_eq!(edge.ask(&from("203.0.113.1", "garbage")).status, 429);
    edge.reload(&sections("{ failed_auth_per_ip: 2/h }"));
    assert_eq!(edge.ask(&from("203.0.113.1", "garbage")).status, 401, "another limit");
    edge.reload(&sections("{ failed_auth_per_ip: 0 }"));
    for _ in 0..3 {
        assert_eq!(edge.ask(&from("203.0.113.1", "garbage")).status, 401, "none");
    }
}
