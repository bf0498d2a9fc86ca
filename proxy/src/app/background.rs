//! What goes on beside the requests: keys are kept fresh, endpoints in order, files and other processes followed.
//!
//! None of it may end unnoticed: a proxy whose keys nobody refreshes would serve until they are too old, and one that follows no
//! revocations would let in who was sent away.

use std::{path::PathBuf, sync::Arc};

use cognigate_auth::keys::fetch::Fetcher;
use tokio::task::JoinSet;

use super::keepers::{Keepers, Post};
use crate::{
    admin::token::AdminToken,
    config::model::ResolverConfig,
    revocation::{Revocations, shared::SharedRevocations},
    runtime::Runtime,
    watch::INTERVAL,
};

/// The tasks in the background. They end with this.
pub(super) struct Background {
    fetcher: Fetcher,
    keepers: Keepers,
    tasks: JoinSet<Ended>,
}

/// What has ended.
enum Ended {
    /// Something that goes on as long as the proxy serves.
    Follower,
    /// The keeper of an upstream that was let go.
    Keeper,
    /// The refresher of keys that nobody needs any more.
    Refresher,
}

/// What the tasks keep up to date, for whoever tells and changes it.
pub(super) struct Followed {
    pub(super) revocations: SharedRevocations,
    pub(super) admin_token: Option<Arc<AdminToken>>,
}

impl Background {
    /// Follows these from now on, and keeps the keys of a snapshot fresh and its endpoints in order.
    pub(super) fn begin(
        fetcher: Fetcher,
        runtime: &Runtime,
        resolver: &ResolverConfig,
        revocations: Revocations,
        admin_token: Option<(Arc<AdminToken>, PathBuf)>,
    ) -> (Self, Followed) {
        let mut tasks = JoinSet::new();
        let shared = revocations.shared().clone();
        tasks.spawn(ended(revocations.run(), Ended::Follower));
        let admin_token = admin_token.map(|(token, path)| {
            tasks.spawn(ended(Arc::clone(&token).follow(path, INTERVAL), Ended::Follower));
            token
        });
        let mut background = Self { fetcher, keepers: Keepers::new(resolver), tasks };
        background.refresh(runtime, resolver);
        (background, Followed { revocations: shared, admin_token })
    }

    /// Keeps the keys of this snapshot fresh that nobody keeps fresh yet, and the endpoints in order that nobody does. Keys that
    /// no snapshot needs any more are let go by themselves.
    pub(super) fn refresh(&mut self, runtime: &Runtime, resolver: &ResolverConfig) {
        for refresher in runtime.authorizer.refreshers(&self.fetcher) {
            self.tasks.spawn(ended(refresher.run(), Ended::Refresher));
        }
        for post in self.keepers.take_up(runtime, resolver) {
            self.tasks.spawn(kept(post));
        }
    }

    /// Lets the endpoints go that this snapshot, which is now served, does not have.
    pub(super) fn let_go(&mut self, runtime: &Runtime) {
        self.keepers.let_go(runtime);
    }

    /// Waits for a task that ends as it must not, and says so in the log.
    pub(super) async fn lost(&mut self) {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Ended::Keeper | Ended::Refresher)) => {}
                Some(Ok(Ended::Follower)) => {
                    tracing::error!("a task in the background has ended");
                    return;
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "a task in the background has failed");
                    return;
                }
                None => std::future::pending().await,
            }
        }
    }
}

async fn ended(task: impl Future<Output = ()>, as_what: Ended) -> Ended {
    task.await;
    as_what
}

async fn kept(post: Post) -> Ended {
    if post.run().await { Ended::Keeper } else { Ended::Follower }
}
