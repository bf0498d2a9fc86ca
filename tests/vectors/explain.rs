//! The vectors through `cognigate explain`: a process each, several at a time.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use e2e::{key_server::KeyServer, process::Directory, upstream::Answer};

use crate::{
    live::BINARY,
    table::{Sources, TABLE, Vector, assert_none},
    world,
};

/// Routes of pools whose keys are not in `main_keys`: their keys are fetched, or not to be had.
const ROUTES_WITHOUT_FILE: [&str; 3] = ["both", "cold", "other"];

/// More than there are cores, for a process also waits.
const WORKERS: usize = 4;

/// The files that the command reads, and the keys that it fetches.
struct Desk {
    directory: Directory,
    configs: [(Sources, PathBuf); 2],
    jwks: PathBuf,
    _keys: [KeyServer; 2],
}

impl Desk {
    fn new() -> Self {
        let keys = [world::main_keys(), world::other_keys()].map(|keys| KeyServer::start(Answer::json(200, &keys)));
        let directory = Directory::new();
        let revoked = directory.write("revoked.yaml", &world::revocation_file()).display().to_string();
        let config = |sources| world::config(sources, &keys[0].uri(), &keys[1].uri(), "127.0.0.1:1", &revoked);
        let write = |sources: Sources| (sources, directory.write(&format!("{sources:?}.yaml"), &config(sources)));
        let configs = [Sources::CookieAndHeader, Sources::Header].map(write);
        let jwks = directory.write("main.jwks", &world::main_keys());
        Self { configs, jwks, directory, _keys: keys }
    }

    fn explain(&self, number: usize, vector: &Vector, credential: Option<&str>) -> Output {
        let (_, config) = self.configs.iter().find(|(sources, _)| *sources == vector.request.sources).unwrap();
        let mut command = Command::new(BINARY);
        command.args(["explain", "--request", &format!("{} {}", vector.request.method, vector.target())]);
        command.arg("-c").arg(config).args(["--host", vector.request.host.unwrap()]);
        if let Some(credential) = credential {
            command.arg("--token-file").arg(self.directory.write(&format!("{number}.token"), credential));
        }
        if !ROUTES_WITHOUT_FILE.contains(&vector.route) {
            command.arg("--jwks").arg(&self.jwks);
        }
        command.env_clear().stdin(Stdio::null()).output().unwrap()
    }
}

/// What is wrong about an explanation.
fn fault(vector: &Vector, output: &Output) -> Option<String> {
    let verdict = vector.verdict;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |name: &str| text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
    let found = (output.status.code(), line("reason "), line("status "));
    let (exit, status) = match verdict.is_admitted() {
        true => (0, "the upstream's".to_owned()),
        false => (1, verdict.status.to_string()),
    };
    let is_signature_shown = vector.request.fields.iter().any(|(_, value)| {
        value.rsplit_once('.').is_some_and(|(_, signature)| signature.len() > 100 && text.contains(signature))
    });
    if found != (Some(exit), Some(verdict.reason.to_owned()), Some(status)) {
        Some(format!("{vector}, explained as {found:?}\n{text}{}", String::from_utf8_lossy(&output.stderr)))
    } else {
        is_signature_shown.then(|| format!("{vector}, explained with the signature"))
    }
}

#[test]
fn explain_gives_each_vector_its_reason_and_status() {
    let desk = Desk::new();
    let askable = TABLE.iter().filter_map(|vector| Some((vector, vector.credential()?)));
    let askable: Vec<_> = askable.collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let (number, Some((vector, credential))) = take(&next, &askable) {
                    let output = desk.explain(number, vector, *credential);
                    failures.lock().unwrap().extend(fault(vector, &output));
                }
            });
        }
    });
    assert_none(&failures.into_inner().unwrap());
    assert!(askable.len() >= 600, "only {} vectors are for explain", askable.len());
}

fn take<'t, T>(next: &AtomicUsize, all: &'t [T]) -> (usize, Option<&'t T>) {
    let number = next.fetch_add(1, Ordering::Relaxed);
    (number, all.get(number))
}
