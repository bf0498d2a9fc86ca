//! What finding a request's route costs, from the raw target to the route's place: with few routes and with many.

use std::{error::Error, hint::black_box};

use benches::routes::{HOST, TARGETS, routes};
use cognigate::route::{path::check, table::RouteTable};
use criterion::Criterion;
use http::Method;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, target) in TARGETS {
        criterion.bench_function(&format!("route/check/{name}"), |bencher| {
            bencher.iter(|| check(black_box(target.as_bytes())).is_ok());
        });
    }
    for services in [2, 200] {
        let routes = routes(services)?;
        let table = RouteTable::build(&routes);
        for (name, target) in TARGETS {
            let path = check(target.as_bytes())?;
            criterion.bench_function(&format!("route/find/{name}/{}_routes", routes.len()), |bencher| {
                bencher.iter(|| table.find(black_box(HOST), black_box(&path), &Method::GET));
            });
        }
    }
    criterion.final_summary();
    Ok(())
}
