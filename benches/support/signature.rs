//! The one call into cryptography that a token needs: the hash of what was signed, and an RSA verification under a key that
//! is parsed already. Less is not possible.

use std::error::Error;

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::weak_key::WeakKey;

/// Says whether the signature of each of these tokens is good, by its place among them.
///
/// # Errors
///
/// A key that does not parse, a token without a signature.
pub fn bare_verification(key: &WeakKey, tokens: &[String]) -> Result<impl Fn(usize) -> bool + use<>, Box<dyn Error>> {
    let components = RsaPublicKeyComponents { n: key.modulus(), e: vec![1, 0, 1] };
    let parsed = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)?;
    let parts = tokens.iter().map(|token| parts(token)).collect::<Option<Vec<_>>>().ok_or("no signature")?;
    let verify = move |(input, signature): &(String, Vec<u8>)| {
        parsed.verify_digest_sig(&digest(&SHA256, input.as_bytes()), signature).is_ok()
    };
    Ok(move |place| parts.get(place).is_some_and(&verify))
}

/// What was signed, and the signature.
fn parts(token: &str) -> Option<(String, Vec<u8>)> {
    let (input, signature) = token.rsplit_once('.')?;
    Some((input.to_owned(), URL_SAFE_NO_PAD.decode(signature).ok()?))
}
