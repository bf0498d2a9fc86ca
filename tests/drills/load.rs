//! Steady traffic from several clients, each request with what came of it and when.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use e2e::{
    client::{Client, Request},
    wait::eventually,
};

/// How many clients ask at the same time.
pub(crate) const CLIENTS: usize = 8;

/// The time between two requests of a client.
const PAUSE: Duration = Duration::from_millis(4);

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// When it began.
    pub(crate) begun: Instant,
    /// How long its answer took, to the last byte.
    pub(crate) took: Duration,
    /// What it was answered; 0 if the connection broke.
    pub(crate) status: u16,
    /// The server that answered.
    pub(crate) endpoint: Option<SocketAddr>,
}

impl Sample {
    pub(crate) fn is_good(&self) -> bool {
        matches!(self.status, 200..300)
    }
}

/// Clients that ask until they are stopped, each on a connection that it keeps.
#[derive(Debug)]
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(proxy: SocketAddr, request: &Request) -> Self {
        let (is_over, samples) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let client = |_| {
            let (is_over, samples, request) = (Arc::clone(&is_over), Arc::clone(&samples), request.clone());
            thread::spawn(move || {
                let mut kept = None;
                while !is_over.load(Ordering::Relaxed) {
                    let sample = ask(proxy, &request, &mut kept);
                    samples.lock().unwrap().push(sample);
                    thread::park_timeout(PAUSE);
                }
            })
        };
        Self { clients: (0..CLIENTS).map(client).collect(), is_over, samples }
    }

    /// Waits until a request that begins from now on is as wanted.
    #[track_caller]
    pub(crate) fn await_sample(&self, what: &str, is_wanted: impl Fn(&Sample) -> bool) -> Sample {
        let now = Instant::now();
        let find = || {
            let samples = self.samples.lock().unwrap();
            samples.iter().find(|sample| sample.begun >= now && is_wanted(sample)).copied()
        };
        eventually(what, find)
    }

    /// Stops the clients, and returns all requests in the order of their beginning.
    pub(crate) fn stop(self) -> Vec<Sample> {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        let mut samples = std::mem::take(&mut *self.samples.lock().unwrap());
        samples.sort_unstable_by_key(|sample| sample.begun);
        samples
    }
}

fn ask(proxy: SocketAddr, request: &Request, kept: &mut Option<Client>) -> Sample {
    let begun = Instant::now();
    let answer = connected(proxy, kept).and_then(|client| client.try_ask(request));
    let took = begun.elapsed();
    match answer {
        Ok(response) => {
            if response.is_last() {
                *kept = None;
            }
            let endpoint = response.header("x-endpoint").and_then(|endpoint| endpoint.parse().ok());
            Sample { begun, took, status: response.status, endpoint }
        }
        Err(_) => {
            *kept = None;
            Sample { begun, took, status: 0, endpoint: None }
        }
    }
}

fn connected(proxy: SocketAddr, kept: &mut Option<Client>) -> io::Result<&mut Client> {
    match kept {
        Some(client) => Ok(client),
        None => Ok(kept.insert(Client::try_connect(proxy)?)),
    }
}

/// Waits for all of this time.
pub(crate) fn pause(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}
