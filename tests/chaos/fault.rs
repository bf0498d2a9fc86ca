//! The bad days of a key server.
//!
//! Whatever it sends on such a day has a stranger's key in it, under the name of the real one: a proxy that takes the
//! document for good accepts forged tokens and refuses good ones, and is found out by both.

use e2e::{
    pool::{KID, strangers_key},
    upstream::Answer,
    wait::Gate,
};

use cognigate_auth::local_pool::jwks;

use crate::world::World;

/// What is wrong with a key server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Refuses connections, and closes those that it had.
    Dead,
    /// Has no keys: `{"keys":[]}`.
    EmptySet,
    /// Sends two megabytes.
    Huge,
    /// Sends a web page.
    NotJson,
    /// Sends the way to another server.
    Redirect,
    /// Answers after ten seconds.
    Slow,
    /// Answers 500.
    Status500,
    /// Closes the connection in the middle of the document.
    Truncated,
}

impl Fault {
    /// Each of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Dead,
        Self::Slow,
        Self::Status500,
        Self::Truncated,
        Self::Huge,
        Self::NotJson,
        Self::EmptySet,
        Self::Redirect,
    ];

    /// How the report calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::EmptySet => "empty set",
            Self::Huge => "2 MB",
            Self::NotJson => "not JSON",
            Self::Redirect => "redirect",
            Self::Slow => "10 s",
            Self::Status500 => "500",
            Self::Truncated => "truncated",
        }
    }

    /// Lets it befall the key server of this world.
    pub(crate) fn befall(self, world: &World) {
        let document = jwks([&strangers_key(KID)]);
        world.keys.answer(match self {
            Self::Dead => {
                world.keys.refuse_connections();
                Answer::Close
            }
            Self::EmptySet => Answer::json(200, r#"{"keys":[]}"#),
            Self::Huge => Answer::json(200, &padded(&document, 2 << 20)),
            Self::NotJson => Answer::json(200, &format!("<!doctype html><script>{document}</script>")),
            Self::Redirect => redirect(&world.stranger.uri()),
            // A gate that nobody opens lets go after ten seconds.
            Self::Slow => Answer::After(Gate::default(), Box::new(Answer::json(200, &document))),
            Self::Status500 => Answer::json(500, &document),
            Self::Truncated => truncated(&document),
        });
    }
}

/// The document and so many spaces.
fn padded(document: &str, spaces: usize) -> String {
    [document, &" ".repeat(spaces)].concat()
}

fn redirect(location: &str) -> Answer {
    Answer::Raw(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into())
}

/// The whole document, of which the head promises more.
fn truncated(document: &str) -> Answer {
    let promised = document.len() + 1;
    Answer::Last(format!("HTTP/1.1 200 OK\r\nContent-Length: {promised}\r\n\r\n{document}").into())
}
