//! One connection to Redis, from its beginning to its end.

use std::{io, time::Duration};

use cognigate_auth::revocation::Revocation;
use redis::{AsyncCommands, RedisError, RedisResult, Script, aio::MultiplexedConnection};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Replication,
    message::{Message, Pushed},
    record::{Record, Statement, VERSION_FIELD},
    script::Scripts,
};
use crate::revocation::shared::{Change, ChangeError, Changes};

/// Messages that may wait to be read. A connection that brings more at once is given up, and all is read anew.
const BACKLOG: usize = 256;

/// Records that one script or one look at the hash handles.
const BATCH: usize = 500;

/// Changes that are applied together.
const APPLIED_TOGETHER: usize = 20_000;

/// How often the version in Redis is looked at, which also shows that Redis is there.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often everything is read although nothing seems to be missing; what has expired is cleared away then.
const RESYNC: Duration = Duration::from_secs(3600);

/// A connection over which everything was read once.
pub(super) struct Session<'r> {
    replication: &'r mut Replication,
    scripts: &'r Scripts,
    connection: MultiplexedConnection,
    pushed: mpsc::Receiver<Pushed>,
    /// The version that was heard of last.
    version: u64,
    /// Something may have been missed.
    is_behind: bool,
}

impl<'r> Session<'r> {
    /// Connects, and brings both sides together.
    pub(super) async fn open(replication: &'r mut Replication, scripts: &'r Scripts) -> RedisResult<Self> {
        let (sender, pushed) = mpsc::channel(BACKLOG);
        let config = replication.connection.clone().set_push_sender(move |push| sender.try_send(Pushed::read(&push)));
        // Four answers: the greeting, the database, the name, the version.
        let connecting = replication.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = within(replication.timeout.saturating_mul(4), connecting).await?;
        connection.subscribe(&*replication.key).await?;
        let mut session = Self { replication, scripts, connection, pushed, version: 0, is_behind: false };
        session.tell_untold().await?;
        session.sync().await?;
        let revocations = session.replication.shared.list().len();
        tracing::info!(key = &*session.replication.key, revocations, "revocations are shared");
        session.replication.note_connection().await;
        Ok(session)
    }

    /// Passes changes on in both directions until the connection is lost.
    pub(super) async fn serve(mut self) -> RedisError {
        let (mut heartbeat, mut resync) = (interval(HEARTBEAT), interval(RESYNC));
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Everything was read just now.
        resync.reset();
        loop {
            let outcome = tokio::select! {
                changes = self.replication.local.recv() => self.tell_received(changes).await,
                pushed = self.pushed.recv() => self.hear_pushed(pushed).await,
                _ = heartbeat.tick() => self.compare_versions().await,
                _ = resync.tick() => self.sync().await,
            };
            let outcome = match outcome {
                Ok(()) => self.catch_up().await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                return error;
            }
        }
    }

    /// Reads everything, if something may have been missed.
    async fn catch_up(&mut self) -> RedisResult<()> {
        if self.is_behind { self.sync().await } else { Ok(()) }
    }

    async fn hear_pushed(&mut self, pushed: Option<Pushed>) -> RedisResult<()> {
        match pushed {
            Some(Pushed::Message(message)) => self.hear(message).await,
            Some(Pushed::Other) => Ok(()),
            Some(Pushed::Lost) | None => Err(lost()),
        }
    }

    async fn tell_received(&mut self, changes: Result<Changes, RecvError>) -> RedisResult<()> {
        match changes {
            Ok(changes) => {
                self.replication.untold = Some(changes);
                self.tell_untold().await
            }
            // What was added is told by the next sync. What was taken back meanwhile comes back: nobody is let in by that.
            Err(RecvError::Lagged(_)) => {
                self.is_behind = true;
                Ok(())
            }
            Err(RecvError::Closed) => Err(lost()),
        }
    }

    /// Tells what was changed here and is not told yet, in order.
    async fn tell_untold(&mut self) -> RedisResult<()> {
        loop {
            if let Some(changes) = self.replication.untold.clone() {
                self.tell(&changes).await?;
                self.replication.untold = None;
            }
            match self.replication.local.try_recv() {
                Ok(changes) => self.replication.untold = Some(changes),
                Err(_) => return Ok(()),
            }
        }
    }

    async fn tell(&mut self, changes: &[Change]) -> RedisResult<()> {
        let now = self.replication.clock.now();
        for batch in changes.chunks(BATCH) {
            let records: Vec<_> = batch.iter().map(|change| Record::of(change, now)).collect();
            let version: u64 = self.call(&self.scripts.change, &records).await?;
            // What others changed in between is on its way, and may be undone by what was told here, or not: look.
            self.is_behind |= version != self.version.saturating_add(1);
            self.version = self.version.max(version);
        }
        Ok(())
    }

