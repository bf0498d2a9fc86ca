//! Strangers send tokens of random keys, from many connections, as fast as they are answered, and good tokens flow on.
//!
//! What is compared: the time that good tokens take on connections of their own, in three kinds of phases that take turns.
//! In all of them the same connections send as fast as they are answered, so that the machine is as busy:
//!
//! - *calm*: one expired token of a known key, which is refused about as cheaply, and never leads to a fetch
//! - *flood*: tokens of random keys, with a key server that is well
//! - *outage*: tokens of random keys, with a key server that does not answer
//!
//! For each fetch that hangs, strangers wait for a second at most, and do not send meanwhile: how many did is told, and how
//! many a second were refused in each kind of phase.
//!
//! Each kind comes to the median of its phases, so that what else the machine does troubles none of them more.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::Range,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cognigate_auth::{local_pool::claims, policy::TokenUse};
use e2e::{
    client::get,
    key_server::document,
    pool::{CLIENT_ID, KID, key, now, strangers_key},
    upstream::Answer,
};
use serde_json::json;

use crate::{
    load::{self, OVER, Phase, Sample, Script, Stage},
    report::{Millis, Report, percentile},
    world::{POOL, World, fresh_token},
};

/// How the report calls it.
pub(crate) const NAME: &str = "flood of random kids";

/// Connections that flood.
const STRANGERS: usize = 64;

/// Connections with good tokens.
const CALLERS: usize = 4;

/// Good tokens of each of these connections, over and over again.
const GOOD_TOKENS: usize = 32;

/// The time between two of their requests.
const GOOD_PAUSE: Duration = Duration::from_millis(4);

/// The phases. The first opens the connections, fills the cache, and is not looked at. Flood and outage take turns at being
/// first after a calm, so that the fetch that is allowed by then is made in each of them.
const PHASES: [Kind; 10] = {
    use Kind::{Calm, Flood, Outage};
    [Calm, Calm, Flood, Outage, Calm, Outage, Flood, Calm, Flood, Outage]
};

/// How long the first phase takes.
const WARM_UP: Duration = Duration::from_secs(1);

/// The least time between two fetches that tokens of unknown keys lead to.
const FETCH_INTERVAL: Duration = Duration::from_secs(10);

/// How far it may seem shorter, as a busy machine notes down late when a fetch arrived.
const LATENESS: Duration = Duration::from_millis(500);

/// The longest that a request may wait for a fetch, and what a busy machine adds.
const LONGEST_WAIT: Duration = Duration::from_millis(1000 + 500);

/// Longer than a stranger is on the way who does not wait for a fetch.
const LONG: Duration = Duration::from_millis(500);

/// How much slower good tokens may be in a flood.
const MAX_RATIO: f64 = 2.0;

/// Requests with good tokens, one after the other.
struct Caller {
    requests: Vec<Vec<u8>>,
    turn: usize,
}

impl Script for Caller {
    fn next(&mut self, _: Phase) -> &[u8] {
        self.turn = (self.turn + 1) % self.requests.len();
        self.requests.get(self.turn).map_or(&[], Vec::as_slice)
    }

    fn pause(&self) -> Duration {
        GOOD_PAUSE
    }
}

/// Requests that must be refused.
struct Stranger {
    expired: Vec<u8>,
    unknown: Vec<u8>,
    /// Where the name of the key is in `unknown`.
    kid: Range<usize>,
    random: u64,
}

