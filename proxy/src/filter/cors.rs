//! Hot path: no lock, no I/O, no info log.
//!
//! Lets pages of other origins read responses (Fetch standard, "CORS protocol").
//!
//! - a preflight, which is `OPTIONS` with `Origin` and `Access-Control-Request-Method`, is answered before anyone asks where
//!   it goes or who calls: the answer is the same for every path
//! - every response says who may read it: those that are made here, and those of upstreams, whose own words on the matter are
//!   removed
//! - an origin that is not allowed is told nothing, and its request goes its way: CORS keeps pages from reading, not from
//!   asking
//! - where the answer depends on the origin, `Vary` says so to caches, also in answers to requests that have none
//!
//! All values are made once. Field names are text and not [`http::HeaderName`]s, which Pingora would copy each time.

use http::{
    HeaderName, HeaderValue, Method,
    header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY},
};
use pingora_core::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use crate::config::model::{AllowedOrigins, CorsConfig};

/// What the names of all response fields of the protocol begin with.
const PREFIX: &str = "access-control-";

/// Who may read what is answered.
#[derive(Debug)]
pub struct Cors {
    origins: Origins,
    allows_credentials: bool,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    max_age: HeaderValue,
    exposed: Option<HeaderValue>,
    exposed_of_refusals: Option<HeaderValue>,
}

#[derive(Debug)]
enum Origins {
    /// All: the value that says so.
    Any(HeaderValue),
    Listed(Box<[HeaderValue]>),
}

impl Cors {
    /// Makes the values. `told` are the names of the fields that this proxy says something in, on any response;
    /// `fields_of_refusals` are those that a page has to read as well to understand a response that is made here.
    #[must_use]
    pub fn new(config: &CorsConfig, told: &[&str], fields_of_refusals: &[&str]) -> Self {
        let CorsConfig { allow_origins, allow_methods, allow_headers, expose_headers, allow_credentials, max_age } =
            config;
        let origins = match allow_origins {
            AllowedOrigins::Any => Origins::Any(HeaderValue::from_static("*")),
            AllowedOrigins::Listed(origins) => {
                Origins::Listed(origins.iter().filter_map(|origin| value(origin.as_str())).collect())
            }
        };
        let names = |names: &[HeaderName]| names.iter().map(HeaderName::to_string).collect::<Vec<_>>();
        let exposed = union(names(expose_headers), told);
        Self {
            origins,
            allows_credentials: *allow_credentials,
            methods: value(&allow_methods.to_string()),
            headers: value(&names(allow_headers).join(", ")),
            max_age: HeaderValue::from(max_age.as_secs()),
            exposed: value(&exposed.join(", ")),
            exposed_of_refusals: value(&union(exposed, fields_of_refusals).join(", ")),
        }
    }

    /// Says who may read a response of an upstream, and removes what the upstream says of it. A second time changes nothing.
    ///
    /// # Errors
    ///
    /// Pingora's, if the response has no room for a field.
    pub fn mark_forwarded(&self, request: &RequestHeader, response: &mut ResponseHeader) -> Result<()> {
        while let Some(theirs) = response.headers.keys().find(|name| name.as_str().starts_with(PREFIX)).cloned() {
            response.remove_header(&theirs);
        }
        self.mark(request, response, self.exposed.as_ref())
    }

    /// Says who may read a refusal that is made here.
    ///
    /// # Errors
    ///
    /// Pingora's, if the response has no room for a field.
    pub fn mark_refusal(&self, request: &RequestHeader, response: &mut ResponseHeader) -> Result<()> {
        self.mark(request, response, self.exposed_of_refusals.as_ref())
    }

    /// Says what the page that asks may send.
    ///
    /// # Errors
    ///
    /// Pingora's, if the response has no room for a field.
    pub fn mark_preflight(&self, request: &RequestHeader, response: &mut ResponseHeader) -> Result<()> {
        self.mark(request, response, None)?;
        if self.allowed_origin(request).is_none() {
            return Ok(());
        }
        if let Some(methods) = &self.methods {
            response.insert_header("Access-Control-Allow-Methods", methods.clone())?;
        }
        if let Some(headers) = &self.headers {
            response.insert_header("Access-Control-Allow-Headers", headers.clone())?;
        }
        response.insert_header("Access-Control-Max-Age", self.max_age.clone())
    }

    fn mark(
        &self,
        request: &RequestHeader,
        response: &mut ResponseHeader,
        exposed: Option<&HeaderValue>,
    ) -> Result<()> {
        if let Some(origin) = self.allowed_origin(request) {
            response.insert_header("Access-Control-Allow-Origin", origin.clone())?;
            if self.allows_credentials {
                response.insert_header("Access-Control-Allow-Credentials", HeaderValue::from_static("true"))?;
            }
            if let Some(exposed) = exposed {
                response.insert_header("Access-Control-Expose-Headers", exposed.clone())?;
            }
        }
        if self.depends_on_origin() && !varies_by_origin(response) {
            response.append_header("Vary", HeaderValue::from_static("Origin"))?;
        }
        Ok(())
    }

