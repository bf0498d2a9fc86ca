//! A new configuration: read ─▶ validated ─▶ built ─▶ warmed ─▶ published whole, or refused whole.
//!
//! - What is refused changes nothing: the configuration before it stays, and the log says every reason.
//! - What cannot change while the process runs is named and refused, not ignored.
//! - Warmed is: every user pool that a route asks for has its keys, so that no request meets a pool that has none. It has a
//!   bound, because a pool whose keys cannot be had must not hold back a change of everything else: that pool refuses with 503
//!   until its keys come, and the proxy stays ready for the rest. Likewise, every upstream that is found by its name has addresses.

use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use thiserror::Error;
use tokio::{
    task::spawn_blocking,
    time::{interval, timeout},
};

use crate::{
    config::{
        self, Loaded,
        error::ConfigErrors,
        model::{AdminConfig, Config, Endpoints, RedisConfig, ResolverConfig, RevocationConfig, ServerConfig},
    },
    listener::BindError,
    runtime::{BuildError, Runtime, Surroundings},
    telemetry::log::with_causes,
    tls::load::TlsErrors,
    upstream::pool::Pool,
};

/// What warming may take beyond the fetch of keys.
const WARM_MARGIN: Duration = Duration::from_secs(1);

/// The longest wait for addresses: a process that takes over from another has half a minute for everything.
const MAX_ADDRESS_WAIT: Duration = Duration::from_secs(10);

/// How often it is asked whether what is waited for is there.
const WARM_INTERVAL: Duration = Duration::from_millis(10);

/// Why the configuration stays as it was.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The file is bad.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The file was not read to the end: a fault of ours.
    #[error("it was not read to the end")]
    Interrupted,
    /// There is no file to read.
    #[error("this configuration is not from a file")]
    NoFile,
    /// Keys that differ and cannot change while the process runs.
    #[error("{}", Fixed::lines(.0))]
    Fixed(Vec<Fixed>),
    /// The files of a listener's `tls` cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsErrors),
    /// The configuration cannot be served although it was checked.
    #[error(transparent)]
    Runtime(#[from] BuildError),
}

/// A key that cannot change while the process runs.
#[derive(Debug)]
pub struct Fixed {
    key: &'static str,
    current: String,
    new: String,
}

impl ReloadError {
    /// Every reason, one a line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Bind(_) | Self::Interrupted | Self::NoFile | Self::Runtime(_) => vec![with_causes(self)],
            Self::Config(errors) => errors.iter().map(ToString::to_string).collect(),
            Self::Tls(errors) => errors.lines().map(str::to_owned).collect(),
            Self::Fixed(fixed) => fixed.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Fixed {
    fn lines(fixed: &[Self]) -> String {
        let lines: Vec<_> = fixed.iter().map(Self::to_string).collect();
        lines.join("\n")
    }
}

impl fmt::Display for Fixed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, current, new } = self;
        write!(
            out,
            "{key}: cannot change from {current} to {new} while the process runs: restart it, or hand over with SIGQUIT"
        )
    }
}

/// Reads and checks a file, off the threads that serve.
///
/// # Errors
///
/// [`ReloadError::Config`].
pub async fn read(file: &Path) -> Result<Loaded, ReloadError> {
    let file = file.to_owned();
    let read = spawn_blocking(move || config::load(&file)).await;
    Ok(read.map_err(|_| ReloadError::Interrupted)??)
}

/// Compares what a process takes from its configuration once.
///
/// # Errors
///
/// [`ReloadError::Fixed`].
pub fn check_fixed(current: &Config, new: &Config) -> Result<(), ReloadError> {
    let AdminConfig { address: current_address, token_file: current_token_file } = &current.admin;
    let AdminConfig { address: new_address, token_file: new_token_file } = &new.admin;
    let RevocationConfig { file, state_file, max_entries, redis } = &current.revocation;
    let RevocationConfig { file: new_file, state_file: new_state_file, max_entries: new_max_entries, redis: new_redis } =
        &new.revocation;
    // The others are looked at when their time comes.
    let ServerConfig { threads: current_threads, shutdown_grace: _, drain_delay: _, watch: _ } = current.server;
    let ServerConfig { threads: new_threads, shutdown_grace: _, drain_delay: _, watch: _ } = new.server;
    let threads = |threads: Option<_>| threads.map_or("0".to_owned(), |threads| format!("{threads}"));
    let path = |path: &Option<PathBuf>| path.as_ref().map_or("none".to_owned(), |path| path.display().to_string());
    let redis_url = |redis: &Option<RedisConfig>| format!("{redis:?}");
    let fixed: Vec<_> = [
        ("admin.address", current_address.to_string(), new_address.to_string()),
        ("admin.token_file", path(current_token_file), path(new_token_file)),
        ("revocation.file", path(file), path(new_file)),
        ("revocation.state_file", path(state_file), path(new_state_file)),
        ("revocation.max_entries", max_entries.to_string(), new_max_entries.to_string()),
        ("revocation.redis", redis_url(redis), redis_url(new_redis)),
        ("server.threads", threads(current_threads), threads(new_threads)),
    ]
    .into_iter()
    .filter(|(_, current, new)| current != new)
    .map(|(key, current, new)| Fixed { key, current, new })
    .collect();
    if fixed.is_empty() { Ok(()) } else { Err(ReloadError::Fixed(fixed)) }
}

