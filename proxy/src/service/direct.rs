//! Hot path: no lock, no I/O, no info log.
//!
//! The short way of a request that is nothing but a head, to an upstream that speaks HTTP/1.1.
//!
//! Pingora's proxy is made for whatever a request may be: bodies and tunnels that go both ways at once, caches, modules, other
//! protocols. It has two tasks and two channels for each request, a map of how each field's name was spelt, a watcher for each
//! idle connection. Here is what is left without all that, in the order in which it happens. Messages are read, framed and
//! written by Pingora's sessions, as on the other way, and the phases are the same.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use http::{
    Method, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use pingora_core::{
    Error, ErrorType, Result,
    apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream},
    connectors::{ConnectorOptions, TransportConnector},
    protocols::{
        Stream,
        http::{HttpTask, ServerSession, v1::client::HttpSession, v2::server::H2Options},
    },
    server::{ShutdownWatch, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};
use pingora_http::ResponseHeader;
use pingora_proxy::{HttpProxy, Session, http_proxy};
use tokio::select;

use super::{
    EdgeService, MAX_ATTEMPTS, count_connection, finish, in_lower_case, pass_response_body, peer, proxied::Proxied,
    trace, upstream,
};
use crate::{
    context::RequestContext,
    listener::{App, Keeping, rewound},
    upstream::endpoint::Endpoint,
};

/// Serves requests: directly where that is possible, and through Pingora's proxy otherwise.
pub struct Edge {
    service: Arc<EdgeService>,
    connector: TransportConnector,
    proxy: Arc<HttpProxy<Proxied>>,
}

impl Edge {
    /// Serves with `service`, and connects to upstreams as `conf` says.
    #[must_use]
    pub fn new(service: EdgeService, conf: &Arc<ServerConf>) -> Self {
        let service = Arc::new(service);
        let proxy = Arc::new(http_proxy(conf, Proxied(Arc::clone(&service))));
        Self { service, connector: TransportConnector::new(Some(ConnectorOptions::from_server_conf(conf))), proxy }
    }

    /// Sends a request to its upstream, and to another endpoint after that if it may be. Whether the client's connection can be
    /// used again.
    async fn forward(&self, session: &mut Session, context: &mut RequestContext) -> Result<bool> {
        let mut attempts = 1;
        loop {
            match self.attempt(session, context).await {
                Err(error) if error.retry() && attempts < MAX_ATTEMPTS => attempts += 1,
                outcome => return outcome,
            }
        }
    }

    async fn attempt(&self, session: &mut Session, context: &mut RequestContext) -> Result<bool> {
        let endpoint = upstream::assign(session, context)?;
        let adapted = peer::hurried(endpoint.peer(), context)?;
        let peer = adapted.as_deref().unwrap_or(endpoint.peer());
        trace::chosen(context);
        let (stream, is_reused) = match self.connect(&endpoint, peer).await {
            Ok(connected) => connected,
            Err(mut error) => {
                error.as_up();
                upstream::fail_to_connect(session, context, &mut error);
                context.trace.fail_attempt(&error);
                return Err(error.into_up());
            }
        };
        count_connection(context, is_reused);
        let mut client = HttpSession::new_with_options(stream, peer);
        client.read_timeout = peer.options.read_timeout;
        client.write_timeout = peer.options.write_timeout;
        match self.exchange(session, &mut client, context).await {
            Ok(is_whole) => {
                client.respect_keepalive();
                if let Some(stream) = client.reuse().await {
                    endpoint.idle().put(stream);
                }
                Ok(is_whole)
            }
            Err(mut error) => {
                upstream::fail_at_endpoint(session, context, &mut error, is_reused);
                context.trace.fail_attempt(&error);
                Err(error)
            }
        }
    }

    /// A connection to an endpoint, and whether it was used before.
    async fn connect(&self, endpoint: &Endpoint, peer: &HttpPeer) -> Result<(Stream, bool)> {
        match endpoint.idle().take() {
            Some(stream) => Ok((stream, true)),
            // On the heap, because it is large and seldom needed.
            None => Ok((Box::pin(self.connector.new_stream(peer)).await?, false)),
        }
    }

    /// Sends the request, and passes on what is answered. Whether all of that reached the client.
    async fn exchange(
        &self,
        session: &mut Session,
        client: &mut HttpSession,
        context: &mut RequestContext,
    ) -> Result<bool> {
        let mut request = session.req_header().as_owned_parts();
        request.headers.remove(CONNECTION);
        let request = self.service.prepare(session, request, context)?;
        client.write_request_header(Box::new(request)).await.map_err(|error| error.into_up())?;
        let header = loop {
            unless_gone(session, client.read_response()).await?;
            let mut header = answered(client, session.req_header().method == Method::HEAD)?;
            self.service.answer(session, &mut header, context)?;
            if !header.status.is_informational() {
                break header;
            }
            session.as_downstream_mut().write_response_header(header).await.map_err(|error| error.into_down())?;
        };
        pass_on(session, client, header, context).await?;
        Ok(session.as_downstream_mut().finish_body().await.is_ok())
    }
}