impl Stranger {
    fn new(number: usize, expired: &str) -> Self {
        // A name of 24 letters at a place in the header that base64 writes on its own: other letters need only be put there.
        let placeholder = "k".repeat(24);
        let header = format!(r#"{{"kid": "{placeholder}","alg":"RS256"}}"#);
        let claims = claims(&POOL.issuer(), CLIENT_ID, TokenUse::Id, now());
        let token = strangers_key(KID).mint_raw(&header, &claims.to_string()).unwrap_or_default();
        let unknown = get("/items/unknown").token(&token).to_bytes();
        let written = URL_SAFE_NO_PAD.encode(&placeholder).into_bytes();
        let at = unknown.windows(written.len()).position(|window| window == written).unwrap_or_default();
        let random = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(number as u64 + 1);
        Self { expired: get("/items/expired").token(expired).to_bytes(), unknown, kid: at..at + written.len(), random }
    }

    fn random(&mut self) -> u64 {
        // xorshift64: anything that does not repeat will do.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Script for Stranger {
    fn next(&mut self, phase: Phase) -> &[u8] {
        if Kind::of(phase) == Kind::Calm {
            return &self.expired;
        }
        let name = format!("{:016x}{:08x}", self.random(), self.random() >> 32);
        if let Some(kid) = self.unknown.get_mut(self.kid.clone()) {
            kid.copy_from_slice(URL_SAFE_NO_PAD.encode(name).as_bytes());
        }
        &self.unknown
    }

    fn pause(&self) -> Duration {
        Duration::ZERO
    }
}

/// What strangers send in a phase, and how the key server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Calm,
    Flood,
    Outage,
}

impl Kind {
    fn of(phase: Phase) -> Self {
        PHASES.get(phase).copied().unwrap_or(Self::Calm)
    }
}

/// Floods, with phases of so many seconds.
pub(crate) fn random_keys(phase: Duration) -> Report {
    let (world, began) = (World::new("{ refresh: 1h }", ""), Instant::now());
    world.upstream.answer(Answer::json(200, "{}"));
    let proxy = world.start_proxy();
    proxy.wait_ready();
    let (stage, arrivals) = (Stage::default(), &mut BTreeMap::new());
    let (callers, strangers) = crowds(proxy.address(), &stage);
    for (number, kind) in PHASES.into_iter().enumerate() {
        world.keys.answer(if kind == Kind::Outage { Answer::never() } else { document([&key(KID)]) });
        stage.enter(number);
        load::pause(if number == 0 { WARM_UP } else { phase });
        add_arrivals(&world, arrivals);
    }
    stage.enter(OVER);
    let (callers, strangers) = (join(callers), join(strangers));
    add_arrivals(&world, arrivals);

    let mut report = Report::new(NAME);
    report.seconds = began.elapsed().as_secs_f64();
    count(&mut report, &callers, &strangers, arrivals);
    judge_fetches(&mut report, &world.keys.fetches());
    judge_times(&mut report, &callers, &strangers, phase);
    report
}

type Crowd = Vec<JoinHandle<Vec<Sample>>>;

/// Opens all connections: those with good tokens, and those without.
fn crowds(proxy: SocketAddr, stage: &Stage) -> (Crowd, Crowd) {
    let signer = key(KID);
    let expired = POOL.id_token(&json!({ "iat": now() - 7200, "exp": now() - 3600 }));
    let good = || get("/items/good").token(&fresh_token(&signer)).to_bytes();
    let callers = (0..CALLERS).map(|_| Caller { requests: (0..GOOD_TOKENS).map(|_| good()).collect(), turn: 0 });
    let callers: Vec<_> = callers.collect();
    let strangers = (0..STRANGERS).map(|number| load::start(proxy, stage, Stranger::new(number, &expired)));
    let strangers = strangers.collect();
    (callers.into_iter().map(|caller| load::start(proxy, stage, caller)).collect(), strangers)
}

fn join(crowd: Crowd) -> Vec<Sample> {
    crowd.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
}

fn add_arrivals(world: &World, arrivals: &mut BTreeMap<String, u64>) {
    for (class, count) in world.arrivals() {
        *arrivals.entry(class).or_default() += count;
    }
}

/// Counts what became of all requests.
fn count(report: &mut Report, callers: &[Sample], strangers: &[Sample], arrivals: &mut BTreeMap<String, u64>) {
    let of = |samples: &[Sample], status| count_of(samples, |sample| sample.status == status);
    report.served = of(callers, 200);
    report.refused = of(strangers, 401);
    report.wrong_refusals = count_of(callers, |sample| sample.status != 200);
    let arrived = arrivals.remove("good").unwrap_or_default();
    report.wrong_acceptances = arrivals.values().sum();
    report.require(arrived == report.served, || format!("{arrived} good requests arrived"));
    let odd: BTreeSet<_> = callers.iter().filter(|sample| sample.status != 200).map(|sample| sample.status).collect();
    report.require(odd.is_empty(), || format!("good tokens were answered {odd:?}"));
    let odd: BTreeSet<_> = strangers.iter().filter(|sample| sample.status != 401).map(|sample| sample.status).collect();
    report.require(odd.is_empty(), || format!("strangers were answered {odd:?}"));
}

/// The first fetch is the scheduled one. The others are for keys that nobody knows: one in ten seconds at most, and some.
fn judge_fetches(report: &mut Report, fetches: &[Instant]) {
    report.fetches = fetches.len() as u64;
    let gaps = fetches.iter().skip(1).zip(fetches.iter().skip(2)).map(|(earlier, later)| *later - *earlier);
    let shortest = gaps.min().unwrap_or(FETCH_INTERVAL);
    report.require(shortest + LATENESS >= FETCH_INTERVAL, || format!("two fetches within {shortest:?}"));
    let most = 2.0 + report.seconds / FETCH_INTERVAL.as_secs_f64();
    report.require(fetches.len() as f64 <= most, || format!("{} fetches, {most} are allowed", fetches.len()));
    report.require(fetches.len() > 1, || "no token of an unknown key led to a fetch".to_owned());
}

/// Compares the times of good tokens, and says how long strangers waited.
fn judge_times(report: &mut Report, callers: &[Sample], strangers: &[Sample], phase: Duration) {
    let p99 = |kind| median_of_phases(callers, kind, 99).unwrap_or_default();
    let (calm, flood, outage) = (p99(Kind::Calm), p99(Kind::Flood), p99(Kind::Outage));
    let ratio = |busy: Duration| busy.as_secs_f64() / calm.as_secs_f64();
    for (name, busy) in [("flood", flood), ("outage", outage)] {
        let ratio = ratio(busy);
        report.require(ratio <= MAX_RATIO, || format!("p99 in the {name} is {ratio:.2} times the calm one"));
    }
    let longest = strangers.iter().map(|sample| sample.took).max().unwrap_or_default();
    report.require(longest <= LONGEST_WAIT, || format!("a stranger was answered after {longest:?}"));
    let waited = count_of(strangers, |sample| sample.took > LONG);
    let rate = |kind| {
        let phases = PHASES.iter().skip(1).filter(|found| **found == kind).count() as f64;
        let all = count_of(strangers, |sample| sample.phase > 0 && Kind::of(sample.phase) == kind);
        all as f64 / phases / phase.as_secs_f64()
    };
    report.p99 = Some(flood);
    report.note = format!(
        "p99 calm {} at {:.0} refused/s; flood x{:.2} at {:.0}/s; key server silent x{:.2} at {:.0}/s; p50 {} {} {}; {waited} strangers waited, the longest {:.2} s",
        Millis(calm),
        rate(Kind::Calm),
        ratio(flood),
        rate(Kind::Flood),
        ratio(outage),
        rate(Kind::Outage),
        Millis(median_of_phases(callers, Kind::Calm, 50).unwrap_or_default()),
        Millis(median_of_phases(callers, Kind::Flood, 50).unwrap_or_default()),
        Millis(median_of_phases(callers, Kind::Outage, 50).unwrap_or_default()),
        longest.as_secs_f64(),
    );
}

/// The median of the percentiles of the phases of a kind.
fn median_of_phases(samples: &[Sample], kind: Kind, percent: usize) -> Option<Duration> {
    let phases = PHASES.iter().enumerate().skip(1).filter(|(_, found)| **found == kind).map(|(phase, _)| phase);
    let mut found: Vec<_> = phases
        .filter_map(|phase| {
            let of_phase = samples.iter().filter(|sample| sample.phase == phase && sample.status == 200);
            percentile(&mut of_phase.map(|sample| sample.took).collect::<Vec<_>>(), percent)
        })
        .collect();
    percentile(&mut found, 50)
}

fn count_of(samples: &[Sample], is_counted: impl Fn(&Sample) -> bool) -> u64 {
    samples.iter().filter(|sample| is_counted(sample)).count() as u64
}
