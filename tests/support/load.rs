//! Steady load: clients that ask again and again, and take down every request that was not answered as it should be.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::{
    client::{Client, Request, Response},
    wait::eventually,
};

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// Once, and again when the proxy says that a response was the last.
    Kept,
    /// For each request.
    New,
}

/// Clients that ask until they are stopped.
#[derive(Debug)]
pub struct Load {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Starts clients. Each response must have the status 200.
    pub fn start(address: SocketAddr, request: &Request, clients: &[Connections]) -> Self {
        let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |connections: &Connections| {
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            let (request, connections) = (request.clone(), *connections);
            thread::spawn(move || ask(address, &request, connections, &is_over, &answered))
        };
        Self { clients: clients.iter().map(client).collect(), is_over, answered }
    }

    /// How many requests were answered so far.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were answered.
    ///
    /// # Panics
    ///
    /// If they are not.
    #[track_caller]
    pub fn await_answers(&self, count: usize) {
        let enough = self.answered() + count;
        eventually("answers under load", || (self.answered() >= enough).then_some(()));
    }

    /// Stops the clients. How many requests were answered, and why others were not.
    ///
    /// # Panics
    ///
    /// If a client did.
    pub fn stop(self) -> (usize, Vec<String>) {
        self.is_over.store(true, Ordering::Relaxed);
        let failures = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (self.answered.load(Ordering::Relaxed), failures)
    }
}

fn ask(
    address: SocketAddr,
    request: &Request,
    connections: Connections,
    is_over: &AtomicBool,
    answered: &AtomicUsize,
) -> Vec<String> {
    let (mut failures, mut kept) = (Vec::new(), None);
    while !is_over.load(Ordering::Relaxed) {
        match ask_once(address, request, &mut kept) {
            Ok(response) if response.status == 200 => {
                answered.fetch_add(1, Ordering::Relaxed);
                if response.is_last() || connections == Connections::New {
                    kept = None;
                }
            }
            Ok(response) => failures.push(format!("{connections:?}: {}", response.status)),
            Err(error) => {
                kept = None;
                failures.push(format!("{connections:?}: {error}"));
            }
        }
    }
    failures
}

fn ask_once(address: SocketAddr, request: &Request, kept: &mut Option<Client>) -> io::Result<Response> {
    let client = match kept {
        Some(client) => client,
        None => kept.insert(Client::try_connect(address)?),
    };
    client.try_ask(request)
}
