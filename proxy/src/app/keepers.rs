//! Keeps the endpoints of every upstream in order that the configuration has, and of no other.
//!
//! A pool that one configuration takes over from another keeps its keeper, and with it all that is known of its endpoints. The
//! keeper of a pool that has left ends, even while a request still holds the pool.

use std::{convert::Infallible, sync::Arc};

use tokio::sync::oneshot;

use crate::{
    config::model::ResolverConfig,
    runtime::Runtime,
    upstream::{
        keeper::{Instruments, Keeper},
        pool::Pool,
    },
};

/// The keepers of upstreams.
pub(super) struct Keepers {
    instruments: Arc<Instruments>,
    kept: Vec<Kept>,
}

/// A pool that has a keeper.
struct Kept {
    pool: Arc<Pool>,
    /// The keeper ends when this is dropped.
    _hold: oneshot::Sender<Infallible>,
}

/// A keeper that has not begun.
pub(super) struct Post {
    keeper: Keeper,
    end: oneshot::Receiver<Infallible>,
}

impl Keepers {
    /// Reads the authorities of the system.
    pub(super) fn new(resolver: &ResolverConfig) -> Self {
        Self { instruments: Arc::new(Instruments::new(resolver)), kept: Vec::new() }
    }

    /// A keeper for each pool that has none yet. From now on names are resolved as `resolver` says.
    pub(super) fn take_up(&mut self, runtime: &Runtime, resolver: &ResolverConfig) -> Vec<Post> {
        self.instruments.reconfigure(resolver);
        let mut posts = Vec::new();
        for pool in runtime.pools().iter() {
            if self.kept.iter().any(|kept| Arc::ptr_eq(&kept.pool, pool)) {
                continue;
            }
            let (hold, end) = oneshot::channel();
            self.kept.push(Kept { pool: Arc::clone(pool), _hold: hold });
            let metrics = runtime.metrics.upkeep(pool.name());
            let keeper = Keeper::new(Arc::clone(pool), Arc::clone(&self.instruments), metrics, fastrand::Rng::new());
            posts.push(Post { keeper, end });
        }
        posts
    }

    /// Lets the keepers go of pools that this snapshot, which is now served, does not have.
    pub(super) fn let_go(&mut self, runtime: &Runtime) {
        let served = runtime.pools();
        self.kept.retain(|kept| served.iter().any(|pool| Arc::ptr_eq(pool, &kept.pool)));
    }
}

impl Post {
    /// Keeps the pool in order until it is let go. Says whether that is why it ends.
    pub(super) async fn run(self) -> bool {
        let Self { keeper, end } = self;
        tokio::select! {
            ended = keeper.run() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the endpoints of an upstream are not kept in order any more");
                }
                false
            }
            _ = end => true,
        }
    }
}
