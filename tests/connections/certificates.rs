//! Certificates in files: what is wrong with them is said at the start, and what changes is taken over while serving.

use std::{
    process::{Command, Output},
    sync::Arc,
};

use e2e::{
    authority::{Authority, Issued},
    client::get,
    process::Directory,
    secure,
    secure::SecureClient,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{BINARY, await_metric, edge, metric, secure_listener};

const REST: &str = r#"
admin: { address: "127.0.0.1:0" }
upstreams: { items: { endpoints: ["127.0.0.1:1"] } }
routes: [{ match: { path: / }, auth: none, upstream: items }]
"#;

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

#[test]
fn what_is_wrong_with_a_file_is_said_and_nothing_served() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let good = authority.server(&["a.example", "b.example"]);
    good.write(&directory, "good");
    authority.server(&["c.example", "B.example"]).write(&directory, "other");
    authority.server(&[]).write(&directory, "nameless");
    directory.write("text", "not PEM");
    directory.write("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let pair = |cert: &str, key: &str| format!("certificates: [{{ cert: {cert}, key: {key} }}]");
    let certs = "listeners[0].tls.certificates[0]";
    for (tls, error) in [
        (pair("absent", "good.key"), format!("{certs}.cert: DIR/absent: cannot be read: No such file or directory (os error 2)")),
        (pair("good.crt", "absent"), format!("{certs}.key: DIR/absent: cannot be read: No such file or directory (os error 2)")),
        (pair("text", "good.key"), format!("{certs}.cert: DIR/text: no certificate is in it (PEM, BEGIN CERTIFICATE)")),
        (pair("broken", "good.key"), format!("{certs}.cert: DIR/broken: not a certificate (X.509)")),
        (pair("good.crt", "good.crt"), format!("{certs}.key: DIR/good.crt: no private key is in it (PEM, BEGIN PRIVATE KEY, without a passphrase)")),
        (pair("good.crt", "other.key"), format!("{certs}.key: DIR/other.key: is not the key of DIR/good.crt")),
        (pair("nameless.crt", "nameless.key"), format!("{certs}.cert: DIR/nameless.crt: the certificate has no names (subjectAltName): every client would refuse it")),
        (
            "certificates: [{ cert: good.crt, key: good.key }, { cert: other.crt, key: other.key }]".to_owned(),
            "listeners[0].tls.certificates[1].cert: DIR/other.crt: is a certificate for \"b.example\", and so is DIR/good.crt".to_owned(),
        ),
        (format!("{}, client_ca: text", pair("good.crt", "good.key")), "listeners[0].tls.client_ca: DIR/text: no certificate is in it (PEM, BEGIN CERTIFICATE)".to_owned()),
    ] {
        let config = format!("listeners: [{{ address: 127.0.0.1:0, tls: {{ {tls} }} }}]\n{REST}");
        let file = directory.write("cognigate.yaml", &config);
        let expected = format!("{}: {}\n", file.display(), error.replace("DIR", directory.path("").to_str().unwrap().trim_end_matches('/')));
        for command in ["check", "run"] {
            let Output { status, stderr, .. } = Command::new(BINARY).args([command, "-c"]).arg(&file).output().unwrap();
            assert_eq!((status.code(), &*String::from_utf8_lossy(&stderr)), (Some(78), &*expected), "{command}");
        }
    }
    directory.write(
        "cognigate.yaml",
        &format!("listeners: [{{ address: 127.0.0.1:0, tls: {{ {} }} }}]\n{REST}", pair("good.crt", "good.key")),
    );
    assert!(
        Command::new(BINARY).args(["check", "-c"]).arg(directory.path("cognigate.yaml")).status().unwrap().success()
    );
}

#[test]
fn a_new_pair_is_taken_over_a_bad_one_is_not_and_nobody_is_cut_off() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let old = authority.server(&["localhost"]);
    let edge = edge(&[("listeners", &secure_listener(&directory, &[("server", &old)], ""))]);
    // Each knows nothing of the others: a session that is resumed goes on with the certificate that it began with.
    let config = || Arc::new(secure::config(&authority, None));
    let connect = || SecureClient::connect(edge.proxy.address(), config(), "localhost").unwrap();
    let reloads = |result| [("result", result)];
    let name = "cognigate_tls_certificate_reloads_total";
    assert!(metric(&edge, "cognigate_tls_certificate_expiry_timestamp_seconds", &[]) > 1.7e9);

    let mut client = connect();
    assert_eq!(client.ask(&get("/open/1")).status, 200);
    assert_eq!(client.shown(), Some(der(&old)));
    let new = authority.server(&["localhost"]);
    new.write(&directory, "server");
    await_metric(&edge, name, &reloads("success"), 1.0);
    assert_eq!(connect().shown(), Some(der(&new)), "who comes is shown the new one");
    assert_eq!(client.ask(&get("/open/2")).status, 200, "who is there stays");

    directory.write("server.key", &old.key);
    await_metric(&edge, name, &reloads("failure"), 1.0);
    assert_eq!(connect().shown(), Some(der(&new)), "a pair that does not fit is not taken over");
    assert!(edge.proxy.log().contains("is not the key of"), "{}", edge.proxy.log());
    assert_eq!(client.ask(&get("/open/3")).status, 200);
    assert!(!edge.proxy.log().contains("PRIVATE KEY"), "{}", edge.proxy.log());
}

#[test]
fn a_configuration_whose_certificates_cannot_be_read_is_not_taken_over() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let issued = authority.server(&["localhost"]);
    let listener = secure_listener(&directory, &[("server", &issued)], "");
    let edge = edge(&[("listeners", &listener)]);
    let key = directory.path("server.key");
    std::fs::remove_file(&key).unwrap();
    edge.rewrite(&[("listeners", &listener), ("limits", "{ connections: 1 }")]);
    edge.proxy.signal("HUP");
    let name = "cognigate_config_reloads_total";
    await_metric(&edge, name, &[("result", "failure")], 1.0);
    assert_eq!(metric(&edge, name, &[("result", "success")]), 0.0);
    let fault = format!("listeners[0].tls.certificates[0].key: {}: cannot be read", key.display());
    assert!(edge.proxy.log().contains(&fault), "{}", edge.proxy.log());
    let config = Arc::new(secure::config(&authority, None));
    let mut client = SecureClient::connect(edge.proxy.address(), config, "localhost").unwrap();
    assert_eq!(client.ask(&get("/open/1")).status, 200);

    issued.write(&directory, "server");
    edge.proxy.signal("HUP");
    await_metric(&edge, name, &[("result", "success")], 1.0);
}
