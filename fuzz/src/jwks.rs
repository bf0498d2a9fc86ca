//! JWKS documents: only keys that can verify RS256 get in, by names that stand for one key each, and a document that is
//! refused takes nothing from the keys that are there.
//!
//! An input is a document. A modulus is too long for a fuzzer to think of, so a byte below 9, which no JSON has, stands for
//! one; 1 is that of the key that is in use.

use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cognigate_auth::{
    keys::key_set::KeySet,
    local_pool,
    policy::{Policy, TokenUse, TokenUseRule},
};
use serde_json::value::RawValue;

use crate::{
    gate::{DOCUMENTS, Gate, KEYS, NOW, POOLS},
    members::{Members, parsed},
};

/// The modulus lengths that are accepted, in bytes.
const MODULUS_BYTES: [usize; 3] = [256, 384, 512];

/// The keys of a document by their names: what each modulus is.
type Moduli = BTreeMap<String, Vec<u8>>;

/// What the bytes from 1 on stand for.
static MODULI: LazyLock<[String; 8]> = LazyLock::new(|| {
    let [in_use, _] = &*KEYS;
    let modulus = |bytes: usize, first: u8, last: u8| {
        let mut modulus = vec![0xb5; bytes];
        modulus.splice(..1, [first]);
        modulus.splice(bytes - 1.., [last]);
        URL_SAFE_NO_PAD.encode(modulus)
    };
    [
        in_use.jwk().get("n").and_then(|n| n.as_str()).unwrap_or_default().to_owned(),
        modulus(256, 0x80, 0x01),
        modulus(384, 0xff, 0xff),
        modulus(512, 0xff, 0xff),
        modulus(256, 0x7f, 0xff),
        modulus(256, 0xff, 0xfe),
        modulus(257, 0x00, 0xff),
        modulus(128, 0xff, 0xff),
    ]
});

/// A good token of the pool whose keys are replaced.
static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let ([pool, _], [key, _]) = (&POOLS, &*KEYS);
    key.mint(&local_pool::claims(pool.issuer, "client", TokenUse::Id, NOW)).expect("a token")
});

/// Checks one input.
///
/// # Panics
///
/// If a key gets in that should not, does not that should, or a document that is refused changes anything.
pub fn check(data: &[u8]) {
    let document = expanded(data);
    let expected = usable_keys(&document);
    assert_key_set(&document, expected.as_ref());
    assert_import(&document, expected.as_ref());
}

/// The key set that a document makes, next to the one that it replaces.
fn assert_key_set(document: &[u8], expected: Option<&Moduli>) {
    let [good, _] = &*DOCUMENTS;
    let before = KeySet::parse(good.as_bytes(), NOW, None).expect("a good document");
    let fresh = match (KeySet::parse(document, NOW + 1, Some(&before)), expected) {
        (Ok(fresh), Some(_)) => fresh,
        (Err(_), None) => return,
        (fresh, _) => panic!("{fresh:?} where {expected:?} was expected"),
    };
    let expected = expected.into_iter().flatten();
    assert_eq!(fresh.fetched_at(), NOW + 1);
    assert!(fresh.kids().eq(expected.clone().map(|(kid, _)| kid)), "{:?}", fresh.kids().collect::<Vec<_>>());
    for (kid, modulus) in expected {
        let key = fresh.find(kid).expect("a name of the set");
        assert_eq!(format!("{key:?}"), format!("VerifyingKey({} bits)", modulus.len() * 8));
        let is_known = before.find(kid).is_some_and(|known| known.is_same_material(key));
        assert_eq!(before.contains(key), is_known, "a key keeps its identity as long as its name and its material");
    }
}

/// What an import does to a token that was good before.
fn assert_import(document: &[u8], expected: Option<&Moduli>) {
    let (gate, [pool, _], [in_use, ..]) = (Gate::new(), &POOLS, &*MODULI);
    let policy = Policy {
        user_pools: [pool.name.into()].into(),
        token_use: TokenUseRule::Any,
        scopes_any: Box::default(),
        groups_any: Box::default(),
    };
    let is_good = || gate.verdict(TOKEN.as_bytes(), &policy).is_ok();
    assert!(is_good(), "a good token");
    let is_imported = gate.import(pool.name, document).is_ok();
    assert_eq!(is_imported, expected.is_some());
    let is_in_use = |modulus: &Vec<u8>| URL_SAFE_NO_PAD.encode(modulus) == **in_use;
    let has_key = expected.is_none_or(|keys| keys.get(pool.kid).is_some_and(is_in_use));
    assert_eq!(is_good(), has_key, "imported: {is_imported}");
}

fn expanded(data: &[u8]) -> Vec<u8> {
    let mut document = Vec::with_capacity(data.len());
    for byte in data {
        match usize::from(*byte).checked_sub(1).and_then(|place| MODULI.get(place)) {
            Some(modulus) => document.extend_from_slice(modulus.as_bytes()),
            None => document.push(*byte),
        }
    }
    document
}

/// The keys that may get in; none if the document is to be refused.
fn usable_keys(document: &[u8]) -> Option<Moduli> {
    let keys = Members::parse(document)?.required::<Box<RawValue>>("keys")?;
    let members: Vec<&RawValue> = parsed(keys.get())?;
    let mut by_kid: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (kid, modulus) in members.iter().filter_map(|member| usable_key(member.get())) {
        by_kid.entry(kid).or_default().push(modulus);
    }
    by_kid.retain(|_, moduli| moduli.windows(2).all(|pair| matches!(pair, [one, other] if one == other)));
    let keys: Moduli = by_kid.into_iter().filter_map(|(kid, moduli)| Some((kid, moduli.into_iter().next()?))).collect();
    (!keys.is_empty()).then_some(keys)
}

/// The name and the modulus of a key, by RFC 7517 section 4 and RFC 7518 section 6.3.1.
fn usable_key(member: &str) -> Option<(String, Vec<u8>)> {
    let member = Members::parse(member.as_bytes())?;
    let is_absent_or = |name: &str, wanted: &str| {
        let found = member.optional::<String>(name)?;
        found.is_none_or(|found| found == wanted).then_some(())
    };
    is_absent_or("use", "sig")?;
    is_absent_or("alg", "RS256")?;
    let operations: Option<Vec<String>> = member.optional("key_ops")?;
    let is_for_verifying = operations.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    let is_rsa = member.required::<String>("kty")? == "RSA";
    let is_f4 = member.required::<String>("e")? == "AQAB";
    let modulus = URL_SAFE_NO_PAD.decode(member.required::<String>("n")?).ok()?;
    let is_strong = MODULUS_BYTES.contains(&modulus.len())
        && matches!(*modulus, [first, .., last] if first >= 0x80 && last % 2 == 1);
    let kid = member.required("kid")?;
    (is_for_verifying && is_rsa && is_f4 && is_strong).then_some((kid, modulus))
}
