//! What a pool chooses, and what it remembers when its endpoints change.

use std::num::NonZeroU32;

use prometheus::Registry;

use super::*;
use crate::{
    config::model::{Balance, DnsName, EndpointConfig, HashOn, OutlierConfig, Percent},
    telemetry::metrics::ProxyMetrics,
};

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 80))
}

fn pool_of(balance: Balance, endpoints: Endpoints, max_ejected: u8) -> Pool {
    let second = Duration::from_secs(1);
    let outlier = OutlierConfig {
        consecutive_failures: NonZeroU32::MIN,
        eject_for: second,
        max_ejected: Percent(max_ejected),
        statuses: Box::default(),
    };
    let config = UpstreamConfig {
        name: "items".into(),
        endpoints,
        balance,
        health_check: None,
        outlier: Some(outlier),
        timeouts: TimeoutsConfig { connect: second, read: second, write: second, idle: second },
        retries: 1,
        protocol: UpstreamProtocol::Http1,
        tls: None,
    };
    let metrics = ProxyMetrics::register(&Registry::new(), "1", "c").unwrap();
    Pool::new(&config, metrics.upstream("items")).unwrap()
}

fn pool(balance: Balance, weights: &[u32]) -> Pool {
    let endpoints =
        (1..).zip(weights).map(|(number, weight)| EndpointConfig { address: address(number), weight: *weight });
    pool_of(balance, Endpoints::Listed(endpoints.collect()), 100)
}

fn discovered(addresses: &[SocketAddr]) -> Pool {
    discovered_with(100, addresses)
}

fn discovered_with(max_ejected: u8, addresses: &[SocketAddr]) -> Pool {
    let name = DnsName { host: "items".into(), port: std::num::NonZeroU16::MIN };
    let pool = pool_of(Balance::RoundRobin, Endpoints::Discovered(name), max_ejected);
    pool.replace(addresses);
    pool
}

fn chosen(pool: &Pool, tried: &[SocketAddr]) -> Option<SocketAddr> {
    pool.choose(Some(7), tried).map(|lease| lease.endpoint().address())
}

/// A request to an endpoint comes to this.
fn settle(pool: &Pool, endpoint: &Arc<Endpoint>, outcome: Outcome) {
    pool.settle(&Lease::take_anyway(endpoint), outcome);
}

fn addresses(pool: &Pool) -> Vec<SocketAddr> {
    pool.members().endpoints().iter().map(|endpoint| endpoint.address()).collect()
}

const EVERY_WAY: [Balance; 4] =
    [Balance::ConsistentHash(HashOn::SourceIp), Balance::LeastRequests, Balance::Random, Balance::RoundRobin];

#[test]
fn what_was_tried_or_is_out_is_not_chosen_while_there_is_another() {
    for balance in EVERY_WAY {
        let pool = pool(balance.clone(), &[1, 1, 2, 0]);
        for _ in 0..50 {
            assert_eq!(chosen(&pool, &[address(1), address(3)]), Some(address(2)), "{balance:?}");
        }
        settle(&pool, &pool.members().endpoints()[1], Outcome::Failure);
        for _ in 0..50 {
            assert_eq!(chosen(&pool, &[address(1)]), Some(address(3)), "{balance:?}");
            // There is no other: the same once more.
            let again = chosen(&pool, &[address(1), address(3)]);
            assert!([Some(address(1)), Some(address(3))].contains(&again), "{balance:?}: {again:?}");
        }
        for endpoint in pool.members().endpoints() {
            settle(&pool, endpoint, Outcome::Failure);
        }
        assert_eq!((chosen(&pool, &[]), chosen(&pool, &[address(1)])), (None, None), "{balance:?}");
    }
}

#[test]
fn a_request_counts_until_its_lease_is_dropped() {
    let pool = pool(Balance::LeastRequests, &[1, 1]);
    let leases: Vec<_> = (0..10).filter_map(|_| pool.choose(None, &[])).collect();
    let in_flight = || pool.members().endpoints().iter().map(|endpoint| endpoint.in_flight()).collect::<Vec<_>>();
    assert_eq!(in_flight(), [5, 5]);
    drop(leases);
    assert_eq!(in_flight(), [0, 0]);
}

#[test]
fn one_key_is_one_endpoint_until_that_is_out() {
    let pool = pool(Balance::ConsistentHash(HashOn::SourceIp), &[1; 10]);
    let first = chosen(&pool, &[]).unwrap();
    assert!((0..20).all(|_| chosen(&pool, &[]) == Some(first)));
    let other = chosen(&pool, &[first]).unwrap();
    assert_ne!(other, first);
    let members = pool.members();
    let endpoint = members.endpoints().iter().find(|endpoint| endpoint.address() == first).unwrap();
    settle(&pool, endpoint, Outcome::Failure);
    assert_eq!(chosen(&pool, &[]), Some(other));
    endpoint.readmit();
    assert_eq!(chosen(&pool, &[]), Some(first));
    // Without a key it is one after the other.
    let turns: std::collections::BTreeSet<_> =
        (0..10).filter_map(|_| Some(pool.choose(None, &[])?.endpoint().address())).collect();
    assert_eq!(turns.len(), 10);
}

