//! Readers while writers write: what is revoked before and after a change is revoked meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    thread,
};

use super::*;
use crate::{
    claims::Claims,
    pool::{ClientRule, UserPool},
};

const SHARDS: usize = 16;
const STAYING: usize = 40;
const REPLACEMENTS: usize = 300;

/// Somebody with the token `token` of the session `session`.
fn caller() -> Identity {
    let pool = UserPool::new("main", "https://issuer.example".parse().unwrap(), ClientRule::Any).unwrap();
    let json = r#"{"iss":"https://issuer.example","sub":"user","token_use":"access","client_id":"app","exp":1000,"iat":99,
        "jti":"token","origin_jti":"session"}"#;
    let claims = Claims::parse(json).unwrap();
    Identity::new(&Arc::new(pool), claims.caller().unwrap(), &claims, Default::default())
}

fn texts(word: &str, count: usize) -> Vec<String> {
    (0..count).map(|serial| format!("{word}-{serial}")).collect()
}

fn all_kinds(texts: &[String]) -> Vec<Revocation> {
    let of_kind = |kind| texts.iter().map(move |text| revocation(kind, text, Some(100), UnixSeconds::MAX));
    SubjectKind::ALL.into_iter().flat_map(of_kind).collect()
}

/// Counts misses, over and over, at least once. Says how many there were.
fn misses(count: impl Fn() -> usize, is_over: &AtomicBool, rounds: &AtomicUsize) -> usize {
    let mut missed = 0;
    loop {
        let is_last = is_over.load(Ordering::Acquire);
        missed += count();
        rounds.fetch_add(1, Ordering::AcqRel);
        if is_last {
            return missed;
        }
    }
}

/// Ends the readers when it is dropped: a writer that panics must not leave them reading.
struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs `write` while two readers look for `staying`.
fn assert_stays(list: &RevocationList, staying: &[String], write: impl FnOnce(&dyn Fn())) {
    let is_missed = |kind, text: &String| !list.is_named(kind, text, Some(99));
    let missed_of = |kind| staying.iter().filter(move |text| is_missed(kind, text)).count();
    assert_none_missed(|| SubjectKind::ALL.into_iter().map(missed_of).sum(), write);
}

/// Runs `write` while two readers count what they miss.
fn assert_none_missed(count: impl Fn() -> usize + Sync, write: impl FnOnce(&dyn Fn())) {
    let (is_over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| misses(&count, &is_over, &rounds)));
        let end = EndOf(&is_over);
        write(&|| {
            let seen = rounds.load(Ordering::Acquire);
            while rounds.load(Ordering::Acquire) == seen {
                thread::yield_now();
            }
        });
        drop(end);
        assert_eq!(readers.map(|reader| reader.join().unwrap()), [0, 0], "entries that were missed");
    });
}

#[test]
fn what_is_in_the_old_layer_and_in_the_new_is_revoked_at_every_moment() {
    let list = RevocationList::with_shards(SHARDS, 10_000);
    let staying = texts("stays", STAYING);
    let layers = [50, 0].map(|others| [all_kinds(&staying), all_kinds(&texts("goes", others))].concat());
    list.replace(Source::File, layers[0].clone()).unwrap();
    assert_stays(&list, &staying, |await_readers| {
        await_readers();
        for round in 0..REPLACEMENTS {
            list.replace(Source::File, layers[round % 2].clone()).unwrap();
        }
    });
    assert_eq!(list.len(), layers[1].len());
}

#[test]
fn writers_of_two_layers_lose_nothing_of_each_other() {
    let list = RevocationList::with_shards(SHARDS, 10_000);
    let (staying, others) = (texts("stays", STAYING), texts("goes", STAYING));
    list.replace(Source::Shared, all_kinds(&staying)).unwrap();
    assert_stays(&list, &staying, |await_readers| {
        await_readers();
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..REPLACEMENTS {
                    list.replace(Source::File, all_kinds(&others[round % 7..])).unwrap();
                }
            });
            for text in others.iter().cycle().take(REPLACEMENTS) {
                list.add(Source::Shared, revocation(SubjectKind::Jti, text, None, 50)).unwrap();
                assert!(list.is_named(SubjectKind::Jti, text, None), "from the moment that it was added");
                assert_eq!(list.purge(10), 0);
                assert!(list.remove(Source::Shared, &subject(SubjectKind::Jti, text)));
            }
        });
    });
    let expected = all_kinds(&staying).len() + all_kinds(&others[(REPLACEMENTS - 1) % 7..]).len();
    assert_eq!(list.len(), expected);
    let counted: usize = list.kinds.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    assert_eq!(counted, expected);
}

#[test]
fn a_token_that_one_layer_names_by_its_id_and_the_next_by_its_session_is_revoked_at_every_moment() {
    let list = RevocationList::with_shards(SHARDS, 10_000);
    let identity = caller();
    let others = all_kinds(&texts("goes", 200));
    let named = [(SubjectKind::Jti, "token"), (SubjectKind::OriginJti, "session"), (SubjectKind::Sub, "user")];
    let layers =
        named.map(|(kind, text)| [others.clone(), vec![revocation(kind, text, Some(100), UnixSeconds::MAX)]].concat());
    list.replace(Source::File, layers[0].clone()).unwrap();
    let count = || (0..100).filter(|_| !list.revokes(&identity)).count();
    assert_none_missed(count, |await_readers| {
        await_readers();
        for round in 0..REPLACEMENTS {
            list.replace(Source::File, layers[round % 3].clone()).unwrap();
        }
    });
}

#[test]
fn a_token_that_gets_another_entry_before_it_loses_one_is_revoked_at_every_moment() {
    let list = RevocationList::with_shards(SHARDS, 10_000);
    let identity = caller();
    let named = [(SubjectKind::Jti, "token"), (SubjectKind::OriginJti, "session"), (SubjectKind::Sub, "user")];
    let entries = named.map(|(kind, text)| revocation(kind, text, Some(100), 50));
    list.add(Source::Shared, entries[0].clone()).unwrap();
    let count = || (0..100).filter(|_| !list.revokes(&identity)).count();
    assert_none_missed(count, |await_readers| {
        await_readers();
        for (leaves, comes) in entries.iter().zip(entries.iter().cycle().skip(1)).cycle().take(30 * REPLACEMENTS) {
            list.add(Source::Shared, comes.clone()).unwrap();
            assert!(list.remove(Source::Shared, &leaves.subject));
        }
    });
}
