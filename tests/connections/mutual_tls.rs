//! Client certificates: who is let in, and what the upstream learns of them.

use std::sync::Arc;

use e2e::{
    authority::{Authority, Issued},
    client::get,
    edge::Edge,
    process::Directory,
    secure,
    secure::SecureClient,
};

use crate::{await_metric, edge, run, s_client, secure_listener};

const IDENTITY: &str = "{ client_certificate_headers: { x-client-subject: subject, x-client-san: san } }";

struct World {
    authority: Authority,
    clients: Authority,
    directory: Directory,
}

impl World {
    fn new() -> Self {
        let world =
            Self { authority: Authority::new("root"), clients: Authority::new("clients"), directory: Directory::new() };
        world.directory.write("clients.crt", &world.clients.pem());
        world
    }

    fn edge(&self, rule: &str) -> Edge {
        let more = format!(", client_ca: {:?}{rule}", self.directory.path("clients.crt"));
        let listener = secure_listener(&self.directory, &[("server", &self.authority.server(&["localhost"]))], &more);
        edge(&[("listeners", &listener), ("identity", IDENTITY)])
    }

    fn connect(&self, edge: &Edge, identity: Option<&Issued>) -> std::io::Result<SecureClient> {
        let config = Arc::new(secure::config(&self.authority, identity));
        SecureClient::connect(edge.proxy.address(), config, "localhost")
    }

    /// Whether a client is served. In TLS 1.3 it learns of its refusal with the first answer.
    fn is_served(&self, edge: &Edge, identity: Option<&Issued>) -> bool {
        let answer = self.connect(edge, identity).and_then(|mut client| client.try_ask(&get("/open/1")));
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

#[test]
fn only_who_has_a_certificate_of_the_authority_is_served() {
    let world = World::new();
    let edge = world.edge("");
    let (known, stranger) = (world.clients.client("known"), Authority::new("clients").client("known"));
    for (case, identity, is_served) in [
        ("known", Some(&known), true),
        ("none", None, false),
        ("of another authority of the name", Some(&stranger), false),
        ("a server's", Some(&world.authority.server(&["localhost"])), false),
    ] {
        assert_eq!(world.is_served(&edge, identity), is_served, "{case}");
    }
    await_metric(&edge, "cognigate_tls_handshake_failures_total", &[], 3.0);
    let (certificate, key) = known.write(&world.directory, "known");
    let pair = ["-cert", certificate.to_str().unwrap(), "-key", key.to_str().unwrap()];
    for version in ["-tls1_2", "-tls1_3"] {
        let (is_well, said) = s_client(&edge, &[&[version][..], &pair].concat());
        assert!(is_well && said.contains("CN = clients"), "{version}: {said}");
    }
    let (is_well, said) = s_client(&edge, &["-tls1_2"]);
    assert!(!is_well, "{said}");
}

#[test]
fn the_upstream_learns_whose_certificate_it_is() {
    let world = World::new();
    let edge = world.edge(", client_certificates: optional");
    let forged = get("/open/1").header("X-Client-Subject", "CN=admin").header("x_client_san", "dns:admin");
    let subject = "O=Example\\, Ltd,CN=known";
    for (identity, subject, san) in
        [(Some(world.clients.client("known")), Some(subject), Some("uri:spiffe://example/known")), (None, None, None)]
    {
        let mut client = world.connect(&edge, identity.as_ref()).unwrap();
        assert_eq!(client.ask(&forged).status, 200);
        let seen = edge.upstream.take_request();
        assert_eq!(seen.header("x-client-subject"), subject);
        assert_eq!((seen.header("x-client-san"), seen.header("x_client_san")), (san, None));
    }
    let stranger = Authority::new("strangers").client("known");
    assert!(!world.is_served(&edge, Some(&stranger)), "optional is not whatever one shows");
}

#[test]
fn a_plain_listener_has_no_certificates_and_believes_none() {
    let edge = edge(&[("identity", IDENTITY)]);
    let forged = get("/open/1").header("X-Client-Subject", "CN=admin");
    assert_eq!(edge.ask(&forged).status, 200);
    assert_eq!(edge.upstream.take_request().header("x-client-subject"), None);
}

#[test]
fn nobody_goes_on_with_what_another_authority_let_in() {
    let world = World::new();
    let edge = world.edge("");
    // The same configuration, so that a session would be resumed.
    let config = Arc::new(secure::config(&world.authority, Some(&world.clients.client("known"))));
    let connect = || SecureClient::connect(edge.proxy.address(), Arc::clone(&config), "localhost");
    for _ in 0..2 {
        assert_eq!(connect().unwrap().ask(&get("/open/1")).status, 200);
    }
    world.directory.write("clients.crt", &Authority::new("clients").pem());
    await_metric(&edge, "cognigate_tls_certificate_reloads_total", &[("result", "success")], 1.0);
    let answer = connect().and_then(|mut client| client.try_ask(&get("/open/1")));
    assert!(answer.is_err(), "{answer:?}");
}

#[test]
fn a_certificate_is_shown_and_verified_on_every_connection() {
    let world = World::new();
    let (certificate, key) = world.clients.client("known").write(&world.directory, "known");
    let identity = format!("-cert {} -key {}", certificate.display(), key.display());
    for rule in ["", ", client_certificates: optional"] {
        let edge = world.edge(rule);
        for version in ["-tls1_2", "-tls1_3"] {
            let session = world.directory.path(version);
            let address = edge.proxy.address();
            // A ticket of TLS 1.3 comes after the handshake: with the answer to a request at the latest.
            let command = format!(
                "printf 'GET /open/1 HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' | \
                 openssl s_client -connect {address} {version} {identity} -sess_out {} -ign_eof 2>&1",
                session.display()
            );
            let said = String::from_utf8_lossy(&run("sh", &["-c", &command]).stdout).into_owned();
            assert!(said.contains("HTTP/1.1 200 OK"), "{version}: {said}");
            assert!(!said.contains("session ticket"), "{version}: {said}");
            let (_, again) = s_client(&edge, &[version, "-sess_in", session.to_str().unwrap()]);
            assert!(!again.contains("Reused, "), "{version}: {again}");
        }
    }
}