/// Builds the snapshot of a configuration, off the threads that serve.
///
/// # Errors
///
/// [`ReloadError::Runtime`].
pub async fn build(
    config: &Config,
    surroundings: &Surroundings,
    current: &Arc<Runtime>,
) -> Result<Runtime, ReloadError> {
    let (config, surroundings, current) = (config.clone(), surroundings.clone(), Arc::clone(current));
    let built = spawn_blocking(move || {
        let runtime = Runtime::build(&config, &surroundings, Some(&current))?;
        runtime.authorizer.restore_keys();
        Ok::<_, BuildError>(runtime)
    });
    Ok(built.await.map_err(|_| ReloadError::Interrupted)??)
}

/// Waits for the keys that the new snapshot needs and the current one does not wait for already, at most as long as one fetch of
/// them may take; and, meanwhile, for addresses. The user pools that have no keys then are excused.
pub async fn warm(new: &mut Runtime, current: &Runtime, config: &Config) {
    let addresses = await_addresses(new, Some(current), &config.resolver);
    let (late, ()) = tokio::join!(await_keys(new, current, config), addresses);
    if !late.is_empty() {
        tracing::warn!(user_pools = %late.join(", "), "no usable keys yet: routes that ask for these pools refuse with 503");
        new.excuse(late);
    }
}

/// Waits for the keys of user pools that `current` does not wait for. Returns those that have none then.
async fn await_keys(new: &Runtime, current: &Runtime, config: &Config) -> Vec<Box<str>> {
    let awaited: HashSet<Box<str>> = current.pools_missing_keys().map(Box::from).collect();
    let late = || -> Vec<Box<str>> {
        new.pools_missing_keys().filter(|name| !awaited.contains(*name)).map(Box::from).collect()
    };
    let missing = late();
    let pools = config.user_pools.iter().filter(|pool| missing.contains(&pool.name));
    let Some(longest) = pools.map(|pool| pool.jwks.timeout).max() else { return Vec::new() };
    // Whether or not they come: those that did not are returned.
    drop(timeout(longest + WARM_MARGIN, until(|| late().is_empty())).await);
    late()
}

/// Waits until the upstreams have addresses whose endpoints are discovered, but for those that `current` has as well: at most as
/// long as a question to a name server may take.
pub async fn await_addresses(new: &Runtime, current: Option<&Runtime>, resolver: &ResolverConfig) {
    let known = current.map(Runtime::pools);
    let is_known = |pool: &Arc<Pool>| known.iter().flat_map(|known| known.iter()).any(|known| Arc::ptr_eq(known, pool));
    let is_found = |pool: &Arc<Pool>| match pool.config().endpoints {
        Endpoints::Discovered(_) => !pool.members().endpoints().is_empty(),
        Endpoints::Listed(_) => true,
    };
    let pools = new.pools();
    let late = || -> Vec<&str> {
        pools.iter().filter(|pool| !(is_found(pool) || is_known(pool))).map(|pool| pool.name()).collect()
    };
    if timeout(resolver.timeout.min(MAX_ADDRESS_WAIT), until(|| late().is_empty())).await.is_err() {
        tracing::warn!(upstreams = %late().join(", "), "no addresses yet: requests for these upstreams are refused with 503");
    }
}

/// Looks again and again.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let mut looks = interval(WARM_INTERVAL);
    while !is_so() {
        looks.tick().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
listeners: [{ address: 127.0.0.1:0 }]
upstreams: { items: { endpoints: ['127.0.0.1:1'] } }
routes: [{ match: { path: / }, auth: none, upstream: items }]
";

    fn config(rest: &str) -> Config {
        config::parse("file", &[CONFIG, rest].concat()).unwrap()
    }

    #[test]
    fn what_cannot_change_is_named() {
        let current = config("");
        let changes = "server: { threads: 3, shutdown_grace: 1s, drain_delay: 1s, watch: false }\n";
        check_fixed(&current, &config("server: { shutdown_grace: 1s, drain_delay: 1s, watch: false }\n")).unwrap();
        let error = check_fixed(&current, &config(&[changes, "admin: { address: 127.0.0.1:0 }\n"].concat()));
        assert_eq!(
            error.unwrap_err().to_string(),
            "admin.address: cannot change from 127.0.0.1:9090 to 127.0.0.1:0 while the process runs: restart it, or hand over with SIGQUIT\n\
             server.threads: cannot change from 0 to 3 while the process runs: restart it, or hand over with SIGQUIT"
        );
    }
}