#[tokio::test]
async fn an_ejection_is_told_counted_and_undone() {
    let pool = pool(Balance::RoundRobin, &[1, 1]);
    let members = pool.members();
    let endpoint = &members.endpoints()[0];
    settle(&pool, endpoint, Outcome::Failure);
    pool.ejected.notified().await;
    assert_eq!((pool.metrics().ejections.get(), endpoint.is_available()), (1, false));
    assert!((0..4).all(|_| chosen(&pool, &[]) == Some(address(2))));
    endpoint.readmit();
    settle(&pool, endpoint, Outcome::Success);
    assert!((0..4).any(|_| chosen(&pool, &[]) == Some(address(1))));
}

#[test]
fn what_stays_keeps_what_is_known_of_it() {
    let pool = discovered(&[address(2), address(1), address(2)]);
    assert_eq!(addresses(&pool), [address(1), address(2)]);
    let before = pool.members();
    let lease = pool.choose(None, &[address(2)]).unwrap();
    pool.settle(&lease, Outcome::Failure);
    // The same in another order is no change.
    pool.replace(&[address(1), address(2)]);
    assert!(Arc::ptr_eq(&before, &pool.members()));
    pool.replace(&[address(3), address(1)]);
    assert_eq!(addresses(&pool), [address(1), address(3)]);
    let after = pool.members();
    assert!(Arc::ptr_eq(&before.endpoints()[0], &after.endpoints()[0]));
    assert_eq!((after.endpoints()[0].in_flight(), after.endpoints()[0].is_available()), (1, false));
    assert_eq!(chosen(&pool, &[]), Some(address(3)));
    pool.replace(&[]);
    assert_eq!((chosen(&pool, &[]), addresses(&pool).len()), (None, 0));
}

/// Nine of ten may be out, but not all of the four that are left, nor the one.
#[test]
fn when_endpoints_leave_no_more_are_ejected_than_may_be_of_the_rest() {
    let all: Vec<_> = (1..=10).map(address).collect();
    let pool = discovered_with(90, &all);
    let members = pool.members();
    for endpoint in &members.endpoints()[..9] {
        settle(&pool, endpoint, Outcome::Failure);
    }
    assert_eq!(pool.metrics().ejections.get(), 9);
    let in_rotation = || pool.members().endpoints().iter().filter(|endpoint| endpoint.is_available()).count();
    pool.replace(&all[..4]);
    assert_eq!(in_rotation(), 1);
    assert!(chosen(&pool, &[]).is_some());
    // What was taken back is on probation.
    let endpoint = pool.members().endpoints().iter().find(|endpoint| endpoint.is_available()).cloned().unwrap();
    let trial = Lease::take(&endpoint).unwrap();
    assert!(Lease::take(&endpoint).is_none());
    drop(trial);
    let out = all.iter().find(|address| **address != endpoint.address()).copied().unwrap();
    pool.replace(&[out]);
    assert_eq!(chosen(&pool, &[]), Some(out));
    // What is taken away and comes back is as new.
    pool.replace(&all);
    assert_eq!(in_rotation(), 10);
}

#[test]
fn one_on_probation_has_one_request_while_others_have_theirs() {
    for balance in EVERY_WAY {
        let pool = pool(balance.clone(), &[1, 1]);
        let members = pool.members();
        let [one, two] = [&members.endpoints()[0], &members.endpoints()[1]];
        settle(&pool, one, Outcome::Failure);
        one.readmit();
        let trial =
            (0..).filter_map(|key| pool.choose(Some(key), &[])).find(|lease| Arc::ptr_eq(lease.endpoint(), one));
        let trial = trial.unwrap();
        let elsewhere = || (0..50).all(|key| Arc::ptr_eq(pool.choose(Some(key), &[]).unwrap().endpoint(), two));
        assert!(elsewhere(), "{balance:?}");
        // A second try goes to one that takes any request rather than to one that is tried.
        assert_eq!(chosen(&pool, &[address(2)]), Some(address(2)), "{balance:?}");
        // Nobody is left but who is tried: that is better than nothing.
        settle(&pool, two, Outcome::Failure);
        assert_eq!(chosen(&pool, &[]), Some(address(1)), "{balance:?}");
        two.readmit();
        let other = pool.choose(Some(7), &[]).unwrap();
        assert_eq!(other.endpoint().address(), address(2), "{balance:?}");
        assert_eq!(chosen(&pool, &[address(1)]), Some(address(2)), "{balance:?}");
        pool.settle(&trial, Outcome::Success);
        assert!((0..200).any(|key| Arc::ptr_eq(pool.choose(Some(key), &[]).unwrap().endpoint(), one)), "{balance:?}");
    }
}

/// Else its place among the ejected would be taken for ever.
#[test]
fn what_leaves_gives_its_place_among_the_ejected_back() {
    let pool = discovered(&[address(1), address(2)]);
    let members = pool.members();
    settle(&pool, &members.endpoints()[0], Outcome::Failure);
    settle(&pool, &members.endpoints()[1], Outcome::Failure);
    assert_eq!(chosen(&pool, &[]), None);
    pool.replace(&[address(3), address(4)]);
    for endpoint in pool.members().endpoints() {
        settle(&pool, endpoint, Outcome::Failure);
    }
    assert_eq!(pool.metrics().ejections.get(), 4);
}

#[test]
fn a_pool_is_made_of_what_it_was_made_of() {
    let one = pool(Balance::RoundRobin, &[1, 2]);
    assert!(one.is_made_of(pool(Balance::RoundRobin, &[1, 2]).config()).unwrap());
    for other in [pool(Balance::RoundRobin, &[1, 3]), pool(Balance::Random, &[1, 2])] {
        assert!(!one.is_made_of(other.config()).unwrap());
    }
}
