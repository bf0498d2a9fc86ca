//! The upstream of the demo: answers with what reached it.

use async_trait::async_trait;
use http::{HeaderMap, Response, header::AUTHORIZATION};
use pingora_core::{apps::http_app::ServeHttp, protocols::http::ServerSession};
use serde_json::{Map, Value, json};

use super::user_pool::json_response;

/// Answers every request with its method, target and headers.
pub(super) struct EchoService;

#[async_trait]
impl ServeHttp for EchoService {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let seen = json!({
            "upstream_saw": {
                "method": request.method.as_str(),
                "target": String::from_utf8_lossy(request.raw_path()),
                "headers": headers(&request.headers),
            }
        });
        json_response(format!("{seen:#}\n").into_bytes())
    }
}

/// The headers, the token by its length: it is a page long.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let value = |name, value: &[u8]| match name == AUTHORIZATION {
        true => format!("({} bytes)", value.len()),
        false => String::from_utf8_lossy(value).into_owned(),
    };
    headers.iter().map(|(name, text)| (name.to_string(), value(name, text.as_bytes()).into())).collect()
}
