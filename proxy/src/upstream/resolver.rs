//! Asks for the addresses of a name as the system does, or the name servers of the configuration.
//!
//! - `/etc/hosts` comes first, then the name servers: those of `resolver.servers`, else those of `/etc/resolv.conf`. Both
//!   families are asked for at once. A CNAME is followed by the server that is asked.
//! - A name without a dot at its end is also looked for in the search domains of `/etc/resolv.conf`, before it is taken as it
//!   is or, if it has as many dots as `ndots` says, after that. The next domain is tried where the one before has no such name;
//!   a server that fails or is silent ends the search: what the next domain says could be another's address.
//! - Both files are looked at anew for every name, so that a change of them counts without a restart.
//! - Nothing is remembered: who asks keeps what was answered, for as long as it holds.
//! - Every wait has a bound.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use hickory_resolver::{
    Hosts, MAX_TTL, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig as ServersConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::{
        ProtoError,
        op::Query,
        rr::{Name, Record, RecordType},
    },
    system_conf::read_system_conf,
};
use thiserror::Error;
use tokio::{
    sync::{Notify, futures::Notified},
    task::spawn_blocking,
    time::timeout,
};

use super::discovery::{Answer, Family};
use crate::{config::model::ResolverConfig, watch::Glance};

/// Where the system says how names are resolved.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where the system has names of its own.
const HOSTS: &str = "/etc/hosts";

/// How often a question is asked again that got no answer.
const RETRIES: usize = 1;

/// The bound of a look-up, in `resolver.timeout`s: a question and its repetition take two, and names before it in the search
/// domains are answered, if they are passed over.
const MAX_TIMEOUTS: u32 = 4;

