//! Steady traffic that knows what each of its requests must come to, and counts what it came to instead.
//!
//! A request belongs to a [`Class`]: where it goes, what token it carries, and which verdicts are right at the moment. What
//! is right may change while it runs, and a request that is under way at that moment may meet either. The class is the last
//! segment of the path, so that the upstream can say of each request that reached it which class it is of.

use std::{
    fmt,
    io::{self, ErrorKind},
    net::SocketAddr,
    ops::BitOr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use e2e::{
    client::{Client, Response, get},
    wait::{PATIENCE, Watched},
};

/// The time between two requests of a lane.
const PAUSE: Duration = Duration::from_millis(8);

/// The most faults that a class describes. All are counted.
const MAX_FAULTS: usize = 3;

/// What may become of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdicts(u8);

/// The upstream answered.
pub(crate) const SERVED: Verdicts = Verdicts(1);
/// 401: the token, or that there is none.
pub(crate) const REFUSED: Verdicts = Verdicts(2);
/// 503 and `Retry-After`: there are no keys to decide with.
pub(crate) const UNDECIDED: Verdicts = Verdicts(4);

impl Verdicts {
    const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn of(response: &Response) -> Option<Self> {
        match response.status {
            200 => Some(SERVED),
            401 => Some(REFUSED),
            503 if response.header("retry-after").is_some() => Some(UNDECIDED),
            _ => None,
        }
    }
}

impl fmt::Debug for Verdicts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(SERVED, "served"), (REFUSED, "401"), (UNDECIDED, "503")];
        let names = names.into_iter().filter(|(verdict, _)| self.has(*verdict)).map(|(_, name)| name);
        out.write_str(&names.collect::<Vec<_>>().join(" or "))
    }
}

impl BitOr for Verdicts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Where the token of a request comes from.
pub(crate) enum Token {
    /// It has none.
    None,
    /// Always the same: from the second time on it is in the cache, if it was good.
    Same(String),
    /// Another one for each request.
    Fresh(Box<dyn Fn() -> String + Send + Sync>),
}

impl Token {
    /// Another one for each request, by its number.
    pub(crate) fn fresh(mint: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self::Fresh(Box::new(mint))
    }
}

/// Requests of one kind.
pub(crate) struct Class {
    name: &'static str,
    guard: &'static str,
    token: Token,
    right: AtomicU8,
    tally: Watched<Tally>,
}

/// What became of the requests of a class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// The upstream answered.
    pub(crate) served: u64,
    /// 401.
    pub(crate) refused: u64,
    /// 503 and `Retry-After`.
    pub(crate) undecided: u64,
    /// Anything but the upstream's answer, where that or another verdict was due.
    pub(crate) wrong_refusals: u64,
    /// The upstream's answer, where it was not due.
    pub(crate) wrong_acceptances: u64,
    /// How long those that were served took.
    pub(crate) latencies: Vec<Duration>,
    /// The first verdicts that were not right.
    pub(crate) faults: Vec<String>,
}

impl Tally {
    fn count(&self, verdict: Verdicts) -> u64 {
        match verdict {
            SERVED => self.served,
            REFUSED => self.refused,
            _ => self.undecided,
        }
    }
}

impl fmt::Debug for Class {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Class({})", self.name)
    }
}

impl Class {
    /// Requests to the route that asks for a token.
    pub(crate) fn guarded(name: &'static str, token: Token, right: Verdicts) -> Arc<Self> {
        Self::new("items", name, token, right)
    }

    /// Requests to the route that asks for none.
    pub(crate) fn open(name: &'static str, right: Verdicts) -> Arc<Self> {
        Self::new("open", name, Token::None, right)
    }

    fn new(guard: &'static str, name: &'static str, token: Token, right: Verdicts) -> Arc<Self> {
        Arc::new(Self { name, guard, token, right: AtomicU8::new(right.0), tally: Watched::default() })
    }

    /// What the upstream calls it.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// What is right from now on.
    pub(crate) fn expect(&self, right: Verdicts) {
        self.right.store(right.0, Ordering::SeqCst);
    }

    /// What became of its requests so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.with(|tally| tally.clone())
    }

    /// Waits for the next request that ends like this.
    #[track_caller]
    pub(crate) fn await_next(&self, verdict: Verdicts) {
        let before = self.tally.with(|tally| tally.count(verdict));
        let found = self.tally.find(PATIENCE, |tally| (tally.count(verdict) > before).then_some(()));
        assert!(found.is_some(), "no request of {} was {verdict:?} within {PATIENCE:?}", self.name);
    }

    /// Sends one request and counts what becomes of it.
    pub(crate) fn ask(&self, client: &mut Client) -> io::Result<()> {
        let request = get(format!("/{}/{}", self.guard, self.name));
        let request = match &self.token {
            Token::None => request,
            Token::Same(token) => request.token(token),
            Token::Fresh(mint) => request.token(&mint()),
        };
        let right = self.right();
        let started = Instant::now();
        let answer = client.try_ask(&request);
        self.settle(&answer, started, right | self.right());
        match answer {
            Ok(response) if response.is_last() => Err(ErrorKind::ConnectionAborted.into()),
            answer => answer.map(drop),
        }
    }

    fn settle(&self, answer: &io::Result<Response>, started: Instant, right: Verdicts) {
        let verdict = answer.as_ref().ok().and_then(Verdicts::of);
        let is_right = verdict.is_some_and(|verdict| right.has(verdict));
        self.tally.with(|tally| {
            match verdict {
                Some(SERVED) => {
                    tally.served += 1;
                    tally.latencies.push(started.elapsed());
                }
                Some(REFUSED) => tally.refused += 1,
                Some(_) => tally.undecided += 1,
                None => {}
            }
            if is_right {
                return;
            }
            match verdict {
                Some(SERVED) => tally.wrong_acceptances += 1,
                _ => tally.wrong_refusals += 1,
            }
            if tally.faults.len() < MAX_FAULTS {
                let found =
                    answer.as_ref().map_or_else(ToString::to_string, |found| found.head.start_line().to_owned());
                let challenge = answer.as_ref().ok().and_then(|found| found.header("www-authenticate"));
                tally.faults.push(format!("{}: {found} {}", self.name, challenge.unwrap_or_default()));
            }
        });
    }

    fn right(&self) -> Verdicts {
        Verdicts(self.right.load(Ordering::SeqCst))
    }
}

/// One connection that sends a request of each of its classes in turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lane {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    /// Starts to send.
    pub(crate) fn start(proxy: SocketAddr, classes: Vec<Arc<Class>>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut turns = classes.iter().cycle();
            while !flag.load(Ordering::SeqCst) {
                let mut client = Client::connect(proxy);
                while !flag.load(Ordering::SeqCst) && turns.next().is_some_and(|class| class.ask(&mut client).is_ok()) {
                    thread::park_timeout(PAUSE);
                }
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || !matches!(ended, Some(Err(_))), "a connection to the proxy was refused");
    }
}
