//! `/revocations`: what is revoked, and to revoke more or less.
//!
//! | | answer |
//! |---|---|
//! | `GET ?limit=&after=` | 200 `{"revocations":[...],"next":"..."}`: so many subjects in an order that means nothing; `next`, if there are more, goes into `after` |
//! | `GET ?sub=ID`, `?origin_jti=`, `?jti=` | 200 with what each source says about it, which may be nothing |
//! | `POST` an entry or an array of them | 201 with the entries as they hold now: all of them, or none |
//! | `DELETE ?sub=ID`, ... | 204; 404 if nothing names it; 409 if the revocation file alone does |
//!
//! Whatever is refused says why: `{"message":"..."}`.

use std::{sync::Arc, time::Duration};

use cognigate_auth::{
    clock::{Clock, UnixSeconds},
    revocation::{Revocation, Source, Subject},
};
use http::{Method, StatusCode};
use pingora_core::protocols::http::ServerSession;
use serde::Serialize;
use tokio::time::timeout;

use super::{
    body,
    page::Page,
    query::{self, Query},
};
use crate::{
    config::revocations::RevocationEntry,
    revocation::{
        entry::{self, EntryText},
        shared::{ChangeError, SharedRevocations},
    },
};

/// How long a change may take until it is on disk and counts.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// What there is to tell about revocations.
#[derive(Debug)]
pub(super) struct RevocationPages {
    pub(super) shared: SharedRevocations,
    pub(super) clock: Arc<dyn Clock>,
}

#[derive(Serialize)]
struct Listing<'e> {
    revocations: Vec<EntryText<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl RevocationPages {
    /// Answers a request of somebody who may ask.
    pub(super) async fn page(&self, session: &mut ServerSession) -> Page {
        let request = session.req_header();
        let (method, query) = (request.method.clone(), request.uri.query().unwrap_or_default().to_owned());
        let answer = match method {
            Method::GET | Method::HEAD => Query::parse(&query).map(|query| self.list(&query)).map_err(bad_request),
            Method::POST if query.is_empty() => self.create(session).await,
            Method::POST => {
                Err(Page::message(StatusCode::BAD_REQUEST, "what is revoked is said in the body, not in a query"))
            }
            Method::DELETE => self.delete(&query).await,
            _ => {
                let refusal = "method not allowed (allowed: GET, HEAD, POST, DELETE)";
                Err(Page::message(StatusCode::METHOD_NOT_ALLOWED, refusal).allowing("GET, HEAD, POST, DELETE"))
            }
        };
        answer.unwrap_or_else(|refusal| refusal)
    }

    fn list(&self, query: &Query) -> Page {
        let list = self.shared.list();
        let (entries, next) = match query {
            Query::One(subject) => (list.find(subject), None),
            Query::Page { after, limit } => {
                let entries = list.entries(after.as_ref(), *limit);
                let last = entries.last().map(|(_, entry)| &entry.subject);
                let next = last.filter(|last| !list.entries(Some(last), 1).is_empty()).map(query::cursor_at);
                (entries, next)
            }
        };
        let revocations = entries.iter().map(|(source, entry)| EntryText::with_source(*source, entry)).collect();
        Page::json(StatusCode::OK, &Listing { revocations, next })
    }

    async fn create(&self, session: &mut ServerSession) -> Result<Page, Page> {
        let body = body::read(session).await.map_err(body::BodyFault::page)?;
        let entries = entries(&body, self.clock.now())?;
        let stored = in_time(self.shared.add(entries)).await?;
        tracing::info!(entries = stored.len(), subject = %named(&stored), "revoked");
        let revocations = stored.iter().map(|entry| EntryText::with_source(Source::Shared, entry)).collect();
        Ok(Page::json(StatusCode::CREATED, &Listing { revocations, next: None }))
    }

    async fn delete(&self, query: &str) -> Result<Page, Page> {
        let Query::One(subject) = Query::parse(query).map_err(bad_request)? else {
            let message = "say what is not revoked any more: `?jti=`, `?origin_jti=` or `?sub=`, and nothing else";
            return Err(Page::message(StatusCode::BAD_REQUEST, message));
        };
        if in_time(self.shared.remove(subject.clone())).await? {
            tracing::info!(subject = %format_args!("{}:{subject}", subject.kind()), "revocation removed");
            return Ok(Page::empty(StatusCode::NO_CONTENT));
        }
        Err(self.nothing_removed(&subject))
    }

    fn nothing_removed(&self, subject: &Subject) -> Page {
        let kind = subject.kind();
        match self.shared.list().find(subject).is_empty() {
            true => Page::message(StatusCode::NOT_FOUND, &format!("no revocation names this `{kind}`")),
            false => {
                let message = format!("only the revocation file names this `{kind}`: take it out of there");
                Page::message(StatusCode::CONFLICT, &message)
            }
        }
    }
}

/// An id is no secret, but a log of ten thousand in a line is no log.
fn named(entries: &[Revocation]) -> String {
    match entries {
        [Revocation { subject, .. }] => format!("{}:{subject}", subject.kind()),
        _ => "several".to_owned(),
    }
}

fn bad_request(error: impl std::error::Error) -> Page {
    Page::message(StatusCode::BAD_REQUEST, &error.to_string())
}

/// What a body asks to be revoked: an entry, or an array of them.
fn entries(body: &[u8], now: UnixSeconds) -> Result<Vec<Revocation>, Page> {
    let is_array = body.trim_ascii_start().starts_with(b"[");
    let written: Result<Vec<RevocationEntry>, _> = match is_array {
        true => serde_json::from_slice(body),
        false => serde_json::from_slice(body).map(|entry| vec![entry]),
    };
    let written = written.map_err(bad_request)?;
    if written.is_empty() {
        return Err(Page::message(StatusCode::BAD_REQUEST, "no entry is given: at least one is needed"));
    }
    let timely = |(index, written): (usize, RevocationEntry)| {
        let entry = entry::of_admin(written, now);
        entry.map_err(|error| match is_array {
            true => Page::message(StatusCode::BAD_REQUEST, &format!("[{index}]: {error}")),
            false => bad_request(error),
        })
    };
    written.into_iter().enumerate().map(timely).collect()
}

async fn in_time<T>(change: impl Future<Output = Result<T, ChangeError>>) -> Result<T, Page> {
    match timeout(CHANGE_TIMEOUT, change).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(ChangeError::Full(full))) => {
            let message = format!("nothing was changed: {full} (`revocation.max_entries`)");
            Err(Page::message(StatusCode::INSUFFICIENT_STORAGE, &message))
        }
        Ok(Err(handed_over @ ChangeError::HandedOver)) => {
            let message = format!("nothing was changed: {handed_over}");
            Err(Page::message(StatusCode::SERVICE_UNAVAILABLE, &message))
        }
        Ok(Err(ChangeError::State(error))) => {
            let message = format!("nothing was changed: the state file cannot be written: {error}");
            Err(Page::message(StatusCode::INTERNAL_SERVER_ERROR, &message))
        }
        Err(_) => {
            let message =
                "the change is not on disk after 10 seconds: it may still happen, so look before it is repeated";
            Err(Page::message(StatusCode::SERVICE_UNAVAILABLE, message))
        }
    }
}
