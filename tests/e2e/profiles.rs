//! Response profiles: what each situation looks like to a client, field by field, in each of them.

use std::collections::{BTreeMap, BTreeSet};

use cognigate_auth::{policy::TokenUse, rejection::Rejection};
use e2e::{
    client::{Request, Response, get},
    edge::Edge,
    key_server::{KeyServer, document},
    pool::{KID, Pool, key, now, strangers_key},
    process::Directory,
    upstream::{Answer, REFUSING},
    wait::eventually,
};
use serde_json::json;

use crate::BINARY;

/// A second pool, whose keys are nowhere.
const COLD: Pool = Pool::new("eu-west-1_Cold");

/// A session that was ended.
const REVOKED: &str = "5eed0002-4b5a-4978-8796-a5b4c3d2e1f0";

const PROFILES: [&str; 3] = ["rfc6750", "aws-rest", "aws-http"];

/// Every situation and what it looks like in each of the profiles: status, `message` of the body, and the fields that are
/// not those of every refusal, as they are on the wire. Ids of responses are left out here.
const TABLE: [(&str, [&str; 3]); 23] = [
    (
        "token_missing",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            "401 Unauthorized | www-authenticate: Bearer",
        ],
    ),
    (
        "token_malformed",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate", error="invalid_token", error_description="token_malformed""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"401 Unauthorized | www-authenticate: Bearer scope="" error="invalid_token" error_description="token_malformed""#,
        ],
    ),
    (
        "token_too_large",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate", error="invalid_token", error_description="token_too_large""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"401 Unauthorized | www-authenticate: Bearer scope="" error="invalid_token" error_description="token_too_large""#,
        ],
    ),
    (
        "alg_not_allowed",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate", error="invalid_token", error_description="alg_not_allowed""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"401 Unauthorized | www-authenticate: Bearer scope="" error="invalid_token" error_description="alg_not_allowed""#,
        ],
    ),
    (
        "kid_unknown",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate", error="invalid_token", error_description="kid_unknown""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"401 Unauthorized | www-authenticate: Bearer scope="" error="invalid_token" error_description="kid_unknown""#,
        ],
    ),
    (
        "signature_invalid",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate", error="invalid_token", error_description="signature_invalid""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"401 Unauthorized | www-authenticate: Bearer scope="" error="invalid_token" error_description="signature_invalid""#,
        ],
    ),
    (
        "issuer_unknown",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate", error="invalid_token", error_description="issuer_unknown""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"401 Unauthorized | www-authenticate: Bearer scope="" error="invalid_token" error_description="issuer_unknown""#,
        ],
    ),
    (
        "token_expired",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate", error="invalid_token", error_description="token_expired""#,
            "401 The incoming token has expired | x-amzn-ErrorType: UnauthorizedException",
            r#"401 Unauthorized | www-authenticate: Bearer scope="" error="invalid_token" error_description="the token has expired""#,
        ],
    ),
    (
        "token_not_yet_valid",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate", error="invalid_token", error_description="token_not_yet_valid""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"401 Unauthorized | www-authenticate: Bearer scope="" error="invalid_token" error_description="token_not_yet_valid""#,
        ],
    ),
    (
        "token_revoked",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate", error="invalid_token", error_description="token_revoked""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"401 Unauthorized | www-authenticate: Bearer scope="" error="invalid_token" error_description="token_revoked""#,
        ],
    ),
    (
        "token_use_mismatch",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate", error="invalid_token", error_description="token_use_mismatch""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"401 Unauthorized | www-authenticate: Bearer scope="" error="invalid_token" error_description="token_use_mismatch""#,
        ],
    ),
    (
        "client_not_allowed",
        [
            r#"401 Unauthorized | www-authenticate: Bearer realm="cognigate", error="invalid_token", error_description="client_not_allowed""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"401 Unauthorized | www-authenticate: Bearer scope="" error="invalid_token" error_description="the token does not have a valid audience""#,
        ],
    ),
    (
        "scope_missing",
        [
            r#"403 Forbidden | www-authenticate: Bearer realm="cognigate", error="insufficient_scope", error_description="scope_missing", scope="items/read items/write""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"403 Forbidden | www-authenticate: Bearer scope="items/read items/write" error="insufficient_scope" error_description="expected scopes: [items/read items/write]""#,
        ],
    ),
    (
        "group_missing",
        [
            r#"403 Forbidden | www-authenticate: Bearer realm="cognigate", error="insufficient_scope", error_description="group_missing""#,
            "401 Unauthorized | x-amzn-ErrorType: UnauthorizedException",
            r#"403 Forbidden | www-authenticate: Bearer scope="" error="insufficient_scope" error_description="group_missing""#,
        ],
    ),
    (
        "keys_unavailable",
        [
            "503 Service Unavailable | retry-after: 5",
            "503 Service Unavailable | Retry-After: 5 | x-amzn-ErrorType: ServiceUnavailableException",
            "503 Service Unavailable | retry-after: 5",
        ],
    ),
    (
        "no route",
        [
            "404 Not Found",
            "403 Missing Authentication Token | x-amzn-ErrorType: MissingAuthenticationTokenException",
            "404 Not Found",
        ],
    ),
    (
        "no route, with a token",
        [
            "404 Not Found",
            "403 Missing Authentication Token | x-amzn-ErrorType: MissingAuthenticationTokenException",
            "404 Not Found",
        ],
    ),
    (
        "ambiguous path",
        ["400 Bad Request", "400 Bad Request | x-amzn-ErrorType: BadRequestException", "400 Bad Request"],
    ),
    (
        "two credentials",
        ["400 Bad Request", "400 Bad Request | x-amzn-ErrorType: BadRequestException", "400 Bad Request"],
    ),
    (
        "upstream refuses",
        [
            "502 Bad Gateway",
            "504 Network error communicating with endpoint | x-amzn-ErrorType: InternalServerErrorException",
            "503 Service Unavailable",
        ],
    ),
    (
        "upstream breaks off",
        [
            "502 Bad Gateway",
            "504 Network error communicating with endpoint | x-amzn-ErrorType: InternalServerErrorException",
            "503 Service Unavailable",
        ],
    ),
    (
        "upstream takes too long",
        [
            "504 Gateway Timeout",
            "504 Endpoint request timed out | x-amzn-ErrorType: InternalServerErrorException",
            "503 Service Unavailable",
        ],
    ),
    (
        "over the rate limit",
        [
            r#"429 Too Many Requests | ratelimit-policy: "source_ip";q=1;w=3600 | ratelimit: "source_ip";r=0;t=3600 | retry-after: 3600"#,
            r#"429 Too Many Requests | RateLimit-Policy: "source_ip";q=1;w=3600 | RateLimit: "source_ip";r=0;t=3600 | Retry-After: 3600 | x-amzn-ErrorType: TooManyRequestsException"#,
            r#"429 Too Many Requests | ratelimit-policy: "source_ip";q=1;w=3600 | ratelimit: "source_ip";r=0;t=3600 | retry-after: 3600"#,
        ],
    ),
];

