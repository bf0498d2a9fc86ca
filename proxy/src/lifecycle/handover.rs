//! Hands the listening sockets to a new process, so that another version or configuration serves without a refused connection.
//!
//! 1. The old process starts the program that it was started as, with the same arguments. Standard input of the new process is
//!    a socket, on which the listening sockets are waiting (`SCM_RIGHTS`), and `COGNIGATE_HANDOVER` says so.
//! 2. The new process reads its configuration, takes the sockets that it has listeners for, and gets everything that its
//!    routes need. The old one serves all the while.
//! 3. The new process says that it is ready; the old one answers, and takes no new connection any more. Those that wait to be
//!    accepted are in the sockets, which both have.
//!
//! A new process that ends, or is not ready in time, is ended for good, and the old one goes on.

use std::{
    env,
    ffi::OsString,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use thiserror::Error;
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};

use super::inherited::{InheritedSocket, Role};

/// Says to a process that it takes over from another.
pub(super) const VARIABLE: &str = "COGNIGATE_HANDOVER";

/// What only the process that it was said to may believe.
const PERSONAL: [&str; 4] = ["LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_PID"];

/// How long the new process may take until it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to end once it has let go of the old one.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// How often it is asked whether it has.
const END_INTERVAL: Duration = Duration::from_millis(10);

/// How long the new process waits for the old one to step back.
const STEP_BACK_TIMEOUT: Duration = Duration::from_secs(5);

/// Linux' limit for one message.
const MAX_SOCKETS: usize = 253;

/// Room for what is said about so many sockets: a role and an IPv6 address each.
const MAX_TEXT_BYTES: usize = 64 * MAX_SOCKETS;

/// Said by the new process: it can serve.
const READY: u8 = b'R';

/// Said by the old process: it has stepped back.
const GO: u8 = b'G';

/// Why there is no new process.
#[derive(Debug, Error)]
pub enum HandOverError {
    /// Nothing can be said to it.
    #[error("cannot talk to the new process")]
    Channel(#[source] io::Error),
    /// It ended by itself; its log says why.
    #[error("the new process ended before it was ready ({0}): its own log lines say why")]
    Ended(ExitStatus),
    /// It did not get ready.
    #[error("the new process was not ready within {} seconds", START_TIMEOUT.as_secs())]
    Slow,
    /// It does not start.
    #[error("cannot start {}", path.display())]
    Spawn {
        /// The program.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// More sockets than a message can have.
    #[error("cannot hand over {0} sockets: {MAX_SOCKETS} is the limit")]
    TooMany(usize),
}

/// How this process was started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// A socket that is handed over: what for, the address in the configuration, and itself.
pub type Handed<'s> = (Role, SocketAddr, BorrowedFd<'s>);

/// A new process that is not in charge yet. It is ended when this is dropped.
#[derive(Debug)]
pub struct Successor {
    child: Option<Child>,
    channel: UnixStream,
}

/// The process that had the sockets before.
#[derive(Debug)]
pub struct Predecessor(net::UnixStream);

impl Program {
    /// The program of this process, by the name that it was called by: where that is a symbolic link, or the file is replaced,
    /// it is the new one that is started. Relative to the directory that the process was started in.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn current() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let path = match arguments.next().map(PathBuf::from).filter(|path| !path.as_os_str().is_empty()) {
            // Without a slash it was found on the PATH, and is again.
            Some(name) if name.parent() == Some(Path::new("")) => name,
            Some(path) => std::path::absolute(path)?,
            None => env::current_exe()?,
        };
        Ok(Self { path, arguments: arguments.collect() })
    }
}

