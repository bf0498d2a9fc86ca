//! What reading the document costs in which an issuer publishes its keys: of two keys, as Cognito's are, and of many.

use std::{error::Error, hint::black_box};

use benches::{gate::NOW, jwks_document::document};
use cognigate_auth::keys::key_set::KeySet;
use criterion::Criterion;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    for keys in [2, 16] {
        let document = document(keys);
        if KeySet::parse(document.as_bytes(), NOW, None)?.kids().len() != usize::from(keys) {
            return Err("keys were left out".into());
        }
        criterion.bench_function(&format!("jwks/parse/{keys}_keys"), |bencher| {
            bencher.iter(|| KeySet::parse(black_box(document.as_bytes()), NOW, None).is_ok());
        });
    }
    criterion.final_summary();
    Ok(())
}
