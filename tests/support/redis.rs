//! A real `redis-server`, which tests stop and start.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Duration,
};

use crate::{
    loopback,
    process::{Directory, Process},
    wait::eventually,
};

/// How long a Redis may take to be gone after it was killed.
const EXIT: Duration = Duration::from_secs(5);

/// A Redis on an address of its own. Keeps nothing on disk: after a restart it is empty.
#[derive(Debug)]
pub struct Redis {
    process: Option<Process>,
    host: String,
    port: u16,
    options: Vec<String>,
    directory: Directory,
}

impl Redis {
    /// Starts one and waits until it can be connected to. `options`: as on its command line.
    ///
    /// # Panics
    ///
    /// If `redis-server` (Debian: the package of that name) is not installed.
    #[track_caller]
    pub fn start(options: &[&str]) -> Self {
        Self::start_with(|_| options.iter().map(|option| (*option).to_owned()).collect())
    }

    /// The same with options that depend on where it will be.
    #[track_caller]
    pub fn start_with(options: impl FnOnce(&Self) -> Vec<String>) -> Self {
        // An address that no other test listens on, so that the port is free each time that Redis comes back.
        let host = loopback::address().to_string();
        let mut redis = Self { process: None, host, port: 6379, options: Vec::new(), directory: Directory::new() };
        redis.options = options(&redis);
        redis.restart();
        redis
    }

    /// Where it is: `HOST:PORT`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The IP address that it listens on.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its configuration key's value: a plain connection with a short timeout.
    pub fn section(&self) -> String {
        format!("{{ url: \"redis://{}\", timeout: 2s }}", self.address())
    }

    /// Kills it. Connections break, and no new one can be made.
    ///
    /// # Panics
    ///
    /// If it is still there afterwards.
    #[track_caller]
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal("KILL");
        process.wait_exit(EXIT).expect("killed");
    }

    /// Starts it once more, with nothing in it.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[track_caller]
    pub fn restart(&mut self) {
        let program =
            ["/usr/bin/redis-server", "/usr/local/bin/redis-server"].into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("redis-server is not installed: apt-get install redis-server");
        let mut command = Command::new(program);
        command.args(["--bind", &self.host, "--save", "", "--appendonly", "no", "--protected-mode", "no", "--dir"]);
        command.arg(self.directory.path("")).args(&self.options);
        if !self.options.iter().any(|option| option == "--port") {
            command.args(["--port", &self.port.to_string()]);
        }
        self.process = Some(Process::spawn(&mut command));
        eventually("redis", || TcpStream::connect(self.address()).ok());
    }

    /// Has it do something, and returns the first line of its answer. `command`: as it is typed.
    ///
    /// # Panics
    ///
    /// If it does not answer, or with an error.
    #[track_caller]
    pub fn command(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("it runs");
        stream.write_all(format!("{command}\r\n").as_bytes()).expect("it listens");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("it answers");
        assert!(!answer.is_empty() && !answer.starts_with('-'), "{command}: {answer}");
        answer
    }

    /// Writes a file next to it and returns its path.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.directory.path(name);
        fs::write(&path, text).expect("a file in a directory of ours");
        path.display().to_string()
    }
}
