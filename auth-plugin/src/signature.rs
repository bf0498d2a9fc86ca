//! Bytes against one parsed key: the only call into cryptography for a token (RFC 7518 section 3.3, RS256).
//!
//! A key is checked and parsed once, when its set is fetched; a verification is then one modular exponentiation.
//! Stricter than the RFC on purpose: the modulus has exactly 2048, 3072 or 4096 bits and the exponent is 65537, which is
//! what Cognito uses; a leading zero octet is refused (RFC 7518 section 6.3.1.1), not stripped.

use std::fmt;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use thiserror::Error;

use crate::rejection::Rejection;

/// The one public exponent that is accepted, 65537, big-endian.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// The modulus lengths that are accepted, in bytes: 2048, 3072 and 4096 bits.
const MODULUS_BYTES: [usize; 3] = [256, 384, 512];

/// An RSA public key, parsed and ready.
pub struct VerifyingKey {
    parsed: ParsedPublicKey,
    modulus: Box<[u8]>,
}

/// Why a key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WeakKey {
    /// The exponent invites forgery or is not one that Cognito uses.
    #[error("the exponent is not 65537")]
    Exponent,
    /// The modulus has a leading zero, is even, or is of another size.
    #[error("the modulus is not an odd number of exactly 2048, 3072 or 4096 bits without leading zeros")]
    Modulus,
}

impl VerifyingKey {
    /// Checks and parses a key from its big-endian modulus and exponent.
    ///
    /// # Errors
    ///
    /// [`WeakKey`].
    pub fn from_components(modulus: &[u8], exponent: &[u8]) -> Result<Self, WeakKey> {
        if exponent != EXPONENT {
            return Err(WeakKey::Exponent);
        }
        let top_bit_set = modulus.first().is_some_and(|byte| byte & 0x80 != 0);
        let is_odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
        if !MODULUS_BYTES.contains(&modulus.len()) || !top_bit_set || !is_odd {
            return Err(WeakKey::Modulus);
        }
        let components = RsaPublicKeyComponents { n: modulus, e: exponent };
        let parsed = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).map_err(|_| WeakKey::Modulus)?;
        Ok(Self { parsed, modulus: modulus.into() })
    }

    /// Whether both are the same key. The exponent is the same in all.
    #[must_use]
    pub fn is_same_material(&self, other: &Self) -> bool {
        self.modulus == other.modulus
    }

    /// Checks an RS256 signature.
    ///
    /// # Errors
    ///
    /// [`Rejection::SignatureInvalid`].
    pub fn verify(&self, signing_input: &[u8], signature: &[u8]) -> Result<(), Rejection> {
        self.parsed.verify_sig(signing_input, signature).map_err(|_| Rejection::SignatureInvalid)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "VerifyingKey({} bits)", self.modulus.len() * 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No real key: any odd number of the right size parses.
    fn modulus(bytes: usize) -> Vec<u8> {
        vec![0xff; bytes]
    }

    #[test]
    fn rfc7518_6_3_only_strong_keys_are_parsed() {
        for bytes in MODULUS_BYTES {
            assert!(VerifyingKey::from_components(&modulus(bytes), &EXPONENT).is_ok(), "{bytes} bytes");
        }
        let leading_zero = [vec![0], modulus(256)].concat();
        let even = [modulus(255), vec![0xfe]].concat();
        let short = [vec![0x7f], modulus(255)].concat();
        for (case, n) in [
            ("1024 bits", modulus(128)),
            ("8192 bits", modulus(1024)),
            ("2047 bits", short),
            ("leading zero", leading_zero),
            ("even", even),
            ("empty", Vec::new()),
        ] {
            assert_eq!(VerifyingKey::from_components(&n, &EXPONENT).err(), Some(WeakKey::Modulus), "{case}");
        }
        for e in [&[1][..], &[3], &[], &[0, 1, 0, 1], &[1, 0, 0, 0, 1]] {
            assert_eq!(VerifyingKey::from_components(&modulus(256), e).err(), Some(WeakKey::Exponent), "{e:?}");
        }
    }
}
