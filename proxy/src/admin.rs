//! The admin listener: whether the process lives, whether it is ready, what it counts, and what it refuses.
//!
//! | path | methods | |
//! |---|---|---|
//! | `/livez` `/readyz` `/metrics` | GET HEAD | open to whoever reaches the listener |
//! | `/revocations` | GET HEAD POST DELETE | with the bearer token of `admin.token_file` only |

mod body;
mod page;
mod query;
mod revocations;
mod status;
pub mod token;

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use cognigate_auth::clock::Clock;
use http::{Method, Response, StatusCode};
use pingora_core::{apps::http_app::ServeHttp, protocols::http::ServerSession};
use prometheus::Registry;

use self::{page::Page, revocations::RevocationPages, status::StatusPages, token::AdminToken};
use crate::{drain::Drain, listener::activity::head_is_whole, revocation::shared::SharedRevocations, runtime::Runtime};

/// Where revocations are.
const REVOCATIONS: &str = "/revocations";

/// Serves what can be asked of this process.
#[derive(Debug)]
pub struct AdminService {
    status: StatusPages,
    revocations: RevocationPages,
    token: Option<Arc<AdminToken>>,
}

impl AdminService {
    /// Tells about this process. Nothing can be changed without a token.
    #[must_use]
    pub const fn new(
        runtime: Arc<ArcSwap<Runtime>>,
        drain: Arc<Drain>,
        registry: Registry,
        revocations: SharedRevocations,
        clock: Arc<dyn Clock>,
        token: Option<Arc<AdminToken>>,
    ) -> Self {
        Self {
            status: StatusPages { runtime, drain, registry },
            revocations: RevocationPages { shared: revocations, clock },
            token,
        }
    }

    async fn page(&self, session: &mut ServerSession) -> Page {
        let request = session.req_header();
        match request.uri.path() {
            REVOCATIONS => {
                if let Err(refusal) = token::check(self.token.as_deref(), &request.headers) {
                    return refusal.page();
                }
                self.revocations.page(session).await
            }
            path => self.status.page(&request.method, path),
        }
    }
}

#[async_trait]
impl ServeHttp for AdminService {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        // What follows has limits of its own.
        head_is_whole(session);
        let page = self.page(session).await;
        // What nobody read would be taken for the next request, and a connection that is closed on it loses the answer.
        if !body::discard(session).await {
            session.set_keepalive(None);
        }
        page.respond(session.req_header().method == Method::HEAD)
    }
}

/// What is answered where nothing is.
fn not_found() -> Page {
    Page::text(StatusCode::NOT_FOUND, "not found (known: /livez, /readyz, /metrics, /revocations)\n")
}
