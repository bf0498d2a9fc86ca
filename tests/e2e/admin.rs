//! `/revocations` at the admin listener: who may use it, what it does, and what of it a restart leaves.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use e2e::{
    client::{Client, Request, Response, get, request},
    edge::Edge,
    pool::now,
    process::{Directory, Process},
    wait::{PATIENCE, eventually},
};
use serde_json::{Value, json};

use crate::{BINARY, edge, reason};

/// What whoever may change something shows.
const TOKEN: &str = "an-admin-token-of-this-test";

/// The longest life of a token, in seconds.
const LIFETIME: u64 = 24 * 60 * 60 + 10 * 60;

/// A proxy whose admin listener takes [`TOKEN`].
struct Guarded {
    edge: Edge,
    directory: Directory,
}

impl Guarded {
    #[track_caller]
    fn start(revocation: &str) -> Self {
        Self::start_in(Directory::new(), revocation)
    }

    /// In `revocation`, `$DIR` stands for the directory.
    #[track_caller]
    fn start_in(directory: Directory, revocation: &str) -> Self {
        let token = directory.write("admin.token", &format!("{TOKEN}\n"));
        let admin = format!("{{ address: 127.0.0.1:0, token_file: {} }}", token.display());
        let revocation = revocation.replace("$DIR", &directory.path("").display().to_string());
        Self { edge: edge(&[("admin", &admin), ("revocation", &revocation)]), directory }
    }

    /// Ends the process with what it has.
    fn stop(mut self) -> Directory {
        self.edge.proxy.signal("TERM");
        self.edge.proxy.wait_exit(PATIENCE).unwrap();
        self.directory
    }

    #[track_caller]
    fn send(&self, request: &Request) -> Response {
        Client::connect(self.edge.proxy.admin_address()).ask(request)
    }

    #[track_caller]
    fn admin(&self, method: &str, target: &str) -> Response {
        self.send(&request(method, target).token(TOKEN))
    }

    #[track_caller]
    fn post(&self, body: &Value) -> Response {
        self.send(&request("POST", "/revocations").token(TOKEN).body(body.to_string()))
    }

    /// The entries that a query finds, without their times.
    #[track_caller]
    fn list(&self, query: &str) -> Vec<Value> {
        let response = self.admin("GET", &format!("/revocations{query}"));
        assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
        response.json()["revocations"].as_array().unwrap().clone()
    }

    #[track_caller]
    fn reason_for(&self, claims: &Value) -> Option<String> {
        let request = get("/items/1").token(&self.edge.pool.id_token(claims));
        reason(&self.edge.ask(&request)).map(str::to_owned)
    }
}

fn message(response: &Response) -> String {
    response.json()["message"].as_str().unwrap().to_owned()
}

