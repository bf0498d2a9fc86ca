//! The shape of the table: vectors, and how rows become them.

use std::{fmt, sync::LazyLock};

use crate::{rows, verdict::Verdict};

/// Every vector.
pub(crate) static TABLE: LazyLock<Vec<Vector>> = LazyLock::new(rows::all);

/// A request and its verdict.
#[derive(Clone)]
pub(crate) struct Vector {
    pub(crate) rule: &'static str,
    pub(crate) name: String,
    /// The route that decides: as it is called in the configuration and, unless the request says otherwise, its path.
    pub(crate) route: &'static str,
    pub(crate) request: Request,
    pub(crate) verdict: Verdict,
    /// Whether it is good for one second only, and so for a clock that stands still.
    pub(crate) is_momentary: bool,
}

/// A request. Its target is the path of the route that it is for, unless it has one of its own.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: Option<String>,
    pub(crate) host: Option<&'static str>,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) sources: Sources,
}

/// Where the proxy reads tokens from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sources {
    /// The cookie `session`, and the `Authorization` header.
    CookieAndHeader,
    /// The `Authorization` header.
    Header,
}

/// A `GET` of the route's path that shows nothing.
pub(crate) fn ask() -> Request {
    Request { method: "GET", target: None, host: Some("localhost"), fields: Vec::new(), sources: Sources::Header }
}

/// A `GET` that shows a token.
pub(crate) fn bearer(token: &str) -> Request {
    ask().field("Authorization", format!("Bearer {token}"))
}

impl Request {
    pub(crate) fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub(crate) fn target(self, target: impl Into<String>) -> Self {
        Self { target: Some(target.into()), ..self }
    }

    pub(crate) fn host(self, host: &'static str) -> Self {
        Self { host: Some(host), ..self }
    }

    pub(crate) fn without_host(self) -> Self {
        Self { host: None, ..self }
    }

    pub(crate) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// To the proxy that reads the cookie too.
    pub(crate) fn with_cookies(self) -> Self {
        Self { sources: Sources::CookieAndHeader, ..self }
    }
}

impl Vector {
    pub(crate) fn target(&self) -> String {
        self.request.target.clone().unwrap_or_else(|| format!("/{}", self.route))
    }

    /// Whether the library can judge it: nothing but the header fields counts, and the route asks for a token.
    pub(crate) fn is_for_library(&self) -> bool {
        let Request { method, target, host, .. } = &self.request;
        *method == "GET" && target.is_none() && *host == Some("localhost") && self.route != "open"
    }

    /// Whether a socket can carry it to a proxy whose clock runs.
    pub(crate) fn is_for_proxy(&self) -> bool {
        !self.is_momentary
    }

    /// What `explain` is to read the token from, if it can be asked at all: it has a place for one token in the first place
    /// where tokens are read.
    pub(crate) fn credential(&self) -> Option<Option<&str>> {
        let Request { fields, sources, host, .. } = &self.request;
        let is_askable = !self.is_momentary && host.is_some();
        match (fields.as_slice(), sources) {
            _ if !is_askable => None,
            ([], _) => Some(None),
            ([("Authorization", value)], Sources::Header) => Some(Some(value)),
            ([("Cookie", pair)], Sources::CookieAndHeader) => pair.strip_prefix("session=").map(Some),
            _ => None,
        }
    }
}

impl fmt::Display for Vector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} / {} on {:?}: {} expected", self.rule, self.name, self.route, self.verdict)
    }
}

/// Vectors of a rule about tokens: each is shown to this route.
pub(crate) fn tokens<T: Into<String>, N: Into<String>>(
    rule: &'static str,
    route: &'static str,
    rows: impl IntoIterator<Item = (N, T, Verdict)>,
) -> Vec<Vector> {
    requests(rule, route, rows.into_iter().map(|(name, token, verdict)| (name, bearer(&token.into()), verdict)))
}

/// Vectors of a rule that holds for one second: only a clock that stands still can tell.
pub(crate) fn momentary_tokens<T: Into<String>>(
    rule: &'static str,
    route: &'static str,
    rows: impl IntoIterator<Item = (&'static str, T, Verdict)>,
) -> Vec<Vector> {
    let vectors = tokens(rule, route, rows).into_iter();
    vectors.map(|vector| Vector { is_momentary: true, ..vector }).collect()
}

/// Vectors of a rule about what one token may do: it is shown to each of these routes.
pub(crate) fn routes(
    rule: &'static str,
    token: &str,
    rows: impl IntoIterator<Item = (&'static str, Verdict)>,
) -> Vec<Vector> {
    rows.into_iter().flat_map(|(route, verdict)| tokens(rule, route, [(route, token, verdict)])).collect()
}

/// Vectors of a rule about requests.
pub(crate) fn requests<N: Into<String>>(
    rule: &'static str,
    route: &'static str,
    rows: impl IntoIterator<Item = (N, Request, Verdict)>,
) -> Vec<Vector> {
    let vector = |(name, request, verdict): (N, Request, Verdict)| Vector {
        rule,
        name: name.into(),
        route,
        request,
        verdict,
        is_momentary: false,
    };
    rows.into_iter().map(vector).collect()
}

/// Fails with all that went wrong, one a line.
#[track_caller]
pub(crate) fn assert_none(failures: &[String]) {
    assert!(failures.is_empty(), "{} answers are not those of the table:\n{}", failures.len(), failures.join("\n"));
}

mod tests {
    use std::collections::BTreeSet;

    use cognigate_auth::rejection::Rejection;

    use super::*;
    use crate::verdict::Counted;

    #[test]
    fn the_table_has_every_reason() {
        let decided = TABLE.iter().map(|vector| vector.verdict).filter(|verdict| verdict.counted() == Counted::Decided);
        let decided: BTreeSet<_> = decided.map(|verdict| verdict.reason).collect();
        let known = Rejection::ALL.map(Rejection::reason);
        assert_eq!(decided, known.into_iter().chain(["ok", "open"]).collect());
    }

    #[test]
    fn every_vector_has_a_name_of_its_own_and_a_way_to_go() {
        let names: BTreeSet<_> = TABLE.iter().map(|vector| (vector.rule, &vector.name)).collect();
        let missing = TABLE.iter().filter(|vector| !vector.is_for_library() && !vector.is_for_proxy());
        assert_eq!((names.len(), missing.count()), (TABLE.len(), 0));
    }
}
