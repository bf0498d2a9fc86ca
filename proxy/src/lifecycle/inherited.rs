//! Sockets that were bound before this process began: by the process that it takes over from, or by a service manager.
//!
//! - A predecessor hands over what it serves on (see [`handover`]). What the configuration no longer has is
//!   closed.
//! - A service manager passes sockets by `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`, as systemd's `sd_listen_fds(3)` has
//!   it. Each must be of some listener: one that nobody serves would take connections and leave them waiting.

use std::{
    env, io,
    net::{SocketAddr, TcpListener},
};

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use thiserror::Error;

use super::handover::{self, Predecessor};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The proxy is watched.
    Admin,
    /// Clients are served.
    Http,
}

/// The sockets that are there already, and who had them before.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<InheritedSocket>,
    predecessor: Option<Predecessor>,
}

/// A socket that listens.
#[derive(Debug)]
pub(super) struct InheritedSocket {
    pub(super) socket: TcpListener,
    /// Where it is bound.
    pub(super) address: SocketAddr,
    /// What it was bound for, where that is known.
    pub(super) purpose: Option<(Role, SocketAddr)>,
    /// What the service manager calls it.
    pub(super) name: String,
}

/// Why sockets cannot be taken over.
#[derive(Debug, Error)]
pub enum InheritError {
    /// The predecessor's sockets did not arrive.
    #[error("cannot take the sockets over that a process hands over on standard input")]
    HandOver(#[source] io::Error),
    /// A descriptor of the service manager is something else.
    #[error("descriptor {place} of LISTEN_FDS ({name}) is no TCP socket that listens")]
    NoListener {
        /// Its place, from 0.
        place: usize,
        /// What the service manager calls it.
        name: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The configuration has no listener at the socket's address.
    #[error("the socket of LISTEN_FDS called {name} is bound to {address}, which is the address of no listener")]
    Unclaimed {
        /// What the service manager calls it.
        name: String,
        /// Where it is bound.
        address: SocketAddr,
    },
}

impl Inherited {
    /// Finds what was passed to this process. To be called once, before there is a second thread.
    ///
    /// # Errors
    ///
    /// [`InheritError`].
    pub fn receive() -> Result<Self, InheritError> {
        if env::var_os(handover::VARIABLE).is_some() {
            let (sockets, predecessor) = handover::receive().map_err(InheritError::HandOver)?;
            return Ok(Self { sockets, predecessor: Some(predecessor) });
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').filter(|name| !name.is_empty());
        let mut passed = ListenFd::from_env();
        let sockets = (0..passed.len()).map(|place| {
            let name = names.next().unwrap_or("unknown").to_owned();
            let socket = passed.take_tcp_listener(place).and_then(|socket| listening(socket, name.clone()));
            socket.map_err(|source| InheritError::NoListener { place, name, source })
        });
        Ok(Self { sockets: sockets.collect::<Result<_, _>>()?, predecessor: None })
    }

    /// The socket of a listener with this address in the configuration, if there is one. Each is given away once.
    pub fn take(&mut self, role: Role, address: SocketAddr) -> Option<TcpListener> {
        let is_meant = |socket: &InheritedSocket| match socket.purpose {
            Some((known, configured)) => known == role && (configured == address || socket.address == address),
            None => socket.address == address,
        };
        let place = self.sockets.iter().position(is_meant)?;
        Some(self.sockets.remove(place).socket)
    }

    /// Whether another process had the sockets before, and still has them.
    #[must_use]
    pub const fn takes_over(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Closes what nobody took, and says who had the sockets before.
    ///
    /// # Errors
    ///
    /// [`InheritError::Unclaimed`].
    pub fn settle(self) -> Result<Option<Predecessor>, InheritError> {
        match (self.sockets.into_iter().next(), self.predecessor) {
            (Some(InheritedSocket { name, address, .. }), None) => Err(InheritError::Unclaimed { name, address }),
            (_, predecessor) => Ok(predecessor),
        }
    }
}

fn listening(socket: Option<TcpListener>, name: String) -> io::Result<InheritedSocket> {
    let socket = socket.ok_or(io::ErrorKind::NotFound)?;
    if !socket_acceptconn(&socket)? {
        return Err(io::Error::other("it does not listen: the unit needs Accept=no"));
    }
    let address = socket.local_addr()?;
    Ok(InheritedSocket { socket, address, purpose: None, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(purpose: Option<(Role, &str)>) -> InheritedSocket {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let purpose = purpose.map(|(role, address)| (role, address.parse().unwrap()));
        InheritedSocket { address: socket.local_addr().unwrap(), socket, purpose, name: "http".to_owned() }
    }

    #[test]
    fn a_socket_is_taken_once_for_what_it_was_bound_for() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let sockets = vec![socket(Some((Role::Admin, "127.0.0.1:0"))), socket(Some((Role::Http, "127.0.0.1:0")))];
        let [admin, http] = [&sockets[0], &sockets[1]].map(|socket| socket.address);
        let mut inherited = Inherited { sockets, predecessor: None };
        assert_eq!(inherited.take(Role::Http, any).unwrap().local_addr().unwrap(), http);
        assert!(inherited.take(Role::Http, any).is_none());
        assert!(inherited.take(Role::Http, admin).is_none(), "not what it was bound for");
        assert!(inherited.take(Role::Admin, admin).is_some(), "the port that was chosen, said in the file since");
        assert!(inherited.settle().unwrap().is_none());
    }

    #[test]
    fn a_socket_that_nobody_takes_is_named() {
        let passed = socket(None);
        let address = passed.address;
        let mut inherited = Inherited { sockets: vec![passed], predecessor: None };
        assert!(inherited.take(Role::Http, "127.0.0.1:0".parse().unwrap()).is_none());
        let error = inherited.settle().unwrap_err().to_string();
        assert!(error.contains("called http") && error.contains(&address.to_string()), "{error}");
    }
}
