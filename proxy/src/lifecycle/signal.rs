//! Signals: how an operator tells the process what to do.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the process is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// SIGQUIT: hand the sockets to a new process, and stop.
    HandOver,
    /// SIGHUP: load the configuration anew.
    Reload,
    /// SIGTERM or SIGINT: stop.
    Stop,
}

/// The signals of this process. From when they are listened for none of them ends it by itself.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on. Within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next order. A signal that comes several times before it is looked for is one order, and a stop comes before
    /// everything else.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Order {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.quit.recv() => Order::HandOver,
            _ = self.hangup.recv() => Order::Reload,
        }
    }
}
