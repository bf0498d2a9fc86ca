//! An RSA key that signs a million tokens in a minute, and each of them the same every time: it has 64 primes of 32 bits.
//!
//! Anybody can factor it. But its modulus has 2048 bits and its exponent is 65537, so that what verifies a signature has as
//! much to do as with any other key. A signature is a power modulo each of the primes, put together by the Chinese remainder
//! theorem (RFC 8017 section 5.1.1 has it for two of them and more).

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const EXPONENT: u64 = 65_537;

/// How many primes a key has, and how many limbs of 32 bits each number.
const LIMBS: usize = 64;

/// What tells that a hash is one of SHA-256 (RFC 8017 section 9.2, note 1).
const SHA256_PREFIX: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// A signing key and its name.
#[derive(Clone, Debug)]
pub struct WeakKey {
    kid: String,
    modulus: Vec<u32>,
    factors: Vec<Factor>,
}

/// One of the primes. Numbers in limbs have the lowest first.
#[derive(Clone, Debug)]
struct Factor {
    prime: u64,
    /// The private exponent modulo `prime - 1`.
    exponent: u64,
    /// The product of the other primes.
    cofactor: Vec<u32>,
    /// What the cofactor has to be multiplied by to be 1 modulo `prime`.
    inverse: u64,
}

impl WeakKey {
    /// The key of the largest primes that will do, under this name.
    #[must_use]
    pub fn new(kid: impl Into<String>) -> Self {
        let candidates = (0..u64::from(u32::MAX)).rev().step_by(2).map(|even| even + 1);
        // A prime whose predecessor is a multiple of the exponent has no private exponent.
        let primes = candidates.filter(|number| is_prime(*number) && number % EXPONENT != 1).take(LIMBS);
        let primes = Vec::from_iter(primes);
        let modulus = product(primes.iter().copied());
        let factors = primes.iter().map(|prime| Factor::new(*prime, &primes)).collect();
        Self { kid: kid.into(), modulus, factors }
    }

    /// The same key under another name.
    #[must_use]
    pub fn renamed(self, kid: impl Into<String>) -> Self {
        Self { kid: kid.into(), ..self }
    }

    /// The public half as a member of `keys` (RFC 7517 section 4).
    #[must_use]
    pub fn jwk(&self) -> Value {
        json!({
            "alg": "RS256",
            "e": "AQAB",
            "kid": self.kid,
            "kty": "RSA",
            "n": URL_SAFE_NO_PAD.encode(self.modulus()),
            "use": "sig",
        })
    }

    /// The modulus, big-endian.
    #[must_use]
    pub fn modulus(&self) -> Vec<u8> {
        octets(&self.modulus)
    }

    /// A token with these claims and Cognito's header.
    #[must_use]
    pub fn mint(&self, claims: &Value) -> String {
        let header = json!({ "kid": self.kid, "alg": "RS256" });
        let payload = claims.to_string().replace("://", r":\/\/");
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// The signature of RS256 (RFC 8017 section 8.2.1).
    fn sign(&self, input: &[u8]) -> Vec<u8> {
        let message = padded(input);
        let mut signature = vec![0; LIMBS + 1];
        for Factor { prime, exponent, cofactor, inverse } in &self.factors {
            let root = power(remainder(&message, *prime), *exponent, *prime);
            add_multiple(&mut signature, cofactor, root * inverse % prime);
        }
        let modulus = Vec::from_iter(self.modulus.iter().copied().chain([0]));
        while signature.iter().rev().ge(modulus.iter().rev()) {
            subtract(&mut signature, &modulus);
        }
        signature.truncate(LIMBS);
        octets(&signature)
    }
}

impl Factor {
    fn new(prime: u64, primes: &[u64]) -> Self {
        let order = prime - 1;
        // The exponent is a prime as well: by Fermat, this many times the order and 1 is a multiple of it.
        let times = EXPONENT - power(order % EXPONENT, EXPONENT - 2, EXPONENT);
        let cofactor = product(primes.iter().copied().filter(|other| *other != prime));
        let inverse = power(remainder(&cofactor, prime), prime - 2, prime);
        Self { prime, exponent: (times * order + 1) / EXPONENT, cofactor, inverse }
    }
}

/// EMSA-PKCS1-v1_5 (RFC 8017 section 9.2).
fn padded(input: &[u8]) -> Vec<u32> {
    let hash = digest(&SHA256, input);
    let filling = [0xff; 4 * LIMBS - 3 - SHA256_PREFIX.len() - 32];
    let octets = [&[0, 1], filling.as_slice(), &[0], &SHA256_PREFIX, hash.as_ref()].concat();
    octets.rchunks(4).map(|limb| limb.iter().fold(0, |limb, octet| (limb << 8) | u32::from(*octet))).collect()
}

fn octets(number: &[u32]) -> Vec<u8> {
    number.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect()
}

fn is_prime(odd: u64) -> bool {
    (3..).step_by(2).take_while(|divisor| divisor * divisor <= odd).all(|divisor| !odd.is_multiple_of(divisor))
}

/// Of numbers below 2^32, as the next three take them too.
fn product(factors: impl Iterator<Item = u64>) -> Vec<u32> {
    let mut product = vec![0; LIMBS];
    add_multiple(&mut product, &[1], 1);
    for factor in factors {
        let by_one_less = product.clone();
        add_multiple(&mut product, &by_one_less, factor - 1);
    }
    product
}

fn power(base: u64, exponent: u64, modulus: u64) -> u64 {
    let bits = (0..u64::BITS - exponent.leading_zeros()).rev();
    bits.fold(1, |power, bit| {
        let square = power * power % modulus;
        if exponent >> bit & 1 == 1 { square * base % modulus } else { square }
    })
}

fn remainder(number: &[u32], modulus: u64) -> u64 {
    number.iter().rev().fold(0, |rest, limb| ((rest << 32) | u64::from(*limb)) % modulus)
}

/// Adds a number so many times.
fn add_multiple(sum: &mut [u32], number: &[u32], times: u64) {
    let mut carry = 0;
    for (limb, other) in sum.iter_mut().zip(number.iter().chain(std::iter::repeat(&0))) {
        carry += u64::from(*limb) + u64::from(*other) * times;
        #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
        let low = carry as u32;
        *limb = low;
        carry >>= 32;
    }
}

fn subtract(number: &mut [u32], other: &[u32]) {
    let mut borrows = false;
    for (limb, other) in number.iter_mut().zip(other) {
        let (difference, is_below) = limb.overflowing_sub(*other);
        let (difference, is_below_too) = difference.overflowing_sub(u32::from(borrows));
        *limb = difference;
        borrows = is_below || is_below_too;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::bare_verification;

    #[test]
    fn it_is_a_key_of_2048_bits_whose_signatures_are_good() {
        let key = WeakKey::new("a");
        let modulus = key.modulus();
        assert!(modulus.len() == 256 && modulus[0] >= 0x80, "{modulus:?}");
        let tokens = Vec::from_iter((0..100).map(|serial| key.mint(&json!({ "serial": serial }))));
        let is_good = bare_verification(&key, &tokens).unwrap();
        assert!((0..tokens.len()).all(is_good));
    }
}
