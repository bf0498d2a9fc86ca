//! What a service manager such as systemd passes to the proxy, and what it is told: `sd_listen_fds(3)`, `sd_notify(3)`.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use e2e::{
    client::{Client, get},
    process::{Directory, Process, Proxy},
    wait::{PATIENCE, eventually},
};

use crate::BINARY;

const CONFIG: &str = r#"
listeners: [{ address: "$HTTP" }]
admin: { address: 127.0.0.1:0 }
upstreams: { items: { endpoints: ["127.0.0.1:1"] } }
routes: [{ match: { path: / }, auth: none, upstream: items }]
"#;

/// What the proxy says to its service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(directory: &Directory) -> Self {
        let socket = UnixDatagram::bind(directory.path("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message.
    #[track_caller]
    fn hear(&self) -> String {
        let mut bytes = [0; 1024];
        let length = self.0.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }
}

fn start_with_manager(variables: &[(&str, &str)]) -> (Proxy, Manager) {
    let directory = Directory::new();
    let manager = Manager::listen(&directory);
    let socket = directory.path("notify");
    let proxy = Proxy::start_in(directory, &CONFIG.replace("$HTTP", "127.0.0.1:0"), |file| {
        let mut command = Command::new(BINARY);
        command.env("NOTIFY_SOCKET", &socket).envs(variables.iter().copied()).args(["run", "-c"]).arg(file);
        Process::spawn(&mut command)
    });
    (proxy, manager)
}

#[test]
fn a_service_manager_is_told_what_happens() {
    let (mut proxy, manager) = start_with_manager(&[]);
    assert_eq!(manager.hear(), "READY=1");
    assert_eq!(Client::connect(proxy.address()).ask(&get("/")).status, 502, "ready is serving");

    for config in [CONFIG.replace("$HTTP", "127.0.0.1:0"), "routes: [".to_owned()] {
        proxy.rewrite(&config);
        proxy.signal("HUP");
        let reloading = manager.hear();
        let moment = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").map(str::parse::<u64>);
        assert!(matches!(moment, Some(Ok(1..))), "{reloading}");
        assert_eq!(manager.hear(), "READY=1", "whatever came of it");
    }

    proxy.signal("TERM");
    assert_eq!(manager.hear(), "STOPPING=1");
    assert_eq!(proxy.wait_exit(PATIENCE).and_then(|status| status.code()), Some(0));
}

#[test]
fn a_hand_over_names_the_new_process_and_stops_nothing() {
    let (mut proxy, manager) = start_with_manager(&[]);
    assert_eq!(manager.hear(), "READY=1");
    proxy.signal("QUIT");
    let successor = eventually("handed over", || proxy.successor());
    assert_eq!(manager.hear(), format!("MAINPID={successor}"));
    assert_eq!(proxy.wait_exit_of_first(PATIENCE).and_then(|status| status.code()), Some(0));
    proxy.signal_successor("TERM");
    assert_eq!(manager.hear(), "STOPPING=1", "the only one that stops is the last");
}

#[test]
fn a_watchdog_is_told_that_the_process_runs() {
    let (_proxy, manager) = start_with_manager(&[("WATCHDOG_USEC", "200000")]);
    assert_eq!(manager.hear(), "READY=1");
    assert_eq!([manager.hear(), manager.hear()], ["WATCHDOG=1", "WATCHDOG=1"]);
}

/// A parent that passes one socket as descriptor 3, as systemd does. `$$` is the number of the process that `exec` becomes.
fn activated(socket: impl Into<OwnedFd>, name: &str, file: &Path) -> Process {
    let pass = r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" run -c "$1""#;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", pass, BINARY]).arg(file).env("LISTEN_FDNAMES", name).stdin(Stdio::from(socket.into()));
    Process::spawn_with_input(&mut command)
}

fn run_until_exit(socket: impl Into<OwnedFd>, name: &str, http: &str) -> (Option<i32>, String) {
    let directory = Directory::new();
    let file = directory.write("cognigate.yaml", &CONFIG.replace("$HTTP", http));
    let mut process = activated(socket, name, &file);
    let status = process.wait_exit(PATIENCE);
    (status.and_then(|status| status.code()), process.stderr().text())
}

/// A socket whose connections wait until somebody serves them.
fn bound() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[test]
fn a_socket_that_is_passed_is_served_and_can_be_handed_over() {
    let (socket, address) = bound();
    let mut early = Client::connect(address);
    early.send(get("/").to_bytes());
    let config = CONFIG.replace("$HTTP", &address.to_string());
    let mut proxy = Proxy::start_in(Directory::new(), &config, |file| activated(socket, "http", file));
    assert_eq!(proxy.address(), address);
    assert_eq!(early.response().status, 502, "it has waited since before the start");

    proxy.signal("QUIT");
    eventually("handed over", || proxy.successor());
    assert_eq!(proxy.wait_exit_of_first(PATIENCE).and_then(|status| status.code()), Some(0), "{}", proxy.log());
    assert_eq!(Client::connect(address).ask(&get("/")).status, 502);
}

#[test]
fn a_socket_that_no_listener_has_the_address_of_is_named() {
    let (socket, address) = bound();
    let (code, log) = run_until_exit(socket, "api.socket", "127.0.0.1:0");
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("api.socket") && log.contains(&address.to_string()), "{log}");
}

