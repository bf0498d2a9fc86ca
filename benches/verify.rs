//! What a token costs that was not seen before, good or bad, next to the one call into cryptography that a good one needs.

mod gate;

use std::{error::Error, hint::black_box};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cognigate_auth::local_pool::SigningKey;
use criterion::Criterion;
use gate::{Gate, token};
use prometheus::Registry;

fn main() -> Result<(), Box<dyn Error>> {
    let key = SigningKey::generate("a")?;
    let gate = Gate::new(&key, 0, &Registry::new())?;
    let good = token(&key, 1)?;
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("verify/bare_signature", bare_signature(&key, &good)?);
    for (name, reason, token) in [
        ("new_token", "ok", good.clone()),
        ("refused/bad_signature", "signature_invalid", with_last_bit_flipped(&good)?),
        ("refused/unknown_key", "kid_unknown", token(&key.renamed("b"), 1)?),
        ("refused/not_json", "token_malformed", format!("A{good}")),
        ("refused/not_a_token", "token_malformed", good.replace('.', "")),
    ] {
        if gate.reason(&token) != reason {
            return Err(format!("{name}: {} in place of {reason}", gate.reason(&token)).into());
        }
        criterion.bench_function(&format!("verify/{name}"), |bencher| {
            bencher.iter(|| gate.reason(black_box(&token)));
        });
    }
    criterion.final_summary();
    Ok(())
}

/// The same token, but for the last bit of its signature: still less than the modulus, so that all of the work is done.
fn with_last_bit_flipped(token: &str) -> Result<String, Box<dyn Error>> {
    let (input, signature) = token.rsplit_once('.').ok_or("no signature")?;
    let mut signature = URL_SAFE_NO_PAD.decode(signature)?;
    if let Some(last) = signature.last_mut() {
        *last ^= 1;
    }
    Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// SHA-256 and one RSA verification under a key that is parsed already: less is not possible.
fn bare_signature(key: &SigningKey, token: &str) -> Result<impl FnMut(&mut criterion::Bencher<'_>), Box<dyn Error>> {
    let jwk = key.jwk();
    let member =
        |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name).and_then(|value| value.as_str()).unwrap_or_default());
    let components = RsaPublicKeyComponents { n: member("n")?, e: member("e")? };
    let parsed = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)?;
    let (input, signature) = token.rsplit_once('.').ok_or("no signature")?;
    let (input, signature) = (input.to_owned(), URL_SAFE_NO_PAD.decode(signature)?);
    parsed.verify_digest_sig(&digest(&SHA256, input.as_bytes()), &signature)?;
    Ok(move |bencher: &mut criterion::Bencher<'_>| {
        bencher.iter(|| parsed.verify_digest_sig(&digest(&SHA256, black_box(input.as_bytes())), black_box(&signature)));
    })
}
