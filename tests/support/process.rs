//! Processes that a test starts, and that end with it at the latest.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    client::{Client, Response, get},
    metrics::Metrics,
    wait::{PATIENCE, Watched, eventually, within},
};

/// The name of the configuration in its directory.
const FILE: &str = "cognigate.yaml";

/// A directory that is removed when this is dropped.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// An empty directory among the temporary files.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cognigate-e2e-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and returns its path.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The lines that a process writes. Clones are the same lines.
#[derive(Clone, Debug, Default)]
pub struct Output(Arc<Watched<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    is_complete: bool,
}

impl Output {
    fn capture(stream: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let shared = output.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                shared.0.with(|output| output.lines.push(line));
            }
            shared.0.with(|output| output.is_complete = true);
        });
        output
    }

    /// What `look` finds in the first line in which it finds something.
    ///
    /// # Panics
    ///
    /// If there is no such line after [`PATIENCE`], or the process closes the stream without it.
    #[track_caller]
    pub fn find<R>(&self, what: &str, look: impl Fn(&str) -> Option<R>) -> R {
        let found = self.0.find(PATIENCE, |output| match output.lines.iter().find_map(|line| look(line)) {
            None if output.is_complete => Some(None),
            None => None,
            found => Some(found),
        });
        found.flatten().unwrap_or_else(|| panic!("no {what} in:\n{}", self.text()))
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.0.with(|output| output.lines.join("\n"))
    }

    fn await_end(&self) {
        self.0.find(PATIENCE, |output| output.is_complete.then_some(()));
    }
}

/// A running process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

impl Process {
    /// Starts a command. Of the environment it has what the command says, and nothing of this process'.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_with_input(command.stdin(Stdio::null()))
    }

    /// The same, with the standard input that the command says.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn spawn_with_input(command: &mut Command) -> Self {
        let own = |(name, value): (&OsStr, Option<&OsStr>)| Some((name.to_owned(), value?.to_owned()));
        let own: Vec<_> = command.get_envs().filter_map(own).collect();
        let command = command.env_clear().envs(own).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Output::capture(child.stdout.take().unwrap());
        let stderr = Output::capture(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// What it writes to standard output.
    pub fn stdout(&self) -> &Output {
        &self.stdout
    }

    /// What it writes to standard error.
    pub fn stderr(&self) -> &Output {
        &self.stderr
    }

    /// Sends a signal: `TERM`, `INT`.
    ///
    /// # Panics
    ///
    /// If it cannot be sent.
    pub fn signal(&self, name: &str) {
        assert!(send_signal(name, self.id()), "{name}");
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; `None` if it still runs after `limit`. Another process may still write where it wrote.
    ///
    /// # Panics
    ///
    /// If the system does not tell.
    pub fn wait_status(&mut self, limit: Duration) -> Option<ExitStatus> {
        within(limit, || self.child.try_wait().unwrap())
    }

    /// How it ended; `None` if it still runs after `limit`. All that it wrote can be read from here on.
    ///
    /// # Panics
    ///
    /// If the system does not tell.
    pub fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        let status = self.wait_status(limit)?;
        self.stdout.await_end();
        self.stderr.await_end();
        Some(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only if the process is gone.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal to a process that a test started, if it still runs.
fn send_signal(name: &str, process: u32) -> bool {
    // `kill` is built into every shell, and a program of its own on most systems only.
    let kill = format!("kill -s {name} {process}");
    Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().unwrap().success()
}

/// `cognigate run` with a configuration of its own, one listener and the admin listener.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    address: SocketAddr,
    admin: SocketAddr,
    directory: Directory,
}

impl Proxy {
    /// Starts the proxy and waits until its listeners are bound.
    ///
    /// # Panics
    ///
    /// If it does not start, with what it logged.
    #[track_caller]
    pub fn start(binary: &str, config: &str) -> Self {
        Self::start_logging(binary, "info", config)
    }

    /// The same, with `log` in `COGNIGATE_LOG`.
    #[track_caller]
    pub(crate) fn start_logging(binary: &str, log: &str, config: &str) -> Self {
        Self::start_in(Directory::new(), config, |file| {
            Process::spawn(Command::new(binary).env("COGNIGATE_LOG", log).args(["run", "-c"]).arg(file))
        })
    }

    /// Starts the proxy by `spawn`, which is given the path of the configuration, and waits until its listeners are bound.
    ///
    /// # Panics
    ///
    /// If it does not start, with what it logged.
    #[track_caller]
    pub fn start_in(directory: Directory, config: &str, spawn: impl FnOnce(&Path) -> Process) -> Self {
        let process = spawn(&directory.write(FILE, config));
        let bound = |listener| process.stderr().find(listener, |line| bound_address(line, listener));
        let (address, admin) = (bound("listener=http"), bound("listener=admin"));
        Self { process, address, admin, directory }
    }

    /// Puts another configuration in the place of the file, at once and whole.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn rewrite(&self, config: &str) {
        let fresh = self.directory.write("fresh.yaml", config);
        fs::rename(fresh, self.directory.path(FILE)).unwrap();
    }

    /// Where the configuration is, and whatever else belongs to this proxy.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Where requests are, or were, served: every address so far, in the order in which they were bound.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.log().lines().filter_map(|line| bound_address(line, "listener=http")).collect()
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The process that the sockets were handed to last, if they were.
    pub fn successor(&self) -> Option<u32> {
        self.processes("handed over").pop()
    }

    /// Sends a signal to the process that the sockets were handed to last.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn signal_successor(&self, name: &str) {
        assert!(send_signal(name, self.successor().unwrap()), "{name}");
    }

    /// The processes of which the log says this.
    fn processes(&self, what: &str) -> Vec<u32> {
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains(what));
        lines.filter_map(|line| line.split("pid=").nth(1)?.split_whitespace().next()?.parse().ok()).collect()
    }

    /// Where requests are served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin listener is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// A `GET` to the admin listener.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    #[track_caller]
    pub fn admin(&self, path: &str) -> Response {
        Client::connect(self.admin).ask(&get(path))
    }

    /// What `/metrics` says now.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(self.admin("/metrics").text())
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[track_caller]
    pub fn wait_ready(&self) {
        eventually("ready", || (self.admin("/readyz").status == 200).then_some(()));
    }

    /// Sends a signal: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// How it ended; `None` if it still runs after `limit`.
    pub fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.process.wait_exit(limit)
    }

    /// How the process ended that was started first, and handed its sockets over; `None` if it still runs after `limit`.
    pub fn wait_exit_of_first(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.process.wait_status(limit)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.process.stderr().text()
    }

    /// Waits for a line of the log.
    ///
    /// # Panics
    ///
    /// If it does not come.
    #[track_caller]
    pub fn await_log(&self, what: &str, is_it: impl Fn(&str) -> bool) {
        self.process.stderr().find(what, |line| is_it(line).then_some(()));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // They are nobody's children any more. Those that have ended are not there to be ended.
        for process in self.processes("started a process") {
            send_signal("KILL", process);
        }
    }
}

/// The address, if this line of the log says that the listener is bound.
fn bound_address(line: &str, listener: &str) -> Option<SocketAddr> {
    let line = line.replace('"', "");
    let mut words = line.split_whitespace();
    let is_bound = ["listening", listener].iter().all(|wanted| words.clone().any(|word| word == *wanted));
    words.find_map(|word| word.strip_prefix("address=")?.parse().ok()).filter(|_| is_bound)
}