    /// The value that allows the page to read. The request of no page, or of one that several claim, is none's.
    fn allowed_origin(&self, request: &RequestHeader) -> Option<&HeaderValue> {
        match &self.origins {
            Origins::Any(any) => Some(any),
            Origins::Listed(listed) => {
                let mut fields = request.headers.get_all(ORIGIN).iter();
                let origin = fields.next().filter(|_| fields.next().is_none())?;
                listed.iter().find(|allowed| *allowed == origin)
            }
        }
    }

    /// Whether the pages of this very origin are named: `*` names nobody.
    #[must_use]
    pub fn names(&self, origin: &HeaderValue) -> bool {
        match &self.origins {
            Origins::Any(_) => false,
            Origins::Listed(listed) => listed.contains(origin),
        }
    }

    const fn depends_on_origin(&self) -> bool {
        match self.origins {
            Origins::Any(_) => false,
            Origins::Listed(_) => true,
        }
    }
}

fn union(mut names: Vec<String>, more: &[&str]) -> Vec<String> {
    for name in more {
        if !names.iter().any(|known| known == name) {
            names.push((*name).to_owned());
        }
    }
    names
}

/// Whether a browser asks for permission, before it sends what a page wants it to send.
#[must_use]
pub fn is_preflight(request: &RequestHeader) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The value of a field that is left out where there is nothing to say. All that was checked can be sent; what could not be
/// would allow nothing.
fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok().filter(|value| !value.is_empty())
}

