//! Strangers who never come to the end of a head, and a client that is served meanwhile.
//!
//! What is compared: the time that good requests take on connections of their own, in two kinds of phases that take turns.
//!
//! - *idle*: the strangers have asked something, and wait
//! - *slow*: each sends a head byte by byte, and opens a new connection when it is cut off
//!
//! Each kind comes to the median of its phases, so that what else the machine does troubles neither more.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use e2e::{
    client::{Client, get},
    edge::Edge,
    upstream::Answer,
    wait::within,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
    sync::watch,
    time::{interval_at, sleep},
};

use crate::{BINARY, allow_connections, alone, say};

/// How many strangers there are.
const STRANGERS: usize = 2000;

/// The time between two bytes of theirs.
const PACE: Duration = Duration::from_millis(500);

/// After which they are cut off: `limits.header_read_timeout`.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(2);

/// How long strangers may take to change what they do: all of them have begun anew within a timeout.
const CHANGE: Duration = Duration::from_secs(15);

/// Connections with good requests.
const CALLERS: usize = 4;

/// The time between two requests of such a connection.
const PAUSE: Duration = Duration::from_millis(5);

/// How long requests are measured in a phase.
const PHASE: Duration = Duration::from_millis(700);

/// The phases. The first is not looked at. Each kind has so many that a third of them may coincide with something else that
/// the machine does.
const PHASES: [Conduct; 19] = {
    use Conduct::{Idle, Slow};
    [Idle, Idle, Idle, Idle, Slow, Slow, Slow, Idle, Idle, Idle, Slow, Slow, Slow, Idle, Idle, Idle, Slow, Slow, Slow]
};

/// Nothing is measured: the strangers change what they do.
const BETWEEN: usize = usize::MAX;

/// Everything is over.
const OVER: usize = usize::MAX - 1;

/// How much slower good requests may be.
const MAX_RATIO: f64 = 2.0;

/// What strangers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    Idle,
    Slow,
}

/// What they have come to.
#[derive(Debug, Default)]
struct Tally {
    idle: AtomicUsize,
    slow: AtomicUsize,
    /// How often one was cut off.
    cut: AtomicUsize,
    /// Bytes that were sent one at a time.
    bytes: AtomicUsize,
    /// Connections that ended in another way.
    wrong: AtomicUsize,
}

/// One more, until it is dropped.
struct Counted<'t>(&'t AtomicUsize);

impl<'t> Counted<'t> {
    fn new(count: &'t AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All strangers, on a thread of their own.
struct Crowd {
    conduct: watch::Sender<Conduct>,
    tally: Arc<Tally>,
    thread: JoinHandle<()>,
}

impl Crowd {
    fn start(proxy: SocketAddr) -> Self {
        let (conduct, told) = watch::channel(Conduct::Idle);
        let tally = Arc::new(Tally::default());
        let shared = Arc::clone(&tally);
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for number in 0..STRANGERS {
                    let (told, tally) = (told.clone(), Arc::clone(&shared));
                    tokio::spawn(async move {
                        let Err(_) = stranger(proxy, number, told, &tally).await;
                        tally.wrong.fetch_add(1, Ordering::Relaxed);
                    });
                }
                let mut told = told;
                while told.changed().await.is_ok() {}
            });
        });
        Self { conduct, tally, thread }
    }

    /// Has all of them do this, and waits until they do.
    #[track_caller]
    fn change(&self, conduct: Conduct) {
        self.conduct.send_replace(conduct);
        let Tally { idle, slow, .. } = &*self.tally;
        let (some, none) = match conduct {
            Conduct::Idle => (idle, slow),
            Conduct::Slow => (slow, idle),
        };
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        // Those who are cut off at this moment are on no side.
        let is_done = || of(some) >= STRANGERS * 99 / 100 && of(none) == 0;
        assert!(within(CHANGE, || is_done().then_some(())).is_some(), "{conduct:?}: {:?}", self.tally);
    }

    /// Lets all of them go.
    fn stop(self) -> Arc<Tally> {
        drop(self.conduct);
        self.thread.join().unwrap();
        self.tally
    }
}

