//! TLS as clients see it: which certificate, which version, resumed or not, HTTP/2 or not.

use std::{io::Write, net::TcpStream, sync::Arc};

use e2e::{authority::Authority, client::get, edge::Edge, process::Directory, secure, secure::SecureClient};

use crate::{await_metric, edge, run, s_client, secure_listener};

fn secure_edge(authority: &Authority, directory: &Directory) -> Edge {
    let listener = secure_listener(directory, &[("server", &authority.server(&["localhost"]))], "");
    edge(&[("listeners", &listener)])
}

#[test]
fn a_certificate_is_chosen_by_the_name_that_the_client_asks_for() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let issued = [&["first.example"][..], &["*.example.com"], &["api.example.com", "www.example.org"]];
    let issued = issued.map(|names| authority.server(names));
    let certificates = [("first", &issued[0]), ("wildcard", &issued[1]), ("exact", &issued[2])];
    let edge = edge(&[("listeners", &secure_listener(&directory, &certificates, ""))]);
    for (name, shown) in [
        ("first.example", "first.example"),
        ("api.example.com", "api.example.com"),
        ("WWW.example.org", "api.example.com"),
        ("www.example.com", "*.example.com"),
        ("a.www.example.com", "first.example"),
        ("other.example", "first.example"),
    ] {
        let (is_well, said) = s_client(&edge, &["-servername", name]);
        assert!(is_well && said.contains(&format!("subject=CN = {shown}\n")), "{name}: {said}");
    }
    let (is_well, said) = s_client(&edge, &["-noservername"]);
    assert!(is_well && said.contains("subject=CN = first.example\n"), "{said}");
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_sessions_resumed() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let edge = secure_edge(&authority, &directory);
    for version in ["-tls1_2", "-tls1_3"] {
        let session = directory.path(version);
        let session = session.to_str().unwrap();
        let address = edge.proxy.address().to_string();
        let ask = |flag: &str| {
            // A ticket of TLS 1.3 comes after the handshake: with the answer to a request at the latest.
            let command = format!(
                "printf 'GET /open/1 HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' | \
                 openssl s_client -connect {address} {version} {flag} {session} -ign_eof 2>&1"
            );
            String::from_utf8_lossy(&run("sh", &["-c", &command]).stdout).into_owned()
        };
        let first = ask("-sess_out");
        assert!(first.contains("New, TLSv1.") && first.contains("HTTP/1.1 200 OK"), "{version}: {first}");
        let second = ask("-sess_in");
        assert!(second.contains("Reused, TLSv1.") && second.contains("HTTP/1.1 200 OK"), "{version}: {second}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let (is_well, said) = s_client(&edge, &[version, "-cipher", "DEFAULT@SECLEVEL=0"]);
        assert!(!is_well, "{version}: {said}");
    }
    await_metric(&edge, "cognigate_tls_handshake_failures_total", &[], 2.0);
}

#[test]
fn keys_are_agreed_on_so_that_no_quantum_computer_reads_them_later() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let edge = secure_edge(&authority, &directory);
    let config = Arc::new(secure::config(&authority, None));
    let mut client = SecureClient::connect(edge.proxy.address(), config, "localhost").unwrap();
    assert_eq!(client.ask(&get("/open/1")).status, 200);
    assert_eq!(client.key_exchange(), Some(rustls::NamedGroup::X25519MLKEM768));
    assert_eq!(client.protocol(), None, "HTTP/1.1 with who offers nothing else");
}

#[test]
fn curl_speaks_http_2_and_the_upstream_learns_of_tls() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let edge = secure_edge(&authority, &directory);
    let root = directory.write("root.crt", &authority.pem());
    let url = format!("https://localhost:{}/open/1", edge.proxy.address().port());
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let format = "%{http_code} %{http_version}";
        let arguments = ["-sS", option, "--cacert", root.to_str().unwrap(), "-o", "/dev/null", "-w", format, &url];
        let output = run("curl", &arguments);
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("200 {version}"), "{output:?}");
        let seen = edge.upstream.take_request();
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"), "{option}");
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"), "{option}");
    }
}

#[test]
fn what_is_no_handshake_ends_one_connection_and_nothing_else() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let edge = secure_edge(&authority, &directory);
    for bytes in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", &[0; 100]] {
        let mut stream = TcpStream::connect(edge.proxy.address()).unwrap();
        stream.write_all(bytes).unwrap();
    }
    await_metric(&edge, "cognigate_tls_handshake_failures_total", &[], 3.0);
    let config = Arc::new(secure::config(&authority, None));
    let mut client = SecureClient::connect(edge.proxy.address(), config, "localhost").unwrap();
    assert_eq!(client.ask(&get("/open/1")).status, 200);
    assert!(!edge.proxy.log().contains("handshake"), "nothing a stranger sends fills the log: {}", edge.proxy.log());
}
