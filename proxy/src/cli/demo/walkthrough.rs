//! What the demo prints: lines to paste, each with the status that it gives.

use std::{fmt::Write as _, net::SocketAddr};

use cognigate_auth::{clock::Clock, local_pool::LocalPoolError};

use super::user_pool::DemoPool;

/// The walk-through, for a proxy that listens at `proxy` and is watched at `admin`.
pub(super) fn lines(
    pool: &DemoPool,
    proxy: Option<SocketAddr>,
    admin: SocketAddr,
    clock: &dyn Clock,
) -> Result<String, LocalPoolError> {
    let now = clock.now();
    let base = proxy.map_or_else(String::new, |address| format!("http://{address}"));
    let id_token = pool.id_token(now)?;
    let bare = |token: &str| format!(" -H 'Authorization: {token}'");
    let bearer = |token: &str| format!(" -H 'Authorization: Bearer {token}'");
    let mut text =
        String::from("\nCognigate is serving. Paste these lines into another terminal; Ctrl-C here stops it.\n");
    for (status, case, path, header) in [
        ("200", "allowed: an ID token, bare as API Gateway's clients send it", "/items/1", bare(&id_token)),
        (
            "200",
            "allowed: the same token as a bearer token (RFC 6750); it is remembered now",
            "/items/1",
            bearer(&id_token),
        ),
        ("200", "open: this route asks for no token", "/public/hello", String::new()),
        ("401", "no token", "/items/1", String::new()),
        ("401", "expired token", "/items/1", bearer(&pool.expired_token(now)?)),
        (
            "401",
            "tampered token: the claims were changed, the signature was not",
            "/items/1",
            bearer(&pool.tampered_token(now)?),
        ),
        ("401", "access token on a route that asks for an ID token", "/items/1", bearer(&pool.access_token(now)?)),
        ("403", "wrong group: the user is in `readers`, the route asks for `admins`", "/admin/1", bearer(&id_token)),
    ] {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n# {status} {case}\ncurl -i {base}{path}{header}\n");
    }
    let _ = write!(
        text,
        "\n# 200 metrics: what was decided, and why\ncurl -s http://{admin}/metrics | grep 'auth_decisions_total.* [1-9]'\n\n"
    );
    Ok(text)
}
