//! What a token costs that was not seen before, good or bad, next to the one call into cryptography that a good one needs.

use std::{error::Error, hint::black_box};

use benches::{
    gate::{Gate, refused, token},
    signature::bare_verification,
    weak_key::WeakKey,
};
use criterion::Criterion;
use prometheus::Registry;

fn main() -> Result<(), Box<dyn Error>> {
    let key = WeakKey::new("a");
    let gate = Gate::new(&key, 0, &Registry::new())?;
    let good = [token(&key, 1)];
    let mut criterion = Criterion::default().configure_from_args();
    let is_good = bare_verification(&key, &good)?;
    criterion.bench_function("verify/bare_signature", |bencher| bencher.iter(|| is_good(black_box(0))));
    for good in &good {
        bench(&mut criterion, &gate, "new_token", "ok", Some(good))?;
    }
    for request in refused(&key)? {
        let name = format!("refused/{}", request.name);
        bench(&mut criterion, &gate, &name, request.reason, request.token.as_deref())?;
    }
    criterion.final_summary();
    Ok(())
}

fn bench(
    criterion: &mut Criterion,
    gate: &Gate,
    name: &str,
    reason: &str,
    token: Option<&str>,
) -> Result<(), Box<dyn Error>> {
    if gate.reason(token) != reason {
        return Err(format!("{name}: {} in place of {reason}", gate.reason(token)).into());
    }
    criterion.bench_function(&format!("verify/{name}"), |bencher| bencher.iter(|| gate.reason(black_box(token))));
    Ok(())
}
