//! The routes of services that are built alike, and what is asked of them.

use std::error::Error;

use cognigate::config::pattern::{HostPattern, MethodSet, RouteMatch};

/// The host of all routes, as a request names it.
pub const HOST: &str = "api.example.com:8443";

/// Requests by what is special about them.
pub const TARGETS: [(&str, &str); 4] = [
    ("literal", "/service1/items"),
    ("parameter", "/service1/items/4711/parts"),
    ("greedy", "/service1/files/2026/report.pdf?download=true"),
    ("encoded", "/service1/items/caf%C3%A9/parts"),
];

/// The paths of each service's routes.
const PATHS: [&str; 5] = ["items", "items/{id}", "items/{id}/parts", "items/{id}/parts/{part}", "files/{rest+}"];

/// Five routes for each service.
///
/// # Errors
///
/// None: the patterns are right.
pub fn routes(services: usize) -> Result<Vec<RouteMatch>, Box<dyn Error>> {
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