/// What comes of the upstream, unless the client goes away before.
async fn unless_gone<T>(session: &mut Session, upstream: impl Future<Output = Result<T>>) -> Result<T> {
    select! {
        biased;
        said = upstream => said.map_err(|error| error.into_up()),
        // Which ends with nothing but an error.
        gone = session.as_downstream_mut().read_body_or_idle(true) => {
            let error = gone.err().unwrap_or_else(|| Error::explain(ErrorType::ConnectError, "more than a head"));
            Err(error.into_down())
        },
    }
}

/// The response's head, framed so that the client's connection can be used again.
fn answered(client: &mut HttpSession, is_head: bool) -> Result<Box<ResponseHeader>> {
    let is_done = client.is_body_done();
    let Some(response) = client.resp_header() else {
        return Err(Error::explain(ErrorType::InternalError, "a response that was read"));
    };
    let mut header = Box::new(in_lower_case(response)?);
    let has_body = !is_head && !matches!(header.status.as_u16(), 100..=199 | 204 | 304);
    let is_framed = header.headers.contains_key(TRANSFER_ENCODING) || header.headers.contains_key(CONTENT_LENGTH);
    if has_body && !is_framed && !is_done {
        header.set_version(Version::HTTP_11);
        header.insert_header(TRANSFER_ENCODING, "chunked")?;
    }
    Ok(header)
}

/// Writes the response, as it comes.
async fn pass_on(
    session: &mut Session,
    client: &mut HttpSession,
    header: Box<ResponseHeader>,
    context: &mut RequestContext,
) -> Result<()> {
    let mut is_over = client.is_body_done();
    session.as_downstream_mut().write_response_header(header).await.map_err(|error| error.into_down())?;
    while !is_over {
        let task = unless_gone(session, client.read_response_task()).await?;
        pass_response_body(session, context)?;
        is_over = task.is_end();
        if let HttpTask::Body(Some(body), _) = task {
            // Its end is written by `exchange`.
            let written = session.as_downstream_mut().write_response_body(body, false).await;
            written.map_err(|error| error.into_down())?;
        }
    }
    Ok(())
}

/// Reads the head, which is there. Whether it is a request.
async fn read(session: &mut Session) -> bool {
    let error = match session.as_downstream_mut().read_request().await {
        Ok(is_request) => return is_request,
        Err(error) => error.into_down(),
    };
    // The error's text has bytes of the head in it.
    tracing::debug!(kind = error.etype().as_str(), "no request");
    if *error.etype() == ErrorType::InvalidHTTPHeader {
        // If the client does not take it, there is nobody left to tell.
        let _ = session.as_downstream_mut().respond_error(400).await;
    }
    session.as_downstream_mut().shutdown().await;
    false
}

/// The connection of a session whose response is written, if it can be used again.
async fn release(session: Session) -> Option<ReusedHttpStream> {
    let settings = HttpPersistentSettings::for_session(session.as_downstream());
    let ServerSession::H1(http1) = *session.downstream_session else { return None };
    let stream = http1.reuse().await.ok().flatten()?;
    Some(ReusedHttpStream::from_reusable_stream(stream, settings))
}

impl App for Edge {
    async fn serve_bare(
        self: &Arc<Self>,
        connection: Stream,
        keeping: Keeping,
        closing: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let mut session = Session::new_h1(connection);
        if !read(&mut session).await {
            return None;
        }
        // One configuration from here on: another may have other upstreams.
        let runtime = self.service.runtime.load_full();
        if !runtime.stays_with_http1(session.req_header()) {
            let (connection, _) = release(session).await?.consume();
            return self.process_new_http(keeping.session(rewound(connection)?), closing).await;
        }
        keeping.apply_to(session.as_downstream_mut());
        if *closing.borrow() {
            session.set_keepalive(None);
        }
        let mut context = RequestContext::new(runtime);
        self.service.receive(&mut session, &mut context);
        let outcome = match self.service.decide(&mut session, &mut context).await {
            Ok(false) => self.forward(&mut session, &mut context).await,
            answered => answered,
        };
        if let Err(error) = &outcome {
            // On the heap, as all that is seldom: the future is the smaller for it, and copied for every request.
            Box::pin(self.service.give_up(&mut session, error, &mut context)).await;
        }
        finish(&session, &mut context);
        if outcome.is_ok_and(|is_whole| is_whole) { release(session).await } else { None }
    }
}

#[async_trait]
impl HttpServerApp for Edge {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.proxy.process_new_http(session, shutdown).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Edge").field("service", &self.service).finish_non_exhaustive()
    }
}
