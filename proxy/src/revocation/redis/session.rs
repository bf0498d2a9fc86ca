//! One connection to Redis, from its beginning to its end.

use std::{io, time::Duration};

use redis::{AsyncCommands, RedisError, RedisResult, Script, aio::MultiplexedConnection};
use tokio::{
    sync::{
        broadcast::error::{RecvError, TryRecvError},
        mpsc::{self, error::TryRecvError as NothingPushed},
    },
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    Replication,
    message::{Message, Pushed},
    record::{Record, VERSION_FIELD},
    script::Scripts,
};
use crate::revocation::{
    change::Change,
    shared::{ChangeError, Changes},
};

/// Messages that may wait to be read. Those that come while so many wait are lost, which their version shows.
const BACKLOG: usize = 256;

/// Records that one script or one look at the hash handles.
const BATCH: usize = 500;

/// Changes that are applied together.
const APPLIED_TOGETHER: usize = 20_000;

/// How often the version in Redis is looked at, which also shows that Redis is there.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often everything is read although nothing seems to be missing; what has expired is cleared away then.
const RESYNC: Duration = Duration::from_secs(3600);

/// The time between the beginnings of two reads of everything because something was missed, at least. Up to twice that.
const CATCH_UP: Duration = Duration::from_secs(5);

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
    /// All that was read last fitted.
    is_whole: bool,
    /// Before that, nothing is read anew because something was missed.
    not_before: Instant,
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
        let not_before = Instant::now();
        let mut session = Self {
            replication,
            scripts,
            connection,
            pushed,
            version: 0,
            is_behind: false,
            is_whole: false,
            not_before,
        };
        session.sync().await?;
        let revocations = session.replication.shared.list().len();
        tracing::info!(key = &*session.replication.key, revocations, "revocations are shared");
        session.replication.note_connection();
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

    /// Reads everything, if something may have been missed. Whoever has more to say than can be heard must not be asked for
    /// all of it again and again: the next heartbeat tries once more.
    async fn catch_up(&mut self) -> RedisResult<()> {
        if self.is_behind && self.not_before <= Instant::now() { self.sync().await } else { Ok(()) }
    }

    async fn hear_pushed(&mut self, pushed: Option<Pushed>) -> RedisResult<()> {
        match pushed {
            Some(Pushed::Message(message)) => {
                self.hear(message).await;
                Ok(())
            }
            Some(Pushed::Other) => Ok(()),
            Some(Pushed::Lost) | None => Err(lost()),
        }
    }

    async fn tell_received(&mut self, changes: Result<Changes, RecvError>) -> RedisResult<()> {
        match changes {
            Ok(changes) => self.tell(&changes).await.map(drop),
            // The next sync tells all that is known.
            Err(RecvError::Lagged(_)) => {
                self.is_behind = true;
                Ok(())
            }
            Err(RecvError::Closed) => Err(lost()),
        }
    }

    /// Passes on what waits to be, in both directions.
    async fn pass_on(&mut self) -> RedisResult<()> {
        loop {
            let changes = match self.replication.local.try_recv() {
                Ok(changes) => Ok(changes),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                Err(TryRecvError::Closed) => Err(RecvError::Closed),
            };
            self.tell_received(changes).await?;
        }
        loop {
            match self.pushed.try_recv() {
                Ok(pushed) => self.hear_pushed(Some(pushed)).await?,
                Err(NothingPushed::Empty) => return Ok(()),
                Err(NothingPushed::Disconnected) => return Err(lost()),
            }
        }
    }

    /// Tells changes, and says how many were news. What they changed is heard like everything else.
    async fn tell(&mut self, changes: &[Change]) -> RedisResult<usize> {
        let mut told = 0;
        for batch in changes.chunks(BATCH) {
            let records: Vec<_> = batch.iter().map(Record::of).collect();
            let news: usize = self.call(&self.scripts.merge, &records).await?;
            told += news;
        }
        Ok(told)
    }

    /// Takes in what somebody changed: this process too, which changes nothing.
    async fn hear(&mut self, Message { version, records }: Message) {
        self.is_behind |= version > self.version.saturating_add(1);
        self.version = self.version.max(version);
        self.apply(records.iter().filter_map(Record::read).collect()).await;
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

    /// Gives Redis what it lacks, and takes what it has. What is changed meanwhile is passed on.
    async fn sync(&mut self) -> RedisResult<()> {
        self.not_before = Instant::now() + CATCH_UP.mul_f64(1.0 + self.replication.random.f64());
        (self.is_behind, self.is_whole) = (false, true);
        // What was sent before is replayed by what follows; what is sent from now on is heard.
        self.version = self.remote_version().await?;
        let told = self.tell_all().await?;
        let expired = self.read_all().await?;
        let swept = self.sweep(&expired).await?;
        tracing::debug!(key = &*self.replication.key, version = self.version, told, swept, "revocations read");
        let Replication { shared, place, metrics, clock, .. } = &*self.replication;
        if self.is_whole && !self.is_behind {
            shared.note_whole(place).await;
        }
        metrics.last_sync.set(i64::try_from(clock.now()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Tells all that is known here, and with it whatever could not be told yet.
    async fn tell_all(&mut self) -> RedisResult<usize> {
        self.replication.local = self.replication.shared.subscribe();
        let changes = self.replication.shared.snapshot().await.map_err(io::Error::other)?;
        let mut told = 0;
        for batch in changes.chunks(BATCH) {
            told += self.tell(batch).await?;
            self.pass_on().await?;
        }
        Ok(told)
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
                    Some(change) if change.is_alive(now) => changes.push(change),
                    Some(_) => expired.push(record),
                    None => {}
                }
            }
            if next == 0 || changes.len() >= APPLIED_TOGETHER {
                self.apply(std::mem::take(&mut changes)).await;
            }
            if next == 0 {
                return Ok(expired);
            }
            self.pass_on().await?;
            cursor = next;
        }
    }

    async fn sweep(&mut self, expired: &[Record]) -> RedisResult<usize> {
        let mut swept = 0;
        for batch in expired.chunks(BATCH) {
            let count: usize = self.call(&self.scripts.sweep, batch).await?;
            swept += count;
            self.pass_on().await?;
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
    async fn apply(&mut self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        match self.replication.shared.apply(changes).await {
            Ok(()) => {}
            Err(error @ ChangeError::Full(_)) => {
                self.is_whole = false;
                tracing::error!(%error, "not all shared revocations fit: raise revocation.max_entries");
            }
            Err(error @ (ChangeError::HandedOver | ChangeError::State(_))) => {
                tracing::error!(%error, "shared revocations hold, but a restart may forget them");
            }
        }
    }
}

async fn within<T>(limit: Duration, answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(limit, answer).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

fn lost() -> RedisError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}