impl Successor {
    /// Starts a new process that inherits the sockets.
    ///
    /// # Errors
    ///
    /// [`HandOverError`].
    pub fn start(program: &Program, sockets: &[Handed<'_>]) -> Result<Self, HandOverError> {
        let (ours, theirs) = net::UnixStream::pair().map_err(HandOverError::Channel)?;
        send(&ours, sockets)?;
        ours.set_nonblocking(true).map_err(HandOverError::Channel)?;
        let channel = UnixStream::from_std(ours).map_err(HandOverError::Channel)?;
        let Program { path, arguments } = program;
        let mut command = Command::new(path);
        command.args(arguments).stdin(OwnedFd::from(theirs)).env(VARIABLE, "stdin");
        for name in PERSONAL {
            command.env_remove(name);
        }
        let child = command.spawn().map_err(|source| HandOverError::Spawn { path: path.clone(), source })?;
        Ok(Self { child: Some(child), channel })
    }

    /// Which process it is.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Waits until the new process is ready, at most half a minute.
    ///
    /// # Errors
    ///
    /// [`HandOverError`]; the new process is gone then.
    pub async fn ready(&mut self) -> Result<(), HandOverError> {
        let said = timeout(START_TIMEOUT, hear(&self.channel)).await.map_err(|_| HandOverError::Slow)?;
        match said {
            Ok(Some(READY)) => Ok(()),
            Ok(Some(_)) => Err(HandOverError::Channel(io::ErrorKind::InvalidData.into())),
            Ok(None) => Err(self.ended().await),
            Err(error) => Err(HandOverError::Channel(error)),
        }
    }

    /// Puts the new process in charge, and says which it is.
    #[must_use]
    pub fn install(mut self) -> Option<u32> {
        if let Err(error) = self.channel.try_write(&[GO]) {
            tracing::warn!(%error, "the new process was not told that it is in charge");
        }
        self.child.take().map(|child| child.id())
    }

    async fn ended(&mut self) -> HandOverError {
        let status = async {
            loop {
                match self.child.as_mut().map(Child::try_wait) {
                    Some(Ok(None)) => sleep(END_INTERVAL).await,
                    Some(Ok(Some(status))) => return HandOverError::Ended(status),
                    Some(Err(error)) => return HandOverError::Channel(error),
                    None => return HandOverError::Slow,
                }
            }
        };
        let status = timeout(END_TIMEOUT, status).await;
        status.unwrap_or_else(|_| HandOverError::Channel(io::ErrorKind::UnexpectedEof.into()))
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Either fails only if it is gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Predecessor {
    /// Waits until this process is ready, says so, and waits until the old one has stepped back. One that is gone has, and
    /// is waited for no longer: then nobody else serves.
    ///
    /// # Errors
    ///
    /// The channel's. Whoever is in charge then, this process can serve.
    pub async fn relieve(self, ready: impl Future<Output = ()>) -> io::Result<()> {
        self.0.set_nonblocking(true)?;
        let channel = UnixStream::from_std(self.0)?;
        tokio::select! {
            () = ready => {}
            said = hear(&channel) => return said.map(|_| ()),
        }
        channel.writable().await?;
        channel.try_write(&[READY])?;
        match timeout(STEP_BACK_TIMEOUT, hear(&channel)).await {
            Ok(said) => said.map(|_| ()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// The next byte that the other process says; none if it is gone.
async fn hear(channel: &UnixStream) -> io::Result<Option<u8>> {
    loop {
        channel.readable().await?;
        let mut said = [0];
        match channel.try_read(&mut said) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(said.first().copied()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// One message: a line for each socket, and the sockets in the same order.
fn send(channel: &net::UnixStream, sockets: &[Handed<'_>]) -> Result<(), HandOverError> {
    if sockets.len() > MAX_SOCKETS {
        return Err(HandOverError::TooMany(sockets.len()));
    }
    let line = |(role, address, _): &Handed<'_>| format!("{} {address}\n", word(*role));
    let text: String = sockets.iter().map(line).collect();
    let descriptors: Vec<_> = sockets.iter().map(|(_, _, socket)| *socket).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(HandOverError::TooMany(sockets.len()));
    }
    match sendmsg(channel, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::DONTWAIT) {
        Ok(sent) if sent == text.len() => Ok(()),
        Ok(_) => Err(HandOverError::Channel(io::ErrorKind::WriteZero.into())),
        Err(error) => Err(HandOverError::Channel(error.into())),
    }
}

/// Takes what is waiting on standard input.
pub(super) fn receive() -> io::Result<(Vec<InheritedSocket>, Predecessor)> {
    let channel = net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    Ok((receive_from(&channel)?, Predecessor(channel)))
}

fn receive_from(channel: &net::UnixStream) -> io::Result<Vec<InheritedSocket>> {
    let mut text = vec![0; MAX_TEXT_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // It was sent before this process began.
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let length = recvmsg(channel, &mut [IoSliceMut::new(&mut text)], &mut control, flags)?.bytes;
    let sockets: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            // Nobody asked for who sent it.
            RecvAncillaryMessage::ScmCredentials(_) | _ => None,
        })
        .flatten()
        .collect();
    text.truncate(length);
    let lines = str::from_utf8(&text).map_err(|_| io::ErrorKind::InvalidData)?.lines();
    if lines.clone().count() != sockets.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    lines.zip(sockets).map(|(line, socket)| inherited(line, socket)).collect()
}

fn inherited(line: &str, socket: OwnedFd) -> io::Result<InheritedSocket> {
    let (word, address) = line.split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
    let role = [Role::Admin, Role::Http].into_iter().find(|role| self::word(*role) == word);
    let configured = address.parse().map_err(|_| io::ErrorKind::InvalidData)?;
    let socket = TcpListener::from(socket);
    let address = socket.local_addr()?;
    let purpose = Some((role.ok_or(io::ErrorKind::InvalidData)?, configured));
    Ok(InheritedSocket { socket, address, purpose, name: word.to_owned() })
}

const fn word(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Http => "http",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_arrive_as_what_they_were_sent() {
        let (ours, theirs) = net::UnixStream::pair().unwrap();
        let sockets: Vec<_> = (0..MAX_SOCKETS).map(|_| TcpListener::bind("[::1]:0").unwrap()).collect();
        let configured: SocketAddr = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
        let handed = sockets.iter().map(|socket| (Role::Admin, configured, socket.as_fd()));
        let handed: Vec<_> = handed.collect();
        send(&ours, &handed).unwrap();
        let arrived = receive_from(&theirs).unwrap();
        assert_eq!(arrived.len(), sockets.len());
        for (sent, arrived) in sockets.iter().zip(arrived) {
            assert_eq!(arrived.address, sent.local_addr().unwrap());
            assert_eq!(arrived.purpose, Some((Role::Admin, configured)));
        }
        let more = [&handed[..], &handed[..1]].concat();
        assert!(matches!(send(&ours, &more), Err(HandOverError::TooMany(254))));
    }

    #[test]
    fn what_is_no_hand_over_is_refused() {
        use std::io::Write;
        let (mut ours, theirs) = net::UnixStream::pair().unwrap();
        assert_eq!(receive_from(&theirs).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        ours.write_all(b"http 127.0.0.1:80\n").unwrap();
        assert_eq!(receive_from(&theirs).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
