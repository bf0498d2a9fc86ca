//! Where a user pool's keys are published, for better or worse.

use std::time::Instant;

use cognigate_auth::local_pool::{SigningKey, jwks};

use crate::upstream::{Answer, Upstream};

/// A JWKS endpoint. What it answers can be changed at any time.
#[derive(Debug)]
pub struct KeyServer {
    server: Upstream,
}

impl KeyServer {
    /// An endpoint that answers like this.
    pub fn start(answer: Answer) -> Self {
        let server = Upstream::start();
        server.answer(answer);
        Self { server }
    }

    /// The address of the document.
    pub fn uri(&self) -> String {
        format!("http://{}/.well-known/jwks.json", self.server.address())
    }

    /// Publishes these keys, and no others, from now on.
    pub fn publish<'k>(&self, keys: impl IntoIterator<Item = &'k SigningKey>) {
        self.answer(document(keys));
    }

    /// Answers like this from now on.
    pub fn answer(&self, answer: Answer) {
        self.server.answer(answer);
    }

    /// Closes every connection and refuses new ones, until [`accept_connections`](Self::accept_connections).
    pub fn refuse_connections(&self) {
        self.server.refuse_connections();
    }

    /// Accepts connections again.
    pub fn accept_connections(&self) {
        self.server.accept_connections();
    }

    /// When each request arrived, since the start.
    pub fn fetches(&self) -> Vec<Instant> {
        self.await_fetches(0)
    }

    /// When each request arrived, as soon as there were `count` since the start.
    ///
    /// # Panics
    ///
    /// If there are fewer after [`PATIENCE`](crate::wait::PATIENCE).
    #[track_caller]
    pub fn await_fetches(&self, count: usize) -> Vec<Instant> {
        self.server.await_requests(count).iter().map(|request| request.at).collect()
    }
}

/// The answer that publishes these keys.
pub fn document<'k>(keys: impl IntoIterator<Item = &'k SigningKey>) -> Answer {
    Answer::json(200, &jwks(keys))
}