/// An edge whose refusals look like this.
#[track_caller]
/// With the directory of the file that says what is revoked.
fn edge(profile: &str) -> (Edge, Directory) {
    let user_pools = r#"
  main: { id: $POOL, client_ids: [$CLIENT], jwks_uri: "$KEYS" }
  cold: { id: eu-west-1_Cold, client_ids: [$CLIENT], jwks_uri: "http://127.0.0.1:1/jwks.json" }"#;
    let upstreams = format!(
        r#"
  dead: {{ endpoints: ["{REFUSING}"] }}
  items: {{ endpoints: ["$UPSTREAM"], timeouts: {{ read: 250ms }} }}"#
    );
    let routes = r#"
  - { match: { path: /cold }, auth: { user_pools: [cold] }, upstream: items }
  - { match: { path: /dead }, auth: none, upstream: dead }
  - { match: { path: /grouped }, auth: { user_pools: [main], groups_any: [readers] }, upstream: items }
  - { match: { path: /id, methods: [GET] }, auth: { user_pools: [main] }, upstream: items }
  - { match: { path: /limited }, auth: none, upstream: items, rate_limit: { by: source_ip, rate: 1/h } }
  - { match: { path: /open }, auth: none, upstream: items }
  - { match: { path: /scoped }, auth: { user_pools: [main], scopes_any: [items/read, items/write] }, upstream: items }"#;
    let directory = Directory::new();
    let revoked = directory.write("revoked.yaml", &format!("revocations: [{{ origin_jti: {REVOKED} }}]"));
    let revocation = format!("{{ file: {} }}", revoked.display());
    let responses = format!("{{ profile: {profile} }}");
    let sections = [
        ("user_pools", user_pools),
        ("upstreams", &upstreams),
        ("routes", routes),
        ("responses", &responses),
        ("revocation", &revocation),
    ];
    let edge = Edge::launch(BINARY, KeyServer::start(document([&key(KID)])), &sections);
    edge.wait_keys();
    (edge, directory)
}