/// Why a name has no address.
#[derive(Debug, Error)]
pub(super) enum ResolveError {
    /// The system does not say whom to ask.
    #[error("{RESOLV_CONF} cannot be used")]
    Files(#[source] NetError),
    /// A fault of ours.
    #[error("the look-up was not carried to its end")]
    Interrupted,
    /// It is no name.
    #[error("it is not a name that can be asked for")]
    Name(#[from] ProtoError),
    /// There is no such name, or it has no address.
    #[error("no address has this name")]
    NoAddress,
    /// The name servers were asked for too long.
    #[error("it took too long")]
    Overdue,
    /// The name servers do not say.
    #[error("the name servers do not say")]
    Servers(#[source] NetError),
}

/// Asks for addresses.
pub(super) struct Resolver {
    config: ArcSwap<ResolverConfig>,
    asker: ArcSwapOption<Asker>,
    reconfigured: Notify,
}

/// What names are resolved with, made of the configuration and the files as they were.
struct Asker {
    config: Arc<ResolverConfig>,
    files: [Glance; 2],
    hosts: Hosts,
    search: Search,
    client: TokioResolver,
}

/// Where a name is looked for.
#[derive(Debug)]
struct Search {
    ndots: usize,
    domains: Vec<Name>,
}

impl Resolver {
    /// A resolver that has asked nobody yet.
    pub(super) fn new(config: &ResolverConfig) -> Self {
        Self {
            config: ArcSwap::from_pointee(config.clone()),
            asker: ArcSwapOption::empty(),
            reconfigured: Notify::new(),
        }
    }

    /// Asks like this from the next look-up on. Who waits for the time of one is told, if that changes anything.
    pub(super) fn reconfigure(&self, config: &ResolverConfig) {
        if **self.config.load() != *config {
            self.config.store(Arc::new(config.clone()));
            self.reconfigured.notify_waiters();
        }
    }

    /// Comes when, from this call on, it is told to ask in another way.
    pub(super) fn reconfigured(&self) -> Notified<'_> {
        self.reconfigured.notified()
    }

    /// How it asks.
    pub(super) fn config(&self) -> Arc<ResolverConfig> {
        self.config.load_full()
    }

    /// Asks for the addresses of a host.
    ///
    /// # Errors
    ///
    /// [`ResolveError`].
    pub(super) async fn look_up(&self, host: &str) -> Result<Answer, ResolveError> {
        let asker = self.asker().await?;
        let limit = asker.config.timeout.saturating_mul(MAX_TIMEOUTS);
        timeout(limit, asker.look_up(host)).await.map_err(|_| ResolveError::Overdue)?
    }

    /// What there is, or made anew if the configuration or a file is another.
    async fn asker(&self) -> Result<Arc<Asker>, ResolveError> {
        let (config, current) = (self.config(), self.asker.load_full());
        let made = spawn_blocking(move || Asker::current(current, config)).await;
        let asker = made.map_err(|_| ResolveError::Interrupted)??;
        self.asker.store(Some(Arc::clone(&asker)));
        Ok(asker)
    }
}

impl Asker {
    /// Reads files.
    fn current(current: Option<Arc<Self>>, config: Arc<ResolverConfig>) -> Result<Arc<Self>, ResolveError> {
        let files = [RESOLV_CONF, HOSTS].map(|file| Glance::at(Path::new(file)));
        let is_same = |asker: &Arc<Self>| asker.files == files && asker.config == config;
        match current.filter(is_same) {
            Some(same) => Ok(same),
            None => Self::new(config, files).map(Arc::new),
        }
    }

    fn new(config: Arc<ResolverConfig>, files: [Glance; 2]) -> Result<Self, ResolveError> {
        let (system, mut options) = match read_system_conf() {
            Ok(read) => read,
            // Whoever names the servers needs no such file.
            Err(_) if !config.servers.is_empty() => (ServersConfig::default(), ResolverOpts::default()),
            Err(error) => return Err(ResolveError::Files(error)),
        };
        let (domain, domains, system_servers) = system.into_parts();
        let search = Search {
            ndots: options.ndots,
            domains: if domains.is_empty() { domain.into_iter().collect() } else { domains },
        };
        let servers = if config.servers.is_empty() { system_servers } else { name_servers(&config) };
        options.timeout = config.timeout;
        options.attempts = RETRIES;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        // A system without the file has no names of its own.
        let hosts = Hosts::from_system().unwrap_or_default();
        let client = TokioResolver::builder_with_config(
            ServersConfig::from_name_servers(servers),
            TokioRuntimeProvider::default(),
        );
        let client = client.with_options(options).build().map_err(ResolveError::Files)?;
        Ok(Self { config, files, hosts, search, client })
    }

    async fn look_up(&self, host: &str) -> Result<Answer, ResolveError> {
        for name in self.search.names(Name::from_ascii(host)?) {
            let answer = match self.own(&name) {
                Some(answer) => Some(answer),
                None => self.ask(name).await?,
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
        Err(ResolveError::NoAddress)
    }

    /// What the system itself says. If it has the name, nobody is asked for the other family.
    fn own(&self, name: &Name) -> Option<Answer> {
        let found = [RecordType::A, RecordType::AAAA]
            .map(|family| self.hosts.lookup_static_host(&Query::query(name.clone(), family)));
        let addresses: Vec<_> = found.iter().flatten().flat_map(|found| addresses(found.answers())).collect();
        let ttl = Duration::from_secs(MAX_TTL.into());
        (!addresses.is_empty()).then_some(Answer { addresses, ttl, unknown: None })
    }

    /// What the name servers say; nothing, if there is no such name, or no address of it.
    async fn ask(&self, name: Name) -> Result<Option<Answer>, ResolveError> {
        let (v4, v6) =
            tokio::join!(self.ask_family(name.clone(), RecordType::A), self.ask_family(name, RecordType::AAAA));
        let (unknown, found) = match (v4, v6) {
            (Ok(v4), Ok(v6)) => (None, [v4, v6].concat()),
            (Ok(v4), Err(_)) if !v4.is_empty() => (Some(Family::V6), v4),
            (Err(_), Ok(v6)) if !v6.is_empty() => (Some(Family::V4), v6),
            (Err(error), _) | (_, Err(error)) => return Err(ResolveError::Servers(error)),
        };
        let addresses: Vec<_> = addresses(&found).collect();
        let ttl = found.iter().map(|record| record.ttl).min().unwrap_or_default();
        let answer = Answer { addresses, ttl: Duration::from_secs(ttl.into()), unknown };
        Ok((!answer.addresses.is_empty()).then_some(answer))
    }

    /// The records that a server answers with, aliases among them.
    async fn ask_family(&self, name: Name, family: RecordType) -> Result<Vec<Record>, NetError> {
        match self.client.lookup(name, family).await {
            Ok(found) => Ok(found.answers().to_vec()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Search {
    /// The names to ask for, one after the other, each of them whole.
    fn names(&self, name: Name) -> Vec<Name> {
        if name.is_fqdn() {
            return vec![name];
        }
        let mut whole = name.clone();
        whole.set_fqdn(true);
        let found = self.domains.iter().filter_map(|domain| name.clone().append_domain(domain).ok());
        let found = found.map(|mut found| {
            found.set_fqdn(true);
            found
        });
        let is_whole_first = usize::from(name.num_labels()) > self.ndots || name.is_localhost();
        if is_whole_first { [whole].into_iter().chain(found).collect() } else { found.chain([whole.clone()]).collect() }
    }
}

fn name_servers(config: &ResolverConfig) -> Vec<NameServerConfig> {
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    config.servers.iter().map(server).collect()
}

fn addresses(records: &[Record]) -> impl Iterator<Item = IpAddr> {
    records.iter().filter_map(|record| record.data.ip_addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that are asked for, in order.
    fn names(host: &str, ndots: usize, domains: &[&str]) -> Vec<String> {
        let domains = domains.iter().map(|domain| Name::from_ascii(domain).unwrap()).collect();
        let names = Search { ndots, domains }.names(Name::from_ascii(host).unwrap());
        names.iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn a_name_is_looked_for_in_the_search_domains() {
        let cluster = ["shop.svc.cluster.local", "svc.cluster.local.", "cluster.local"];
        assert_eq!(
            names("items", 5, &cluster),
            ["items.shop.svc.cluster.local.", "items.svc.cluster.local.", "items.cluster.local.", "items."]
        );
        assert_eq!(
            names("items.shop", 5, &cluster),
            [
                "items.shop.shop.svc.cluster.local.",
                "items.shop.svc.cluster.local.",
                "items.shop.cluster.local.",
                "items.shop."
            ]
        );
        assert_eq!(names("items.example.com", 1, &["lan"]), ["items.example.com.", "items.example.com.lan."]);
        assert_eq!(names("items", 0, &["lan"]), ["items.", "items.lan."]);
    }

    #[test]
    fn a_name_with_a_dot_at_its_end_is_taken_as_it_is() {
        assert_eq!(names("items.example.com.", 5, &["lan"]), ["items.example.com."]);
        assert_eq!(names("items.", 5, &["lan"]), ["items."]);
        assert_eq!(names("items", 1, &[]), ["items."]);
    }

    #[test]
    fn the_machine_itself_is_asked_for_first() {
        assert_eq!(names("localhost", 5, &["lan"]), ["localhost.", "localhost.lan."]);
    }

    #[test]
    fn name_servers_are_asked_at_their_ports_over_udp_and_tcp() {
        let servers = vec!["10.0.0.2:5353".parse().unwrap(), "[fd00::2]:53".parse().unwrap()];
        let servers = name_servers(&ResolverConfig { servers, ..ResolverConfig::default() });
        let ports: Vec<Vec<u16>> = servers
            .iter()
            .map(|server| server.connections.iter().map(|connection| connection.port).collect())
            .collect();
        assert_eq!(ports, [[5353, 5353], [53, 53]]);
    }
}