#[test]
fn a_descriptor_that_is_no_listener_is_named() {
    let (listener, address) = bound();
    let connected = std::net::TcpStream::connect(address).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    drop(listener);
    for socket in [OwnedFd::from(connected), OwnedFd::from(datagrams)] {
        let (code, log) = run_until_exit(socket, "api.socket", "127.0.0.1:0");
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("descriptor 0 of LISTEN_FDS (api.socket)"), "{log}");
    }
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let (socket, address) = bound();
    let pass = r#"exec 3<&0 0</dev/null; LISTEN_PID=1 LISTEN_FDS=1 exec "$0" run -c "$1""#;
    let config = CONFIG.replace("$HTTP", "127.0.0.1:0");
    let proxy = Proxy::start_in(Directory::new(), &config, |file| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", pass, BINARY]).arg(file).stdin(Stdio::from(OwnedFd::from(socket)));
        Process::spawn_with_input(&mut command)
    });
    assert_ne!(proxy.address(), address);
}

#[test]
fn a_manager_that_cannot_be_reached_stops_nobody() {
    let directory = Directory::new();
    let mut proxy = Proxy::start_in(directory, &CONFIG.replace("$HTTP", "127.0.0.1:0"), |file| {
        Process::spawn(Command::new(BINARY).env("NOTIFY_SOCKET", "/nowhere/notify").args(["run", "-c"]).arg(file))
    });
    assert_eq!(Client::connect(proxy.address()).ask(&get("/")).status, 502);
    proxy.signal("TERM");
    assert_eq!(proxy.wait_exit(Duration::from_secs(5)).and_then(|status| status.code()), Some(0));
}

#[test]
fn the_limit_on_open_files_is_raised_and_said_to_be_short_where_it_is() {
    let start = |connections: &str, hard: &str| {
        let config = CONFIG.replace("$HTTP", "127.0.0.1:0") + &format!("limits: {{ connections: {connections} }}\n");
        let raise = format!(r#"ulimit -Sn 128; ulimit -Hn {hard}; exec "$0" run -c "$1""#);
        let proxy = Proxy::start_in(Directory::new(), &config, |file| {
            Process::spawn(Command::new("/bin/sh").args(["-c", &raise, BINARY]).arg(file))
        });
        assert!(proxy.log().contains("raised the limit on open files"), "{}", proxy.log());
        proxy
    };
    let is_short = |proxy: &Proxy| proxy.log().contains("limits.connections does not fit");
    assert!(!is_short(&start("100", "512")));
    assert!(is_short(&start("300", "512")));
}