fn varies_by_origin(response: &ResponseHeader) -> bool {
    let fields = response.headers.get_all(VARY).iter();
    let mut names = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
    names.any(|name| matches!(name.trim_ascii(), b"*") || name.trim_ascii().eq_ignore_ascii_case(b"origin"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::pattern::MethodSet;

    const APP: &str = "https://app.example.com";

    fn config() -> CorsConfig {
        CorsConfig {
            allow_origins: AllowedOrigins::Listed(vec![APP.parse().unwrap(), "http://localhost:3000".parse().unwrap()]),
            allow_methods: MethodSet::parse(&["POST", "GET"]).unwrap(),
            allow_headers: vec![http::header::AUTHORIZATION, http::header::CONTENT_TYPE],
            expose_headers: vec![http::header::ETAG],
            allow_credentials: false,
            max_age: Duration::from_secs(600),
        }
    }

    fn cors(config: &CorsConfig) -> Cors {
        Cors::new(config, &[], &["etag", "www-authenticate"])
    }

    fn request(method: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build(method, b"/", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn response(fields: &[(&'static str, &'static str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in fields {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    fn fields(response: &ResponseHeader) -> Vec<(&str, &str)> {
        let fields = response.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let mut fields: Vec<_> = fields.collect();
        fields.sort_unstable();
        fields
    }

    fn forwarded(
        cors: &Cors,
        origin: &[(&'static str, &str)],
        theirs: &[(&'static str, &'static str)],
    ) -> ResponseHeader {
        let mut response = response(theirs);
        cors.mark_forwarded(&request("GET", origin), &mut response).unwrap();
        let once = response.clone();
        cors.mark_forwarded(&request("GET", origin), &mut response).unwrap();
        assert_eq!(fields(&response), fields(&once), "a second time changes nothing");
        response
    }

    #[test]
    fn only_an_allowed_origin_may_read() {
        let cors = cors(&config());
        let allowed = |origin| {
            vec![("access-control-allow-origin", origin), ("access-control-expose-headers", "etag"), ("vary", "Origin")]
        };
        for (origin, expected) in [
            (vec![("origin", APP)], allowed(APP)),
            (vec![("origin", "http://localhost:3000")], allowed("http://localhost:3000")),
            (vec![], vec![("vary", "Origin")]),
            (vec![("origin", "")], vec![("vary", "Origin")]),
            (vec![("origin", "null")], vec![("vary", "Origin")]),
            (vec![("origin", "*")], vec![("vary", "Origin")]),
            (vec![("origin", "HTTPS://app.example.com")], vec![("vary", "Origin")]),
            (vec![("origin", "https://app.example.com.evil")], vec![("vary", "Origin")]),
            (vec![("origin", "https://app.example.com:443")], vec![("vary", "Origin")]),
            (vec![("origin", "https://evil.example https://app.example.com")], vec![("vary", "Origin")]),
            (vec![("origin", APP), ("origin", APP)], vec![("vary", "Origin")]),
        ] {
            assert_eq!(fields(&forwarded(&cors, &origin, &[])), expected, "{origin:?}");
        }
    }

    #[test]
    fn what_an_upstream_says_of_it_is_replaced() {
        let theirs = [
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Origin", "https://evil.example"),
            ("access-control-allow-credentials", "true"),
            ("Access-Control-Allow-Private-Network", "true"),
            ("Access-Control-Expose-Headers", "x-secret"),
            ("X-Kept", "1"),
        ];
        let stranger = forwarded(&cors(&config()), &[("origin", "https://evil.example")], &theirs);
        assert_eq!(fields(&stranger), [("vary", "Origin"), ("x-kept", "1")]);
        let app = forwarded(&cors(&config()), &[("origin", APP)], &theirs);
        assert_eq!(
            fields(&app),
            [
                ("access-control-allow-origin", APP),
                ("access-control-expose-headers", "etag"),
                ("vary", "Origin"),
                ("x-kept", "1")
            ]
        );
    }

    #[test]
    fn vary_is_completed_and_not_doubled() {
        let cors = cors(&config());
        for (theirs, expected) in [
            (vec![], vec!["Origin"]),
            (vec!["accept-encoding"], vec!["accept-encoding", "Origin"]),
            (vec!["accept, x-origin"], vec!["accept, x-origin", "Origin"]),
            (vec!["Origin"], vec!["Origin"]),
            (vec!["accept", "Accept-Language,\torigin "], vec!["accept", "Accept-Language,\torigin "]),
            (vec!["*"], vec!["*"]),
        ] {
            let theirs: Vec<_> = theirs.into_iter().map(|value| ("Vary", value)).collect();
            let response = forwarded(&cors, &[], &theirs);
            let vary: Vec<_> = response.headers.get_all(VARY).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(vary, expected);
        }
    }

    #[test]
    fn every_origin_has_one_answer() {
        let config = CorsConfig { allow_origins: AllowedOrigins::Any, expose_headers: Vec::new(), ..config() };
        for origin in [vec![], vec![("origin", APP)], vec![("origin", "null")]] {
            assert_eq!(fields(&forwarded(&cors(&config), &origin, &[])), [("access-control-allow-origin", "*")]);
        }
    }

    #[test]
    fn credentials_are_allowed_with_the_origin_only() {
        let config = CorsConfig { allow_credentials: true, ..config() };
        let of = |origin| forwarded(&cors(&config), &[("origin", origin)], &[]);
        assert_eq!(of(APP).headers.get("access-control-allow-credentials").unwrap(), "true");
        assert_eq!(fields(&of("https://evil.example")), [("vary", "Origin")]);
    }

    #[test]
    fn a_refusal_exposes_what_it_is_understood_by() {
        let mut response = response(&[]);
        cors(&config()).mark_refusal(&request("GET", &[("origin", APP)]), &mut response).unwrap();
        assert_eq!(response.headers.get("access-control-expose-headers").unwrap(), "etag, www-authenticate");
    }

    #[test]
    fn what_the_proxy_tells_can_be_read_on_every_response() {
        let cors = Cors::new(&config(), &["ratelimit", "etag"], &["www-authenticate"]);
        let exposed = |response: &ResponseHeader| {
            response.headers.get("access-control-expose-headers").unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(exposed(&forwarded(&cors, &[("origin", APP)], &[])), "etag, ratelimit");
        let mut refusal = response(&[]);
        cors.mark_refusal(&request("GET", &[("origin", APP)]), &mut refusal).unwrap();
        assert_eq!(exposed(&refusal), "etag, ratelimit, www-authenticate");
    }

    #[test]
    fn a_preflight_is_told_what_may_be_sent() {
        let of = |config: &CorsConfig, origin| {
            let mut response = response(&[]);
            cors(config).mark_preflight(&request("OPTIONS", &[("origin", origin)]), &mut response).unwrap();
            fields(&response).into_iter().map(|(name, value)| [name, value].join(": ")).collect::<Vec<_>>()
        };
        assert_eq!(
            of(&config(), APP),
            [
                "access-control-allow-headers: authorization, content-type",
                "access-control-allow-methods: GET,POST",
                "access-control-allow-origin: https://app.example.com",
                "access-control-max-age: 600",
                "vary: Origin",
            ]
        );
        assert_eq!(of(&config(), "https://evil.example"), ["vary: Origin"]);
        let open = CorsConfig { allow_origins: AllowedOrigins::Any, allow_headers: Vec::new(), ..config() };
        assert_eq!(
            of(&open, APP),
            ["access-control-allow-methods: GET,POST", "access-control-allow-origin: *", "access-control-max-age: 600",]
        );
    }

    #[test]
    fn only_a_browser_that_asks_for_permission_is_a_preflight() {
        let asked = ("access-control-request-method", "GET");
        for (method, fields, expected) in [
            ("OPTIONS", vec![("origin", APP), asked], true),
            ("OPTIONS", vec![("origin", "null"), asked], true),
            ("OPTIONS", vec![("origin", APP)], false),
            ("OPTIONS", vec![asked], false),
            ("GET", vec![("origin", APP), asked], false),
            ("options", vec![("origin", APP), asked], false),
        ] {
            assert_eq!(is_preflight(&request(method, &fields)), expected, "{method} {fields:?}");
        }
    }
}
