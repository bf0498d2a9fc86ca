//! The rules: as written → usable.
//!
//! - Each section is taken apart by name, without `..`, so that a new key cannot be forgotten here.
//! - Every rule that is broken is reported. A section first looks at all of its keys and only then gives up.
//! - Names are looked up among those that the file has, broken or not: one mistake is not reported twice.

mod bind;
mod cors;
mod files;
mod headers;
mod health;
mod limits;
mod pools;
mod rate;
mod revocation;
mod routes;
mod telemetry;
mod tls;
mod upstreams;

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::Path,
};

use cognigate_auth::cache::MIN_CACHE_BYTES;
use ipnet::IpNet;

use self::{bind::Bound, files::NamedFiles};
use super::{
    file::{
        ByteSize, ConfigSection, ForwardedSection, Named, Period, ResponsesSection, Scalar, ServerSection,
        TokenCacheSection,
    },
    finding::{At, Finding},
    model::{Config, ForwardedConfig, ResponsesConfig, ServerConfig, TokenCacheConfig},
    rule::BrokenRule,
};

/// `server.threads`. More than this many is a typing mistake.
const THREADS: RangeInclusive<u64> = 0..=1024;

/// `server.shutdown_grace`
const SHUTDOWN_GRACE: RangeInclusive<Period> = Period::seconds(0)..=Period::hours(1);

/// `server.drain_delay`
const DRAIN_DELAY: RangeInclusive<Period> = Period::seconds(0)..=Period::hours(1);

/// `token_cache.max_bytes`. More than this is a typing mistake too.
const MAX_CACHE_SIZE: ByteSize = ByteSize::gibibytes(64);

/// The longest name of a user pool or an upstream, in bytes. Names are labels of metrics.
const MAX_NAME_BYTES: usize = 64;

/// The longest name of other things, in characters: a key of Redis, a service.
const MAX_PRINTABLE_CHARS: usize = 128;

/// How many names an error lists.
const MAX_NAMES_SHOWN: usize = 16;

/// Applies every rule. Paths that are relative begin in the folder of `file`, the configuration, however the process was
/// started.
///
/// # Errors
///
/// Every rule that is broken, at least one.
pub(super) fn convert(section: ConfigSection, file: &Path) -> Result<Config, Vec<Finding>> {
    let findings = RefCell::default();
    let config = config(section, &mut NamedFiles::of(file), &At::root(&findings));
    let findings = findings.into_inner();
    config.filter(|_| findings.is_empty()).ok_or(findings)
}

fn config(section: ConfigSection, files: &mut NamedFiles, at: &At<'_>) -> Option<Config> {
    let ConfigSection {
        listeners,
        admin,
        user_pools,
        upstreams,
        resolver,
        routes,
        token,
        forwarded: ForwardedSection { trusted },
        identity,
        token_cache,
        revocation,
        cors,
        responses: ResponsesSection { profile: Scalar(profile) },
        limits,
        access_log,
        tracing,
        server,
    } = section;
    let pool_names = Names::of("user pool", &user_pools);
    let upstream_names = Names::of("upstream", &upstreams);
    let mut bound = Bound::default();

    let listeners = bind::listeners(listeners, &mut bound, files, &at.field("listeners"));
    let admin = bind::admin(admin, &mut bound, files, &at.field("admin"));
    let user_pools = pools::user_pools(user_pools, files, &at.field("user_pools"));
    let upstreams = upstreams::upstreams(upstreams, files, &at.field("upstreams"));
    let resolver = upstreams::resolver(resolver, &at.field("resolver"));
    let routes = routes::routes(routes, &pool_names, &upstream_names, &at.field("routes"));
    let token = headers::token(token, &at.field("token"));
    let identity = headers::identity(identity, &token.sources, &at.field("identity"));
    let trusted = networks(trusted, &at.field("forwarded").field("trusted"));
    let token_cache = self::token_cache(token_cache, &at.field("token_cache"));
    let revocation = revocation::revocation(revocation, files, &at.field("revocation"));
    let cors = cors.map(|section| cors::cors(section, &at.field("cors")));
    let limits = limits::limits(limits, &at.field("limits"));
    let access_log = access_log.map(|section| telemetry::access_log(section, files, &at.field("access_log")));
    let tracing = tracing.map(|section| telemetry::tracing(section, &at.field("tracing")));
    let server = self::server(server, &at.field("server"));
    Some(Config {
        listeners,
        admin: admin?,
        user_pools: user_pools.list,
        jwks_state_files: user_pools.state_files,
        upstreams,
        resolver: resolver?,
        routes,
        token,
        forwarded: ForwardedConfig { trusted },
        identity,
        token_cache: token_cache?,
        revocation: revocation?,
        cors: where_given(cors)?,
        responses: ResponsesConfig { profile },
        limits: limits?,
        access_log: where_given(access_log)?,
        tracing: where_given(tracing)?,
        server: server?,
    })
}

