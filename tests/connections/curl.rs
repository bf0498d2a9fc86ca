//! `curl`, as people use it: over HTTP/2 through what is asked of a caller.

use e2e::{authority::Authority, process::Directory};
use serde_json::json;

use crate::{edge, run, secure_listener};

#[test]
fn curl_is_let_in_with_a_token_and_refused_without_over_http_2() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let listener = secure_listener(&directory, &[("server", &authority.server(&["localhost"]))], "");
    let edge = edge(&[("listeners", &listener), ("identity", "{ headers: { x-sub: sub } }")]);
    let root = directory.write("root.crt", &authority.pem());
    let url = format!("https://localhost:{}/items/1", edge.proxy.address().port());
    let ask = |more: &[&str]| {
        let format = "\n%{http_version} %{http_code} %header{www-authenticate}";
        let all = ["-sS", "--http2", "--cacert", root.to_str().unwrap(), "-w", format, &url];
        let output = run("curl", &[&all, more].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let token = edge.pool.id_token(&json!({ "sub": "alice" }));
    let said = ask(&["-H", &format!("Authorization: Bearer {token}"), "-d", "one=1"]);
    assert!(said.contains(r#""body":"one=1","method":"POST""#) && said.ends_with("\n2 200 "), "{said}");
    let seen = edge.upstream.take_request();
    assert_eq!((seen.header("x-sub"), seen.header("x-forwarded-proto")), (Some("alice"), Some("https")));

    let unauthorized = "{\"message\":\"Unauthorized\"}\n2 401 Bearer realm=\"cognigate\"";
    assert_eq!(ask(&[]), unauthorized);
    let expired = edge.pool.id_token(&json!({ "iat": 1_000, "exp": 2_000 }));
    let said = ask(&["-H", &format!("Authorization: Bearer {expired}")]);
    let reason = r#", error="invalid_token", error_description="token_expired""#;
    assert_eq!(said, [unauthorized, reason].concat());
    assert!(edge.upstream.take_requests().is_empty());
}
