//! Many at once: what thousands of connections cost, and what a hundred requests at a time on one come to.
//!
//! Each test says what it measured, on standard error. They take turns, so that none measures another. They need Linux, which
//! says how much memory a process has, `h2load`, and a hard limit of more than 10,000 open files.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper that panics fails the test that asked for it")]

mod access_log;
mod idle;
mod slow;
mod streams;

use std::{
    fmt::Arguments,
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

use e2e::{authority::Authority, edge::Edge, process::Directory};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The proxy.
const BINARY: &str = env!("CARGO_BIN_EXE_cognigate-e2e");

/// What is open beside the connections of a test.
const SPARE: u64 = 200;

/// Waits until no other test runs. A test that failed does not matter to the next.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets this process have so many connections. The proxy sees to its own.
///
/// # Panics
///
/// If the system does not allow so many.
#[track_caller]
fn allow_connections(count: usize) {
    let needed = u64::try_from(count).unwrap() + SPARE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    assert!(
        maximum.is_none_or(|maximum| maximum >= needed),
        "{needed} files must be open at a time, and {} may be: raise the hard limit (ulimit -Hn {needed})",
        maximum.unwrap_or_default()
    );
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum }).unwrap();
}

/// Says what was measured, also when the test does not fail.
fn say(what: Arguments<'_>) {
    // Nobody may be listening any more.
    drop(writeln!(io::stderr().lock(), "{what}"));
}

/// A proxy that speaks TLS, for `localhost`, and the files that it needs.
struct Secure {
    edge: Edge,
    authority: Authority,
    directory: Directory,
}

impl Secure {
    #[track_caller]
    fn start(sections: &[(&str, &str)]) -> Self {
        let (authority, directory) = (Authority::new("root"), Directory::new());
        let (certificate, key) = authority.server(&["localhost"]).write(&directory, "server");
        let listeners = format!(
            "[{{ address: 127.0.0.1:0, tls: {{ certificates: [{{ cert: {certificate:?}, key: {key:?} }}] }} }}]"
        );
        let edge = Edge::start(BINARY, &[&[("listeners", &*listeners)], sections].concat());
        Self { edge, authority, directory }
    }
}
