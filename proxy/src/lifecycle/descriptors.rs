//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open beside connections: listeners, logs, what the runtime needs.
const SPARE: u64 = 64;

/// Raises the soft limit to the hard one.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::info!(from = ?current, to = ?maximum, "raised the limit on open files"),
        Err(error) => tracing::warn!(%error, limit = ?current, "cannot raise the limit on open files"),
    }
}

/// Says so if this many connections of clients, each with one to an upstream, do not fit into the limit.
pub fn warn_if_short(connections: usize) {
    let needed = needed(connections);
    if let Some(limit) = getrlimit(Resource::Nofile).current.filter(|limit| *limit < needed) {
        tracing::warn!(limit, needed, connections, "limits.connections does not fit into the limit on open files");
    }
}

fn needed(connections: usize) -> u64 {
    u64::try_from(connections).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(SPARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_needs_one_more_to_an_upstream() {
        assert_eq!(needed(0), 64);
        assert_eq!(needed(20_000), 40_064);
        assert_eq!(needed(usize::MAX), u64::MAX);
    }
}
