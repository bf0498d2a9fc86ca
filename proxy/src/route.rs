//! Which route a request takes.
//!
//! 1. [`path::check`]: a target that two servers could read in two ways is refused
//! 2. [`host::normalized`]: the host in the form that routes name it in
//! 3. [`table::RouteTable::find`]: host and path pick the resource, the most specific one; then the method picks the route
//!
//! What a route matches is `config::pattern`'s part; what happens on a route is its own.

pub mod host;
pub mod path;
pub mod table;

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;

    use super::{path::check, table::RouteTable};
    use crate::config::pattern::{MethodSet, Rewrite, RouteMatch};

    fn route(path: &str) -> RouteMatch {
        RouteMatch { host: None, path: path.parse().unwrap(), methods: MethodSet::any() }
    }

    /// Paths of segments that look like tricks, most of which [`check`] lets pass.
    fn path() -> impl Strategy<Value = String> {
        let segment = prop_oneof![
            3 => "[a-z0-9]{1,3}",
            2 => "[a-z.;%+~]{1,3}",
            2 => "(%2[0-9a-f]|%[46][0-9]|[.;a]){1,3}",
            1 => "(%25(2[0-9]|41)){1,2}",
        ];
        (prop::collection::vec(segment, 0..5), "/?").prop_map(|(segments, end)| format!("/{}{end}", segments.join("/")))
    }

    proptest! {
        #[test]
        fn a_rewritten_path_is_as_unambiguous_as_the_one_that_came(path in path()) {
            for (pattern, rewrite) in [
                ("/", "/v2"),
                ("/{a}", "/{a}"),
                ("/{a}", "/{a}/"),
                ("/{a}/{b}", "/{b}/x/{a}/{b}"),
                ("/{a}/{b}/{rest+}", "/{rest}/{b}/.../{rest}"),
                ("/{proxy+}", "/{proxy}"),
                ("/{proxy+}", "/v2/items/{proxy}"),
                ("/{proxy+}", "/"),
            ] {
                let route = route(pattern);
                let rewrite = Rewrite::parse(rewrite, &route.path).unwrap();
                let Ok(checked) = check(path.as_bytes()) else { continue };
                if RouteTable::build([&route]).find("", &checked, &Method::GET).is_some() {
                    let result = rewrite.apply(&path).unwrap();
                    prop_assert!(check(result.as_bytes()).is_ok(), "{path} became {result}");
                }
            }
        }
    }
}
