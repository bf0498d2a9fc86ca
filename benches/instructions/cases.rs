//! What is counted, each with how many runs it takes. The first run is not counted.

use std::{error::Error, hint::black_box};

use benches::{
    gate::{Gate, NOW, refused, token},
    jwks_document::document,
    log_entry::entry,
    routes::{HOST, TARGETS, routes},
    signature::bare_verification,
    weak_key::WeakKey,
};
use cognigate::{
    config::{
        self,
        model::{AccessLogConfig, LogFormat, LogTarget},
    },
    filter::{hygiene, limits},
    route::{path, table::RouteTable},
    telemetry::{
        access_log::{AccessLog, LogWriters},
        metrics::ProxyMetrics,
    },
};
use cognigate_auth::keys::key_set::KeySet;
use http::Method;
use pingora_http::RequestHeader;
use prometheus::Registry;

/// One run, which is given its number, and whether it came to what it should.
pub(crate) type Run = Box<dyn FnMut(usize) -> bool>;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How many runs there are, and one of them.
type Case = Outcome<(usize, Run)>;

type Named = (&'static str, fn() -> Case);

/// Every case and its name.
pub(crate) const CASES: [Named; 17] = [
    ("bare_signature", bare_signature),
    ("token/cached", cached_token),
    ("token/new", new_token),
    ("refused/no_token", || refusal("no_token")),
    ("refused/not_a_token", || refusal("not_a_token")),
    ("refused/not_json", || refusal("not_json")),
    ("refused/unknown_key", || refusal("unknown_key")),
    ("refused/expired", || refusal("expired")),
    ("refused/wrong_client", || refusal("wrong_client")),
    ("refused/bad_signature", || refusal("bad_signature")),
    ("route/10_routes", || route(2)),
    ("route/1000_routes", || route(200)),
    ("head", head),
    ("jwks/2_keys", || jwks(2)),
    ("jwks/16_keys", || jwks(16)),
    ("access_log/json", || access_log(LogFormat::Json)),
    ("access_log/combined", || access_log(LogFormat::Combined)),
];

/// How many tokens are in the cache.
const CACHED: usize = 1_000;

/// The default of a configuration.
const CACHE_BYTES: usize = 64 << 20;

/// A new token is new once: how many there are of them.
const NEW: usize = 200;

/// How many tables take turns. Where one has its entries is a matter of its seed.
const TABLES: usize = 16;

/// Few enough for the log's buffer, whatever its writer does meanwhile.
const LINES: usize = 4_000;

fn bare_signature() -> Case {
    let key = WeakKey::new("a");
    let tokens = Vec::from_iter((0..=NEW).map(|serial| token(&key, serial)));
    Ok((NEW, Box::new(bare_verification(&key, &tokens)?)))
}

/// A gate that remembers the tokens of the lowest numbers.
fn warm_gate(key: &WeakKey) -> Outcome<(Gate, Vec<String>)> {
    let gate = Gate::new(key, CACHE_BYTES, &Registry::new())?;
    let tokens = Vec::from_iter((0..CACHED).map(|serial| token(key, serial)));
    match tokens.iter().map(|token| gate.reason(Some(token))).find(|reason| *reason != "ok") {
        None => Ok((gate, tokens)),
        Some(reason) => Err(reason.into()),
    }
}

fn cached_token() -> Case {
    let (gate, tokens) = warm_gate(&WeakKey::new("a"))?;
    let run = move |run: usize| tokens.get(run % CACHED).is_some_and(|token| gate.reason(Some(token)) == "ok");
    Ok((10 * CACHED, Box::new(run)))
}

/// Verified and remembered.
fn new_token() -> Case {
    let key = WeakKey::new("a");
    let (gate, _) = warm_gate(&key)?;
    let tokens = Vec::from_iter((CACHED..=CACHED + NEW).map(|serial| token(&key, serial)));
    Ok((NEW, Box::new(move |run| tokens.get(run).is_some_and(|token| gate.reason(Some(token)) == "ok"))))
}

fn refusal(name: &str) -> Case {
    let key = WeakKey::new("a");
    let (gate, _) = warm_gate(&key)?;
    let request = refused(&key)?.into_iter().find(|request| request.name == name).ok_or("no such request")?;
    Ok((1_000, Box::new(move |_| gate.reason(black_box(request.token.as_deref())) == request.reason)))
}

/// The path is checked, and the route found.
fn route(services: usize) -> Case {
    let routes = routes(services)?;
    let tables = Vec::from_iter((0..TABLES).map(|_| RouteTable::build(&routes)));
    let find = |(table, (_, target)): (&RouteTable, &(&str, &str))| {
        let path = path::check(black_box(target.as_bytes()));
        path.is_ok_and(|path| table.find(black_box(HOST), &path, &Method::GET).is_some())
    };
    let run =
        move |run: usize| tables.get(run % TABLES).zip(TARGETS.get(run / TABLES % TARGETS.len())).is_some_and(find);
    Ok((100 * TABLES * TARGETS.len(), Box::new(run)))
}

/// What a browser sends, checked for its size and for what could be understood in two ways.
fn head() -> Case {
    let mut request = RequestHeader::build("GET", b"/items/4711/parts?fields=all", None)?;
    for (name, value) in [
        ("Host", "api.example.com"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"),
        ("Accept", "application/json"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Referer", "https://app.example.com/items"),
        ("Origin", "https://app.example.com"),
        ("Sec-Fetch-Dest", "empty"),
        ("Sec-Fetch-Mode", "cors"),
        ("Sec-Fetch-Site", "same-site"),
        ("Connection", "keep-alive"),
    ] {
        request.append_header(name, value)?;
    }
    request.append_header("Authorization", format!("Bearer {}", token(&WeakKey::new("a"), 0)))?;
    // Those of a configuration that says nothing of them.
    let limits = config::parse("minimal.yaml", include_str!("../../conf/minimal.yaml"))?.limits;
    let run = move |_| {
        let request = black_box(&request);
        limits::check(request, &limits).is_ok() && hygiene::check(request).is_ok()
    };
    Ok((1_000, Box::new(run)))
}

fn jwks(keys: u8) -> Case {
    let document = document(keys);
    let run = move |_| {
        let set = KeySet::parse(black_box(document.as_bytes()), NOW, None);
        set.is_ok_and(|set| set.kids().len() == usize::from(keys))
    };
    Ok((100, Box::new(run)))
}

/// A line is made and handed to the writer.
fn access_log(format: LogFormat) -> Case {
    let metrics = ProxyMetrics::register(&Registry::new(), "", "")?.access_log;
    let config = AccessLogConfig { target: LogTarget::File("/dev/null".into()), format };
    let log = AccessLog::open(&config, metrics.clone(), &LogWriters::default())?;
    let run = move |_| {
        log.write(black_box(&entry()));
        metrics.dropped.get() == 0
    };
    Ok((LINES, Box::new(run)))
}