/// Connects again and again.
async fn stranger(
    proxy: SocketAddr,
    number: usize,
    mut told: watch::Receiver<Conduct>,
    tally: &Tally,
) -> io::Result<Infallible> {
    // Each begins at a time of its own, so that they are not all cut off at once.
    let turn = HEADER_READ_TIMEOUT * u32::try_from(number).unwrap() / u32::try_from(STRANGERS).unwrap();
    loop {
        let mut stream = TcpStream::connect(proxy).await?;
        stream.set_nodelay(true)?;
        while ask(&mut stream, turn, &mut told, tally).await? {}
        tally.cut.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks for what is not there, at once or as slowly as told, and waits until it is time to be slow. Whether the connection is
/// still there.
async fn ask(
    stream: &mut TcpStream,
    turn: Duration,
    told: &mut watch::Receiver<Conduct>,
    tally: &Tally,
) -> io::Result<bool> {
    stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX-Long: ").await?;
    if *told.borrow_and_update() == Conduct::Slow && !trickle(stream, told, tally).await? {
        return Ok(false);
    }
    // Either fails if it is cut off at this moment.
    if stream.write_all(b"\r\n\r\n").await.is_err() || !read_to(stream, b"{\"message\":\"Not Found\"}").await {
        return Ok(false);
    }
    let idle = Counted::new(&tally.idle);
    told_to_be(Conduct::Slow, told).await;
    drop(idle);
    sleep(turn).await;
    Ok(true)
}

/// Waits for this.
async fn told_to_be(conduct: Conduct, told: &mut watch::Receiver<Conduct>) {
    if told.wait_for(|told| *told == conduct).await.is_err() {
        // Everything is over.
        std::future::pending().await
    }
}

/// Sends one byte after the other until told otherwise, or cut off. Whether the connection is still there.
async fn trickle(stream: &mut TcpStream, told: &mut watch::Receiver<Conduct>, tally: &Tally) -> io::Result<bool> {
    let _slow = Counted::new(&tally.slow);
    let mut pace = interval_at(tokio::time::Instant::now() + PACE, PACE);
    let mut answer = [0; 512];
    loop {
        tokio::select! {
            () = told_to_be(Conduct::Idle, told) => return Ok(true),
            read = stream.read(&mut answer) => {
                // Without an answer if a byte of ours crossed it.
                if read.is_ok() && !answer.starts_with(b"HTTP/1.1 408 ") {
                    tally.wrong.fetch_add(1, Ordering::Relaxed);
                }
                return Ok(false);
            }
            _ = pace.tick() => {
                tally.bytes.fetch_add(1, Ordering::Relaxed);
                if stream.write_all(b"x").await.is_err() {
                    return Ok(false);
                }
            }
        }
    }
}

/// Reads up to these bytes. Whether they came.
async fn read_to(stream: &mut TcpStream, end: &[u8]) -> bool {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        if !matches!(stream.read_buf(&mut seen).await, Ok(1..)) {
            return false;
        }
    }
    true
}

/// A good request: the phase in which it was sent, and how long its answer took.
type Sample = (usize, Duration);

/// Sends good requests, one after the other, until everything is over.
fn call(edge: &Edge, stage: &AtomicUsize, token: &str) -> Vec<Sample> {
    let (mut client, request) = (edge.client(), get("/items/1").token(token));
    let mut samples = Vec::new();
    loop {
        let phase = stage.load(Ordering::SeqCst);
        if phase == OVER {
            return samples;
        }
        let began = Instant::now();
        let answer = Client::ask(&mut client, &request);
        samples.push((phase, began.elapsed()));
        assert_eq!(answer.status, 200);
        if answer.is_last() {
            client = edge.client();
        }
        pause(PAUSE);
    }
}

/// Ends the calls when it is dropped, also by a test that fails.
struct Over<'s>(&'s AtomicUsize);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(OVER, Ordering::SeqCst);
    }
}

fn pause(time: Duration) {
    // Nothing comes: all of the time passes.
    within(time, || None::<()>);
}

/// What so many of a hundred are not above: fewer than all. Puts them in order.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    *times.get(times.len() * percent / 100).unwrap()
}

/// The median of the percentiles of the phases of a kind.
fn median_of_phases(samples: &[Sample], kind: Conduct, percent: usize) -> Duration {
    let phases = PHASES.iter().enumerate().skip(1).filter(|(_, conduct)| **conduct == kind);
    let of_phase = |(phase, _)| samples.iter().filter(move |sample| sample.0 == phase).map(|sample| sample.1);
    let percentiles = phases.map(|phase| percentile(&mut of_phase(phase).collect::<Vec<_>>(), percent));
    percentile(&mut percentiles.collect::<Vec<_>>(), 50)
}

#[test]
fn slow_heads_do_not_delay_who_is_served() {
    let _alone = alone();
    allow_connections(2 * STRANGERS);
    let limits = format!("{{ header_read_timeout: {}ms, idle_timeout: 1h }}", HEADER_READ_TIMEOUT.as_millis());
    let edge = Edge::start(BINARY, &[("limits", &limits)]);
    edge.upstream.answer(Answer::json(200, "{}"));
    let token = edge.pool.id_token(&json!({}));
    let (stage, crowd) = (AtomicUsize::new(BETWEEN), Crowd::start(edge.proxy.address()));
    let samples: Vec<Sample> = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(|| call(&edge, &stage, &token))).collect();
        let over = Over(&stage);
        for (phase, conduct) in PHASES.into_iter().enumerate() {
            stage.store(BETWEEN, Ordering::SeqCst);
            crowd.change(conduct);
            stage.store(phase, Ordering::SeqCst);
            pause(PHASE);
        }
        drop(over);
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    let tally = crowd.stop();
    let [cut, bytes, wrong] = [&tally.cut, &tally.bytes, &tally.wrong].map(|count| count.load(Ordering::Relaxed));

    let p99 = |kind| median_of_phases(&samples, kind, 99);
    let (idle, slow) = (p99(Conduct::Idle), p99(Conduct::Slow));
    let ratio = slow.as_secs_f64() / idle.as_secs_f64();
    say(format_args!(
        "{STRANGERS} slow heads: p99 of {} good requests {slow:?}, while the same connections wait {idle:?}: x{ratio:.2}; \
         p50 {:?} and {:?}; {bytes} single bytes, cut off {cut} times",
        samples.len(),
        median_of_phases(&samples, Conduct::Slow, 50),
        median_of_phases(&samples, Conduct::Idle, 50),
    ));
    let slow_phases = PHASES.iter().filter(|conduct| **conduct == Conduct::Slow).count();
    assert_eq!(wrong, 0, "{tally:?}");
    // Half of what each comes to, at one in a timeout and one byte in a pace.
    let due = |time: Duration| slow_phases as f64 * PHASE.as_secs_f64() / time.as_secs_f64() * STRANGERS as f64 / 2.0;
    assert!(cut as f64 >= due(HEADER_READ_TIMEOUT), "cut off {cut} times only");
    assert!(bytes as f64 >= due(PACE), "{bytes} bytes only");
    assert!(ratio <= MAX_RATIO, "good requests take {ratio:.2} times as long");
}
