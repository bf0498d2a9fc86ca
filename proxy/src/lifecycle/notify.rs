//! Tells a service manager what the process does, as systemd's `sd_notify(3)` has it.
//!
//! Where there is no `NOTIFY_SOCKET` nobody is told. A message that cannot be sent is logged and lost: no manager is a reason
//! not to serve.

use std::{
    ffi::OsString,
    io,
    os::unix::{ffi::OsStrExt, net::UnixDatagram},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// How long a manager may take to take a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// What a service manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// This process is the service from now on.
    MainPid(u32),
    /// Requests are served.
    Ready,
    /// The configuration is being loaded; [`Ready`](Self::Ready) follows, whatever comes of it.
    Reloading,
    /// The process is about to end.
    Stopping,
    /// The process still runs.
    Watchdog,
}

/// The way to the service manager, if there is one.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Finds the manager with `variable`, which reads the environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    #[must_use]
    pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let Some(path) = variable("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Self::default();
        };
        let socket = connect(path.as_bytes())
            .inspect_err(|error| tracing::warn!(%error, ?path, "cannot reach the service manager at NOTIFY_SOCKET"));
        let number = |name| variable(name)?.into_string().ok()?.parse::<u64>().ok();
        // Said for another process, it is not meant for this one.
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let micros = number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0);
        Self { socket: socket.ok(), watchdog: micros.map(Duration::from_micros) }
    }

    /// Says what the process does now.
    pub fn say(&self, state: State) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(message(state).as_bytes()) {
            tracing::warn!(%error, ?state, "cannot tell the service manager");
        }
    }

    /// Says again and again that the process still runs, twice as often as the manager asks for. Never done.
    pub async fn keep_watchdog(&self) {
        match self.watchdog.filter(|_| self.socket.is_some()) {
            None => std::future::pending().await,
            Some(limit) => loop {
                tokio::time::sleep(limit / 2).await;
                self.say(State::Watchdog);
            },
        }
    }
}

fn message(state: State) -> String {
    match state {
        State::MainPid(pid) => format!("MAINPID={pid}"),
        State::Ready => "READY=1".to_owned(),
        State::Reloading => {
            let now = clock_gettime(ClockId::Monotonic);
            let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
            format!("RELOADING=1\nMONOTONIC_USEC={micros}")
        }
        State::Stopping => "STOPPING=1".to_owned(),
        State::Watchdog => "WATCHDOG=1".to_owned(),
    }
}

/// A path, or behind an `@` a name in Linux' abstract namespace.
fn connect(path: &[u8]) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    match path.strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
            socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
        }
        _ => socket.connect(std::ffi::OsStr::from_bytes(path))?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog(variables: &[(&str, &str)]) -> Option<Duration> {
        let find = |name: &str| variables.iter().find_map(|(known, value)| (*known == name).then(|| (*value).into()));
        Notifier::find(find).watchdog
    }

    #[test]
    fn a_watchdog_is_kept_if_it_is_meant_for_this_process() {
        let socket = ("NOTIFY_SOCKET", "@cognigate-nobody");
        let own = std::process::id().to_string();
        let limit = Some(Duration::from_millis(1500));
        assert_eq!(watchdog(&[socket, ("WATCHDOG_USEC", "1500000")]), limit);
        assert_eq!(watchdog(&[socket, ("WATCHDOG_USEC", "1500000"), ("WATCHDOG_PID", &own)]), limit);
        assert_eq!(watchdog(&[socket, ("WATCHDOG_USEC", "1500000"), ("WATCHDOG_PID", "1")]), None);
        assert_eq!(watchdog(&[socket, ("WATCHDOG_USEC", "0")]), None);
        assert_eq!(watchdog(&[socket, ("WATCHDOG_USEC", "soon")]), None);
        assert_eq!(watchdog(&[("WATCHDOG_USEC", "1500000")]), None);
    }

    #[test]
    fn what_is_said_reaches_an_abstract_socket() {
        use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
        let name = format!("cognigate-notify-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let notifier = Notifier::find(|variable| (variable == "NOTIFY_SOCKET").then(|| format!("@{name}").into()));
        for (state, expected) in [
            (State::Ready, "READY=1"),
            (State::MainPid(7), "MAINPID=7"),
            (State::Stopping, "STOPPING=1"),
            (State::Watchdog, "WATCHDOG=1"),
            (State::Reloading, "RELOADING=1\nMONOTONIC_USEC="),
        ] {
            notifier.say(state);
            let mut bytes = [0; 256];
            let length = manager.recv(&mut bytes).unwrap();
            let message = str::from_utf8(&bytes[..length]).unwrap();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
