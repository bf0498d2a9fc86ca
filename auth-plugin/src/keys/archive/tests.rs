//! What is kept of keys, and what of it is used again.

use std::time::Duration;

use prometheus::Registry;

use super::*;
use crate::{
    authorizer::{Authorizer, AuthorizerConfig},
    clock::FixedClock,
    local_pool::{self, SigningKey},
    metrics::AuthMetrics,
    pool::{ClientRule, IssuerEndpoint, JwksPolicy},
};

const NOW: UnixSeconds = 1_700_000_000;
const MAX_STALE: u64 = 3_600;
const URI: &str = "https://issuer.example/.well-known/jwks.json";
const REPLICA_URI: &str = "https://replica.example/.well-known/jwks.json";

/// An archive in memory.
#[derive(Debug, Default)]
struct Memory {
    kept: Mutex<Vec<ArchivedKeys>>,
    is_broken: bool,
    reads: Mutex<usize>,
    writes: Mutex<usize>,
}

impl KeyArchive for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn load(&self) -> Result<Vec<ArchivedKeys>, ArchiveError> {
        *self.reads.lock() += 1;
        if self.is_broken { Err("broken".into()) } else { Ok(self.kept.lock().clone()) }
    }

    fn save(&self, keys: &[ArchivedKeys]) -> Result<(), ArchiveError> {
        *self.writes.lock() += 1;
        *self.kept.lock() = keys.to_vec();
        if self.is_broken { Err("broken".into()) } else { Ok(()) }
    }
}

fn pool() -> UserPool {
    let endpoint =
        IssuerEndpoint { issuer: "https://replica.example".parse().unwrap(), jwks_uri: REPLICA_URI.parse().unwrap() };
    let issuer = "https://issuer.example".parse().unwrap();
    UserPool {
        alternatives: [endpoint].into(),
        jwks: JwksPolicy { max_stale: Duration::from_secs(MAX_STALE), ..JwksPolicy::default() },
        ..UserPool::new("main", issuer, ClientRule::Any).unwrap()
    }
}

fn config(archive: &Arc<Memory>) -> AuthorizerConfig {
    let archive = Arc::clone(archive) as Arc<dyn KeyArchive>;
    AuthorizerConfig {
        user_pools: vec![pool()],
        key_archives: [("main".into(), archive)].into(),
        ..AuthorizerConfig::default()
    }
}

fn started(archive: &Arc<Memory>) -> Authorizer {
    let metrics = AuthMetrics::register(&Registry::new()).unwrap();
    let authorizer = Authorizer::new(config(archive), Arc::new(FixedClock::at(NOW)), metrics);
    authorizer.restore_keys();
    authorizer
}

fn is_ready(authorizer: &Authorizer) -> bool {
    authorizer.pools_without_keys().next().is_none()
}

fn keeping(kept: impl IntoIterator<Item = ArchivedKeys>) -> Arc<Memory> {
    Arc::new(Memory { kept: Mutex::new(kept.into_iter().collect()), ..Memory::default() })
}

fn keys(jwks_uri: &str, fetched_at: UnixSeconds) -> ArchivedKeys {
    let document = local_pool::jwks([&SigningKey::generate("a").unwrap()]);
    ArchivedKeys { jwks_uri: jwks_uri.to_owned(), fetched_at, document }
}

#[test]
fn kept_keys_decide_at_once_and_their_age_counts() {
    let good = keys(URI, NOW);
    for (fetched_at, expected) in [
        (NOW, true),
        (NOW - MAX_STALE, true),
        (NOW - MAX_STALE - 1, false),
        (0, false),
        (NOW + 300, true),
        (NOW + 301, false),
        (u64::MAX, false),
    ] {
        let authorizer = started(&keeping([ArchivedKeys { fetched_at, ..good.clone() }]));
        assert_eq!(is_ready(&authorizer), expected, "{fetched_at}");
    }
    assert!(is_ready(&started(&keeping([keys(REPLICA_URI, NOW)]))), "those of another issuer too");
}

#[test]
fn what_cannot_be_used_is_left_out() {
    let document = |text: &str| ArchivedKeys { document: text.to_owned(), ..keys(URI, NOW) };
    for (case, odd) in [
        ("another address", keys(&format!("{URI}x"), NOW)),
        ("no keys", document(r#"{"keys":[]}"#)),
        ("no document", document("5")),
    ] {
        assert!(!is_ready(&started(&keeping([odd]))), "{case}");
    }
    assert!(!is_ready(&started(&keeping([]))));
    assert!(!is_ready(&started(&Arc::new(Memory { is_broken: true, ..Memory::default() }))));
}

#[test]
fn keys_that_are_there_are_not_replaced_by_kept_ones_and_the_archive_is_read_once() {
    let archive = keeping([keys(URI, NOW)]);
    let first = started(&archive);
    let second = first.succeed(config(&archive));
    second.restore_keys();
    assert_eq!(*archive.reads.lock(), 1);
    assert!(is_ready(&second));
}

#[tokio::test]
async fn every_address_of_a_pool_is_kept_and_nothing_is_written_twice() {
    let archive = keeping([]);
    let metrics = AuthMetrics::register(&Registry::new()).unwrap();
    let key_metrics = metrics.keys_of("main");
    let pool_archive = Arc::new(PoolArchive::new(&pool(), Arc::clone(&archive) as _, Arc::clone(&key_metrics)));
    let [own, replica] = [keys(URI, NOW), keys(REPLICA_URI, NOW)];
    for keys in [&own, &replica, &own, &replica] {
        pool_archive.keep(keys.clone());
        while pool_archive.pending.lock().is_saving {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(*archive.kept.lock(), [own, replica]);
    assert_eq!((*archive.writes.lock(), key_metrics.archived.get(), key_metrics.not_archived.get()), (2, 2, 0));
}

#[tokio::test]
async fn a_write_that_fails_is_counted() {
    let archive = Arc::new(Memory { is_broken: true, ..Memory::default() });
    let key_metrics = AuthMetrics::register(&Registry::new()).unwrap().keys_of("main");
    let pool_archive = Arc::new(PoolArchive::new(&pool(), archive as _, Arc::clone(&key_metrics)));
    pool_archive.keep(keys(URI, NOW));
    while pool_archive.pending.lock().is_saving {
        tokio::task::yield_now().await;
    }
    assert_eq!((key_metrics.archived.get(), key_metrics.not_archived.get()), (0, 1));
}