fn networks(list: Vec<Scalar<String>>, at: &At<'_>) -> Vec<IpNet> {
    let network = |(index, word): (usize, Box<str>)| {
        let address = word.parse::<IpAddr>().map(IpNet::from);
        let network = address.or_else(|_| word.parse::<IpNet>());
        at.item(index).accept(network.map_err(|_| BrokenRule::Network(word.into())))
    };
    words(list, at).into_iter().enumerate().filter_map(network).collect()
}

fn token_cache(section: TokenCacheSection, at: &At<'_>) -> Option<TokenCacheConfig> {
    let TokenCacheSection { max_bytes: Scalar(found) } = section;
    let max_bytes = usize::try_from(found.0).unwrap_or(usize::MAX);
    if max_bytes == 0 || (max_bytes >= MIN_CACHE_BYTES && found <= MAX_CACHE_SIZE) {
        return Some(TokenCacheConfig { max_bytes });
    }
    at.field("max_bytes").refuse(BrokenRule::CacheSize {
        found: found.to_string(),
        least: ByteSize(u64::try_from(MIN_CACHE_BYTES).unwrap_or(u64::MAX)).to_string(),
        most: MAX_CACHE_SIZE.to_string(),
    })
}

fn server(section: ServerSection, at: &At<'_>) -> Option<ServerConfig> {
    let ServerSection {
        threads: Scalar(threads),
        shutdown_grace: Scalar(shutdown_grace),
        drain_delay: Scalar(drain_delay),
        watch: Scalar(watch),
    } = section;
    let threads = at.field("threads").within(threads, &THREADS);
    let shutdown_grace = at.field("shutdown_grace").within(shutdown_grace, &SHUTDOWN_GRACE);
    let drain_delay = at.field("drain_delay").within(drain_delay, &DRAIN_DELAY);
    Some(ServerConfig {
        threads: usize::try_from(threads?).ok().and_then(NonZeroUsize::new),
        shutdown_grace: shutdown_grace?.0,
        drain_delay: drain_delay?.0,
        watch,
    })
}

fn address(text: &str, at: &At<'_>) -> Option<SocketAddr> {
    at.accept(text.parse().map_err(|_| BrokenRule::Address(text.to_owned())))
}

/// A name that can be shown.
fn printable(text: String, at: &At<'_>) -> Option<Box<str>> {
    let is_short = (1..=MAX_PRINTABLE_CHARS).contains(&text.chars().count());
    match is_short && !text.contains(char::is_control) {
        true => Some(text.into()),
        false => at.refuse(BrokenRule::Printable(text)),
    }
}

/// What may be left out. The outer `None`: it is there, and is none.
fn where_given<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        Some(value) => value.map(Some),
        None => Some(None),
    }
}

/// Client ids, scopes, groups: each once, and none that no token can have.
fn words(list: Vec<Scalar<String>>, at: &At<'_>) -> Box<[Box<str>]> {
    let mut seen = HashSet::new();
    for (index, Scalar(word)) in list.iter().enumerate() {
        let at = at.item(index);
        if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
            at.report(BrokenRule::Word(word.clone()));
        } else if !seen.insert(word) {
            at.report(BrokenRule::Duplicate(format!("{word:?}")));
        }
    }
    list.into_iter().map(|Scalar(word)| word.into()).collect()
}

fn check_name(name: &str, at: &At<'_>) {
    if !is_name(name) {
        at.report(BrokenRule::Name(name.to_owned()));
    }
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// The names in one section of the file, and their places there.
struct Names {
    kind: &'static str,
    places: HashMap<Box<str>, usize>,
    known: String,
}

impl Names {
    fn of<T>(kind: &'static str, Named(sections): &Named<T>) -> Self {
        let names = || sections.iter().map(|(name, _)| name.as_str());
        let shown: Vec<_> = names().filter(|name| is_name(name)).take(MAX_NAMES_SHOWN).collect();
        let known = match sections.len().saturating_sub(shown.len()) {
            _ if shown.is_empty() => "known: none".to_owned(),
            0 => format!("known: {}", shown.join(", ")),
            more => format!("known: {} and {more} more", shown.join(", ")),
        };
        let places = names().zip(0..).map(|(name, place)| (name.into(), place)).collect();
        Self { kind, places, known }
    }

    fn place_of(&self, name: &str, at: &At<'_>) -> Option<usize> {
        at.accept(self.places.get(name).copied().ok_or_else(|| BrokenRule::UnknownName {
            kind: self.kind,
            name: name.to_owned(),
            known: self.known.clone(),
        }))
    }
}
