//! What finding a request's route costs, from the raw target to the route's place: with few routes and with many.

use std::{error::Error, hint::black_box};

use cognigate::{
    config::pattern::{HostPattern, MethodSet, RouteMatch},
    route::{path::check, table::RouteTable},
};
use criterion::Criterion;
use http::Method;

/// The paths of each service's routes.
const PATHS: [&str; 5] = ["items", "items/{id}", "items/{id}/parts", "items/{id}/parts/{part}", "files/{rest+}"];

/// Requests by what is special about them.
const TARGETS: [(&str, &str); 4] = [
    ("literal", "/service1/items"),
    ("parameter", "/service1/items/4711/parts"),
    ("greedy", "/service1/files/2026/report.pdf?download=true"),
    ("encoded", "/service1/items/caf%C3%A9/parts"),
];

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
                bencher.iter(|| table.find(black_box("api.example.com:8443"), black_box(&path), &Method::GET));
            });
        }
    }
    criterion.final_summary();
    Ok(())
}

fn routes(services: usize) -> Result<Vec<RouteMatch>, Box<dyn Error>> {
    let host: HostPattern = "api.example.com".parse()?;
    let mut routes = Vec::new();
    for service in 0..services {
        for path in PATHS {
            let path = format!("/service{service}/{path}").parse()?;
            routes.push(RouteMatch { host: Some(host.clone()), path, methods: MethodSet::any() });
        }
    }
    Ok(routes)
}