/// A request that leads to a situation, and what the upstream does if it gets there.
fn situation(name: &str, pool: Pool) -> (Request, Answer) {
    let id = |changes| get("/id").token(&pool.id_token(&changes));
    let signed_by = |key| get("/id").token(&pool.token(&key, TokenUse::Id, &json!({})));
    let request = match name {
        "token_missing" => get("/id"),
        "token_malformed" => get("/id").token("a.b"),
        "token_too_large" => get("/id").token(&"a".repeat(16 * 1024 + 1)),
        "alg_not_allowed" => get("/id").token(&key(KID).mint_raw(r#"{"kid":"key-1","alg":"none"}"#, "{}").unwrap()),
        "kid_unknown" => signed_by(key("key-2")),
        "signature_invalid" => signed_by(strangers_key(KID)),
        "issuer_unknown" => get("/id").token(&Pool::new("eu-west-1_Other").id_token(&json!({}))),
        "token_expired" => id(json!({ "exp": now() - 1 })),
        "token_not_yet_valid" => id(json!({ "nbf": now() + 60 })),
        "token_revoked" => id(json!({ "origin_jti": REVOKED })),
        "token_use_mismatch" => get("/id").token(&pool.access_token(&json!({}))),
        "client_not_allowed" => id(json!({ "aud": "another" })),
        "scope_missing" => get("/scoped").token(&pool.access_token(&json!({}))),
        "group_missing" => get("/grouped").token(&pool.id_token(&json!({ "cognito:groups": ["writers"] }))),
        "keys_unavailable" => get("/cold").token(&COLD.id_token(&json!({}))),
        "no route" => get("/nowhere"),
        "no route, with a token" => get("/nowhere").token(&pool.id_token(&json!({}))),
        "ambiguous path" => get("/open/../id"),
        "two credentials" => get("/open").token("a").token("b"),
        "upstream refuses" => get("/dead"),
        "over the rate limit" => get("/limited"),
        "upstream breaks off" => return (get("/open"), Answer::Close),
        "upstream takes too long" => return (get("/open"), Answer::never()),
        name => panic!("{name}"),
    };
    (request, Answer::Echo)
}

/// The id of a response, in the profiles where responses have one.
fn id_field(profile: &str) -> Option<&'static str> {
    match profile {
        "aws-rest" => Some("x-amzn-RequestId"),
        "aws-http" => Some("apigw-requestid"),
        _ => None,
    }
}

/// A response as [`TABLE`] has it. What is the same in all of them is checked here.
#[track_caller]
fn shown(profile: &str, response: &Response) -> String {
    let body = response.text();
    let value = response.json();
    let message = value["message"].as_str().unwrap();
    assert_eq!(body, format!(r#"{{"message":"{message}"}}"#), "compact, and nothing else in it");
    let length = body.len().to_string();
    let common =
        [("Content-Type", "application/json"), ("Content-Length", length.as_str()), ("Cache-Control", "no-store")];
    let fields: Vec<_> = response.head.fields().collect();
    for field in common {
        assert_eq!(fields.iter().filter(|found| **found == field).count(), 1, "{field:?} in {fields:?}");
    }
    let of_pingora = |name: &str| ["date", "connection"].contains(&name.to_ascii_lowercase().as_str());
    let rest = fields.into_iter().filter(|field| !common.contains(field) && !of_pingora(field.0));
    let mut rest: Vec<_> = rest
        .filter(|(name, _)| Some(*name) != id_field(profile) && !name.eq_ignore_ascii_case("x-request-id"))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    rest.sort_unstable();
    rest.insert(0, format!("{} {message}", response.status));
    rest.join(" | ")
}

#[track_caller]
fn assert_is_uuid(id: &str) {
    let lengths: Vec<_> = id.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
    assert!(id.bytes().all(|byte| byte == b'-' || b"0123456789abcdef".contains(&byte)), "{id}");
    assert_eq!(id.split('-').nth(2).and_then(|part| part.chars().next()), Some('4'), "{id}");
}

#[test]
fn each_situation_has_one_answer_in_each_profile() {
    for (index, profile) in PROFILES.into_iter().enumerate() {
        let (edge, _directory) = edge(profile);
        let mut ids = BTreeSet::new();
        for (name, expected) in TABLE {
            let (request, answer) = situation(name, edge.pool);
            edge.upstream.answer(answer);
            if name == "over the rate limit" {
                assert_eq!(edge.ask(&request).status, 200);
            }
            let response = edge.ask(&request);
            assert_eq!(shown(profile, &response), expected[index], "{profile}: {name}");
            if let Some(field) = id_field(profile) {
                let id = response.header(field).unwrap_or_default();
                assert_is_uuid(id);
                assert!(ids.insert(id.to_owned()), "{profile}: {name}: {id} for a second time");
            }
        }
    }
}

#[test]
fn the_table_has_every_reason() {
    let names: BTreeSet<_> = TABLE.into_iter().map(|(name, _)| name).collect();
    let missing: Vec<_> =
        Rejection::ALL.map(Rejection::reason).into_iter().filter(|name| !names.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// What single-page applications do: the text of the body, byte for byte, decides whether to fetch a new token.
#[test]
fn a_client_of_api_gateway_sees_that_its_token_has_expired() {
    let (edge, _directory) = edge("aws-rest");
    let mut token = edge.pool.id_token(&json!({ "exp": now() - 1 }));
    let mut asked = Vec::new();
    loop {
        let response = edge.ask(&get("/id").header("Authorization", &token));
        asked.push(response.status);
        match response.text() {
            r#"{"message":"The incoming token has expired"}"# => token = edge.pool.id_token(&json!({})),
            _ => break,
        }
    }
    assert_eq!(asked, [401, 200]);
}

#[test]
fn a_token_is_never_sent_back() {
    for profile in PROFILES {
        let (edge, _directory) = edge(profile);
        for request in [get("/nowhere"), get("/id"), get("/id?x=secret-token"), get("/open/../id")] {
            let response = edge.ask(&request.token("secret-token"));
            let whole = [response.head.as_str(), response.text()].concat();
            assert!(!whole.contains("secret-token"), "{profile}: {whole}");
        }
    }
}

#[test]
fn an_answer_to_head_is_the_same_without_its_body() {
    for profile in PROFILES {
        let (edge, _directory) = edge(profile);
        let [whole, head] = ["GET", "HEAD"].map(|method| edge.ask(&e2e::client::request(method, "/grouped")));
        let fields = |response: &Response| -> BTreeMap<String, String> {
            let is_its_own = |name: &str| {
                Some(name) == id_field(profile) || name == "Date" || name.eq_ignore_ascii_case("x-request-id")
            };
            let fields = response.head.fields().filter(|(name, _)| !is_its_own(name));
            fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        assert_eq!((head.status, fields(&head)), (whole.status, fields(&whole)), "{profile}");
    }
}

#[test]
fn the_status_that_is_counted_is_the_one_that_was_sent() {
    for (profile, code) in [("rfc6750", "404"), ("aws-rest", "403"), ("aws-http", "404")] {
        let (edge, _directory) = edge(profile);
        edge.ask(&get("/nowhere"));
        let labels = [("route", "none"), ("method", "GET"), ("code", code)];
        let is_counted = || edge.proxy.metrics().sum("cognigate_http_requests_total", &labels) == 1.0;
        eventually(profile, || is_counted().then_some(()));
    }
}

#[test]
fn what_an_upstream_answers_is_not_dressed_up() {
    for profile in PROFILES {
        let (edge, _directory) = edge(profile);
        for status in [401, 403, 404, 504] {
            edge.upstream.answer(Answer::json(status, r#"{"message":"theirs"}"#));
            let response = edge.ask(&get("/open"));
            assert_eq!((response.status, response.text()), (status, r#"{"message":"theirs"}"#), "{profile}");
            for field in ["x-amzn-errortype", "x-amzn-requestid", "apigw-requestid", "www-authenticate"] {
                assert_eq!(response.header(field), None, "{profile} {status}");
            }
        }
    }
}