    /// Takes in what somebody changed.
    async fn hear(&mut self, Message { origin, version, records }: Message) -> RedisResult<()> {
        let is_own = origin == self.replication.origin;
        let statements = records.iter().filter_map(Record::read);
        // What was taken back here may have been revoked again here since.
        let changes = statements.map(|statement| statement.change);
        let changes: Vec<_> = changes.filter(|change| !is_own || matches!(change, Change::Added(_))).collect();
        self.is_behind |= version > self.version.saturating_add(1);
        self.version = self.version.max(version);
        self.apply(changes).await;
        Ok(())
    }

    /// Looks whether anything was missed.
    async fn compare_versions(&mut self) -> RedisResult<()> {
        let version = self.remote_version().await?;
        // A version that went back is that of a Redis that lost something.
        let is_same = version == self.version;
        // A message that was sent before the answer has come before it.
        self.is_behind |= !is_same && self.pushed.is_empty();
        Ok(())
    }

    async fn remote_version(&mut self) -> RedisResult<u64> {
        let version: Option<u64> = self.connection.hget(&*self.replication.key, VERSION_FIELD).await?;
        Ok(version.unwrap_or(0))
    }

    /// Gives Redis what it lacks, and takes what it has.
    async fn sync(&mut self) -> RedisResult<()> {
        self.is_behind = false;
        let restored = self.restore().await?;
        self.version = self.remote_version().await?;
        let expired = self.read_all().await?;
        let swept = self.sweep(&expired).await?;
        tracing::debug!(key = &*self.replication.key, version = self.version, restored, swept, "revocations read");
        self.replication.metrics.last_sync.set(i64::try_from(self.replication.clock.now()).unwrap_or(i64::MAX));
        Ok(())
    }

    async fn restore(&mut self) -> RedisResult<usize> {
        let shared = self.replication.shared.clone();
        let entries: Vec<Revocation> = blocking(move || shared.snapshot()).await?;
        let now = self.replication.clock.now();
        let mut restored = 0;
        for batch in entries.chunks(BATCH) {
            let records: Vec<_> = batch.iter().map(|entry| Record::of(&Change::Added(entry.clone()), now)).collect();
            let count: usize = self.call(&self.scripts.restore, &records).await?;
            restored += count;
        }
        Ok(restored)
    }

    /// Reads the hash, and returns what means nothing any more.
    async fn read_all(&mut self) -> RedisResult<Vec<Record>> {
        let now = self.replication.clock.now();
        let (mut cursor, mut expired, mut changes) = (0_u64, Vec::new(), Vec::new());
        loop {
            let mut look = redis::cmd("HSCAN");
            look.arg(&*self.replication.key).arg(cursor).arg("COUNT").arg(BATCH);
            let (next, page): (u64, Vec<(String, String)>) = look.query_async(&mut self.connection).await?;
            for (field, value) in page {
                let record = Record { field, value };
                match record.read() {
                    Some(Statement { until, .. }) if until <= now => expired.push(record),
                    Some(Statement { change, .. }) => changes.push(change),
                    None => {}
                }
            }
            if next == 0 || changes.len() >= APPLIED_TOGETHER {
                self.apply(std::mem::take(&mut changes)).await;
            }
            if next == 0 {
                return Ok(expired);
            }
            cursor = next;
        }
    }

    async fn sweep(&mut self, expired: &[Record]) -> RedisResult<usize> {
        let mut swept = 0;
        for batch in expired.chunks(BATCH) {
            let count: usize = self.call(&self.scripts.sweep, batch).await?;
            swept += count;
        }
        Ok(swept)
    }

    async fn call<T: redis::FromRedisValue>(&self, script: &Script, records: &[Record]) -> RedisResult<T> {
        let mut call = script.key(&*self.replication.key);
        call.arg(&self.replication.origin);
        for Record { field, value } in records {
            call.arg(field).arg(value);
        }
        call.invoke_async(&mut self.connection.clone()).await
    }

    /// Takes in what changed elsewhere. That it could not be kept is for the log and not for the connection.
    async fn apply(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        match self.replication.shared.apply(changes).await {
            Ok(()) => {}
            Err(error @ ChangeError::Full(_)) => {
                tracing::error!(%error, "not all shared revocations fit: raise revocation.max_entries");
            }
            Err(error @ ChangeError::State(_)) => {
                tracing::error!(%error, "shared revocations hold, but a restart may forget them");
            }
        }
    }
}

async fn within<T>(limit: Duration, answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(limit, answer).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> RedisResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(|failed| io::Error::other(failed).into())
}

fn lost() -> RedisError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}