#[test]
fn nothing_is_shown_or_changed_without_the_token() {
    let guarded = Guarded::start("{}");
    let ask = || request("GET", "/revocations");
    let wrong = TOKEN.strip_suffix("test").unwrap();
    for (case, request, challenge) in [
        ("none", ask(), "Bearer realm=\"cognigate-admin\""),
        ("another", ask().token("another-token-of-a-stranger"), "error=\"invalid_token\""),
        ("a part", ask().token(wrong), "error=\"invalid_token\""),
        ("more", ask().token(&format!("{TOKEN}x")), "error=\"invalid_token\""),
        ("other case", ask().token(&TOKEN.to_uppercase()), "error=\"invalid_token\""),
        ("empty", ask().header("Authorization", "Bearer "), "Bearer realm"),
        ("bare", ask().header("Authorization", TOKEN), "Bearer realm=\"cognigate-admin\""),
        ("basic", ask().header("Authorization", format!("Basic {TOKEN}")), "Bearer realm=\"cognigate-admin\""),
        ("two", ask().token(TOKEN).token(TOKEN), "error=\"invalid_request\""),
        ("a user's", ask().token(&guarded.edge.pool.id_token(&json!({}))), "error=\"invalid_token\""),
        ("post", request("POST", "/revocations").body(r#"{"jti":"a"}"#), "Bearer realm=\"cognigate-admin\""),
        ("delete", request("DELETE", "/revocations?jti=a"), "Bearer realm=\"cognigate-admin\""),
    ] {
        let response = guarded.send(&request);
        assert_eq!(response.status, 401, "{case}");
        assert!(response.header("www-authenticate").unwrap().contains(challenge), "{case}: {response:?}");
        assert!(message(&response).contains("admin.token_file") || case == "two", "{case}");
    }
    assert_eq!(guarded.list(""), [] as [Value; 0]);
    assert_eq!(guarded.send(&ask().header("Authorization", format!("bEARER {TOKEN}"))).status, 200);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(guarded.edge.proxy.admin(path).status, 200, "{path} asks for nothing");
    }
    assert!(!guarded.edge.proxy.log().contains(wrong));
}

#[test]
fn without_a_configured_token_nobody_may() {
    let edge = edge(&[]);
    for method in ["GET", "POST", "DELETE"] {
        let response = Client::connect(edge.proxy.admin_address()).ask(&request(method, "/revocations").token(TOKEN));
        assert_eq!(response.status, 403, "{method}");
        assert!(message(&response).contains("no admin.token_file is configured"), "{method}");
    }
}

#[test]
fn a_cached_token_is_revoked_at_once_and_comes_back() {
    let guarded = Guarded::start("{}");
    let mut client = guarded.edge.client();
    let mut session = json!({ "origin_jti": "session" });
    let request = get("/items/1").token(&guarded.edge.pool.id_token(&session));
    assert_eq!([client.ask(&request).status, client.ask(&request).status], [200, 200]);
    let before = now();
    let response = guarded.post(&session);
    assert_eq!(response.status, 201);
    let refused = client.ask(&request);
    assert_eq!((refused.status, reason(&refused)), (401, Some("token_revoked")));

    let expires_at = response.json()["revocations"][0]["expires_at"].as_u64().unwrap();
    assert!((before + LIFETIME..=now() + LIFETIME).contains(&expires_at), "{expires_at}");
    session["expires_at"] = expires_at.into();
    session["source"] = "shared".into();
    assert_eq!(response.json(), json!({ "revocations": [session] }));
    assert_eq!(guarded.list("?origin_jti=session"), [session]);

    let removed = guarded.admin("DELETE", "/revocations?origin_jti=session");
    assert_eq!((removed.status, &*removed.body, removed.header("content-length")), (204, &b""[..], None));
    assert_eq!(client.ask(&request).status, 200);
    let again = guarded.admin("DELETE", "/revocations?origin_jti=session");
    assert_eq!((again.status, &*message(&again)), (404, "no revocation names this `origin_jti`"));
}

#[test]
fn a_signed_out_user_is_out_until_the_next_sign_in() {
    let guarded = Guarded::start("{}");
    let (user, iat) = ("9f3a2f4e-1c2d-4b5a-8e7f-0a1b2c3d4e5f", now());
    assert_eq!(guarded.post(&json!({ "sub": user })).status, 201);
    let entry = &guarded.list(&format!("?sub={user}"))[0];
    let issued_before = entry["issued_before"].as_u64().unwrap();
    assert!((iat + 1..=now() + 1).contains(&issued_before), "{entry}");
    for (claims, expected) in [
        (json!({ "sub": user, "iat": iat }), Some("token_revoked")),
        (json!({ "sub": user, "iat": null }), Some("token_revoked")),
        (json!({ "sub": user, "iat": issued_before }), None),
        (json!({ "sub": "another", "iat": iat }), None),
    ] {
        assert_eq!(guarded.reason_for(&claims).as_deref(), expected, "{claims}");
    }
}

#[test]
fn several_are_revoked_together_or_not_at_all() {
    let guarded = Guarded::start("{ max_entries: 3 }");
    let named = |name: &str| guarded.reason_for(&json!({ "jti": name }));
    assert_eq!(guarded.post(&json!([{ "jti": "a" }, { "jti": "b" }])).status, 201);
    let bad = guarded.post(&json!([{ "jti": "c" }, { "jit": "d" }]));
    assert_eq!(bad.status, 400);
    let full = guarded.post(&json!([{ "jti": "c" }, { "jti": "d" }]));
    assert_eq!(full.status, 507);
    assert_eq!(message(&full), "nothing was changed: more than 3 revocations (`revocation.max_entries`)");
    assert_eq!([named("a"), named("b")], ["token_revoked", "token_revoked"].map(|reason| Some(reason.to_owned())));
    assert_eq!([named("c"), named("d")], [None, None]);
    // What is there takes no more room, and the later times hold.
    let stored = guarded.post(&json!([{ "jti": "a", "expires_at": now() + 5 }, { "jti": "c" }])).json();
    assert!(stored["revocations"][0]["expires_at"].as_u64().unwrap() > now() + 1000, "{stored}");
    assert_eq!(guarded.edge.proxy.metrics().sum("cognigate_revocations", &[("source", "shared")]), 3.0);
}

#[test]
fn what_is_not_understood_is_refused_with_words() {
    let guarded = Guarded::start("{}");
    let (past, ahead) = (now() - 1, now() + 400);
    for (body, expected) in [
        (String::new(), "EOF while parsing"),
        ("[]".to_owned(), "no entry is given"),
        ("{}".to_owned(), "exactly one of `jti`, `origin_jti` and `sub` is needed"),
        (r#"{"jti":"a","sub":"b"}"#.to_owned(), "exactly one of"),
        (r#"{"jti":"a","jti":"b"}"#.to_owned(), "duplicate field `jti`"),
        (r#"{"jti":5}"#.to_owned(), "expected text"),
        (r#"{"jti":""}"#.to_owned(), "`jti`: is empty"),
        (r#"{"jti":"a","issued_before":1}"#.to_owned(), "`issued_before` goes with `sub` only"),
        (r#"{"jti":"a","until":1}"#.to_owned(), "unknown field `until`, expected one of `jti`"),
        (r#"{"jti":"a"} {"jti":"b"}"#.to_owned(), "trailing characters"),
        (format!(r#"{{"jti":"a","expires_at":{past}}}"#), "has passed"),
        (format!(r#"[{{"jti":"a"}},{{"sub":"a","issued_before":{ahead}}}]"#), "[1]: `issued_before`"),
        (r#"{"sub":"a","issued_before":-1}"#.to_owned(), "expected a whole number"),
    ] {
        let response = guarded.send(&request("POST", "/revocations").token(TOKEN).body(body.clone()));
        assert_eq!(response.status, 400, "{body}");
        assert!(message(&response).contains(expected), "{body}: {}", message(&response));
    }
    for (method, target, status, expected) in [
        ("GET", "/revocations?limit=0", 400, "a whole number from 1 to 10000 is needed"),
        ("GET", "/revocations?user=a", 400, "unknown key \"user\""),
        ("GET", "/revocations?sub=a&jti=b", 400, "a subject stands alone"),
        ("DELETE", "/revocations", 400, "say what is not revoked any more"),
        ("POST", "/revocations?jti=a", 400, "said in the body"),
        ("PUT", "/revocations", 405, "allowed: GET, HEAD, POST, DELETE"),
    ] {
        let response = guarded.admin(method, target);
        assert_eq!(response.status, status, "{method} {target}");
        assert!(message(&response).contains(expected), "{method} {target}: {}", message(&response));
    }
    assert_eq!(guarded.admin("PUT", "/revocations").header("allow"), Some("GET, HEAD, POST, DELETE"));
    assert_eq!(guarded.admin("GET", "/revocations/").status, 404);
    assert_eq!(guarded.list(""), [] as [Value; 0]);
}

#[test]
fn a_body_is_bounded() {
    let guarded = Guarded::start("{}");
    let entry = |length: usize| format!(r#"{{"jti":"a"{}}}"#, " ".repeat(length - 11));
    for (length, status) in [(1024 * 1024_usize, 201), (1024 * 1024 + 1, 413)] {
        let request = request("POST", "/revocations").token(TOKEN).body(entry(length));
        assert_eq!(guarded.send(&request).status, status, "{length}");
    }
    // As curl sends it: the body follows once it is asked for.
    let mut client = Client::connect(guarded.edge.proxy.admin_address());
    client.send(format!(
        "POST /revocations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n"
    ));
    assert_eq!(client.response().status, 100);
    client.send(r#"{"jti":"b"}"#);
    assert_eq!(client.response().status, 201);
}

#[test]
fn a_connection_goes_on_after_a_refusal() {
    let guarded = Guarded::start("{}");
    let mut client = Client::connect(guarded.edge.proxy.admin_address());
    let body = r#"GET /livez HTTP/1.1"#;
    for _ in 0..3 {
        assert_eq!(client.ask(&request("POST", "/revocations").body(body)).status, 401);
        assert_eq!(client.ask(&request("POST", "/livez").body(body)).status, 405);
        assert_eq!(client.ask(&request("GET", "/revocations").token(TOKEN)).status, 200);
    }
}

#[test]
fn a_long_list_is_read_page_by_page() {
    let guarded = Guarded::start("{}");
    let ids: Vec<_> = (0..250).map(|number| json!({ "origin_jti": format!("session {number:03}/+") })).collect();
    assert_eq!(guarded.post(&Value::from(ids)).status, 201);
    let (mut found, mut target, mut pages) = (Vec::new(), "/revocations?limit=100".to_owned(), 0);
    loop {
        let page = guarded.admin("GET", &target).json();
        let entries = page["revocations"].as_array().unwrap();
        assert!(entries.len() <= 100);
        found.extend(entries.iter().map(|entry| entry["origin_jti"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        let next = next.replace(' ', "%20").replace('+', "%2B");
        target = format!("/revocations?limit=100&after={next}");
    }
    found.sort();
    assert_eq!((pages, found.len()), (3, 250));
    assert_eq!((&*found[0], &*found[249]), ("session 000/+", "session 249/+"));
    assert_eq!(guarded.list("").len(), 250);
}

#[test]
fn the_file_says_what_the_admin_cannot_take_back() {
    let directory = Directory::new();
    directory.write("revoked.yaml", "revocations: [{ jti: a }, { jti: b, expires_at: 9999999999 }]");
    let guarded = Guarded::start_in(directory, "{ file: $DIR/revoked.yaml }");
    assert_eq!(guarded.list("?jti=a"), [json!({ "jti": "a", "source": "file" })]);
    assert_eq!(guarded.list("?jti=b"), [json!({ "jti": "b", "expires_at": 9_999_999_999_u64, "source": "file" })]);
    let refused = guarded.admin("DELETE", "/revocations?jti=a");
    assert_eq!(refused.status, 409);
    assert_eq!(message(&refused), "only the revocation file names this `jti`: take it out of there");
    assert_eq!(guarded.post(&json!({ "jti": "a" })).status, 201);
    let sources: Vec<_> = guarded.list("?jti=a").iter().map(|entry| entry["source"].clone()).collect();
    assert_eq!(sources, ["file", "shared"]);
    assert_eq!(guarded.admin("DELETE", "/revocations?jti=a").status, 204);
    assert_eq!(guarded.reason_for(&json!({ "jti": "a" })).as_deref(), Some("token_revoked"));
}

#[test]
fn a_restart_forgets_nothing_that_was_answered() {
    let guarded = Guarded::start("{ state_file: $DIR/state }");
    let body = json!([{ "jti": "a" }, { "origin_jti": "b" }, { "sub": "c" }, { "jti": "d" }]);
    assert_eq!(guarded.post(&body).status, 201);
    assert_eq!(guarded.admin("DELETE", "/revocations?jti=d").status, 204);
    let state = guarded.directory.path("state");
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);

    let mut before = guarded.list("");
    let guarded = Guarded::start_in(guarded.stop(), "{ state_file: $DIR/state }");
    let mut after = guarded.list("");
    for list in [&mut before, &mut after] {
        list.sort_by_key(Value::to_string);
    }
    assert_eq!((after.len(), after), (3, before));
    for (claims, is_revoked) in [
        (json!({ "jti": "a" }), true),
        (json!({ "origin_jti": "b" }), true),
        (json!({ "sub": "c", "iat": now() - 60 }), true),
        (json!({ "jti": "d" }), false),
    ] {
        assert_eq!(guarded.reason_for(&claims).is_some(), is_revoked, "{claims}");
    }
}

#[test]
fn without_a_state_file_a_restart_forgets() {
    let guarded = Guarded::start("{}");
    assert_eq!(guarded.post(&json!({ "jti": "a" })).status, 201);
    let guarded = Guarded::start_in(guarded.stop(), "{}");
    assert_eq!(guarded.list(""), [] as [Value; 0]);
}

#[test]
fn a_state_file_that_may_have_lost_something_ends_the_process() {
    let guarded = Guarded::start("{ state_file: $DIR/state }");
    assert_eq!(guarded.post(&json!([{ "jti": "a" }, { "jti": "b" }])).status, 201);
    let directory = guarded.stop();
    let state = directory.path("state");
    let text = fs::read_to_string(&state).unwrap().replacen("+{", "+", 1);
    fs::write(&state, text).unwrap();
    let config = directory.write(
        "cognigate.yaml",
        "
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
upstreams: { items: { endpoints: ['127.0.0.1:1'] } }
routes: [{ match: { path: / }, auth: none, upstream: items }]
revocation: { state_file: state }
",
    );
    let mut process = Process::spawn(Command::new(BINARY).args(["run", "-c"]).arg(&config));
    assert_eq!(process.wait_exit(PATIENCE).and_then(|status| status.code()), Some(1));
    let log = process.stderr().text();
    assert!(log.contains("the file is damaged in line 2"), "{log}");
}

#[test]
fn a_token_that_is_replaced_is_not_taken_any_more() {
    let guarded = Guarded::start("{}");
    let ask = |token: &str| guarded.send(&request("GET", "/revocations").token(token)).status;
    guarded.directory.write("admin.token", "too short\n");
    eventually("an error", || guarded.edge.proxy.log().contains("admin token is not replaced").then_some(()));
    assert_eq!(ask(TOKEN), 200);
    let fresh = "another-admin-token-of-this-test";
    guarded.directory.write("admin.token", fresh);
    eventually("the new token", || (ask(fresh) == 200).then_some(()));
    assert_eq!(ask(TOKEN), 401);
    assert!(!guarded.edge.proxy.log().contains(fresh));
}

#[test]
fn what_the_files_lack_is_a_configuration_error() {
    let directory = Directory::new();
    for (name, text, mode) in [
        ("short", "0123456789", 0o600),
        ("lines", "0123456789abcdef\n0123456789abcdef\n", 0o600),
        ("open", "0123456789abcdef\n", 0o666),
    ] {
        let path = directory.write(name, text);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    directory.write("empty.crt", "# none\n");
    directory.write("broken.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let config = |token: &str, ca: &str| {
        format!(
            "
listeners: [{{ address: 127.0.0.1:0 }}]
admin: {{ address: 127.0.0.1:0, token_file: {token} }}
upstreams: {{ items: {{ endpoints: ['127.0.0.1:1'] }} }}
routes: [{{ match: {{ path: / }}, auth: none, upstream: items }}]
revocation: {{ redis: {{ url: 'rediss://localhost', ca: {ca}, password_file: absent }} }}
"
        )
    };
    let (absent, useless) =
        ("cannot be read: No such file or directory", "does not hold certificates that can be used");
    for (token, error, ca, ca_error) in [
        ("absent", absent, "absent.crt", absent),
        ("short", "has 10 characters: one line of 16 to 256 visible ASCII characters", "empty.crt", useless),
        ("lines", "has more than one line", "broken.crt", useless),
        ("open", "may be written by every user of this machine", "absent.crt", absent),
    ] {
        let file = directory.write("cognigate.yaml", &config(token, ca));
        let mut process = Process::spawn(Command::new(BINARY).args(["check", "-c"]).arg(&file));
        assert_eq!(process.wait_exit(PATIENCE).and_then(|status| status.code()), Some(78), "{token}");
        let log = process.stderr().text();
        let lines: Vec<_> = log.lines().collect();
        assert!(lines[0].contains("cognigate.yaml: admin.token_file: ") && lines[0].contains(error), "{log}");
        assert!(lines[1].contains("revocation.redis.password_file: "), "{log}");
        assert!(lines[2].contains("revocation.redis.ca: ") && lines[2].contains(ca_error), "{log}");
        assert!(!log.contains("0123456789"), "{log}");
    }
}
