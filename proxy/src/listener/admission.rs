//! How many connections there may be: in all, and of one address.
//!
//! Decided before a byte is read, so that those over a limit cost nothing but their refusal. What is kept is one entry for
//! each address that is connected at the moment.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::subscriber::Subscriber;

/// Locks that addresses are spread over. Each is held for one look at a map.
const SHARDS: usize = 16;

/// The connections that are open, over all the listeners that share it.
#[derive(Debug, Default)]
pub struct Admission {
    open: AtomicUsize,
    addresses: [Mutex<HashMap<Subscriber, usize>>; SHARDS],
}

/// The permission to be connected, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    subscriber: Option<Subscriber>,
}

impl Admission {
    /// Lets a connection in, unless `limit` are open.
    pub fn admit(self: &Arc<Self>, limit: usize) -> Option<Permit> {
        let is_within = |open: usize| (open < limit).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_within).ok()?;
        Some(Permit { admission: Arc::clone(self), subscriber: None })
    }

    fn shard(&self, subscriber: Subscriber) -> Option<&Mutex<HashMap<Subscriber, usize>>> {
        let place = subscriber.number() % u64::try_from(SHARDS).unwrap_or(1);
        self.addresses.get(usize::try_from(place).unwrap_or_default())
    }
}

impl Permit {
    /// Says whose connection it is. Whether it may stay: not if `limit` of the same are open; 0 is no limit.
    pub fn name(&mut self, address: IpAddr, limit: usize) -> bool {
        let subscriber = Subscriber::of(address);
        let Some(shard) = self.admission.shard(subscriber) else { return false };
        let mut open = shard.lock();
        let count = open.get(&subscriber).copied().unwrap_or_default();
        if limit != 0 && count >= limit {
            return false;
        }
        open.insert(subscriber, count + 1);
        drop(open);
        self.subscriber = Some(subscriber);
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
        let Some(subscriber) = self.subscriber else { return };
        let Some(shard) = self.admission.shard(subscriber) else { return };
        if let Entry::Occupied(mut entry) = shard.lock().entry(subscriber) {
            if *entry.get() > 1 {
                *entry.get_mut() -= 1;
            } else {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn entries(admission: &Admission) -> usize {
        admission.addresses.iter().map(|shard| shard.lock().len()).sum()
    }

    #[test]
    fn a_limit_is_of_those_that_are_open() {
        let admission = Arc::new(Admission::default());
        let first = admission.admit(2).unwrap();
        let _second = admission.admit(2).unwrap();
        assert!(admission.admit(2).is_none());
        drop(first);
        assert!(admission.admit(2).is_some());
        assert!(admission.admit(0).is_none());
    }

    #[test]
    fn an_address_is_limited_by_whom_it_belongs_to() {
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let admission = Arc::new(Admission::default());
            let (mut first, mut second) = (admission.admit(9).unwrap(), admission.admit(9).unwrap());
            assert!(first.name(address(one), 1));
            assert_eq!(second.name(address(other), 1), !is_same, "{one} {other}");
            drop(first);
            let mut third = admission.admit(9).unwrap();
            assert!(third.name(address(one), 1), "{one} {other}");
        }
    }

    #[test]
    fn nothing_is_kept_of_who_left() {
        let admission = Arc::new(Admission::default());
        let permits: Vec<_> = (0..1000_u32)
            .map(|number| {
                let mut permit = admission.admit(1000).unwrap();
                assert!(permit.name(IpAddr::V4((number / 2).into()), 0));
                permit
            })
            .collect();
        assert_eq!(entries(&admission), 500);
        drop(permits);
        assert_eq!((entries(&admission), admission.open.load(Ordering::Relaxed)), (0, 0));
    }
}
