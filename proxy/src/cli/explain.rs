//! `cognigate explain`: what would be done with a request, and why.
//!
//! The request goes the way of a real one, through the same code: hygiene, route, the rules of the token. Nothing is served
//! and nothing is sent but, without `--jwks`, the fetch of the keys. The revocation file counts; what was revoked at the admin
//! listener of a running proxy is not known here. The token is read from a file or from standard input,
//! never from an argument that other users could see, and is not printed.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    sync::Arc,
};

use cognigate_auth::{
    authorizer::ImportError,
    clock::{Clock, SystemClock},
    explanation::Finding,
    keys::fetch::{Fetcher, NoClient},
    metrics::AuthMetrics,
    policy::Policy,
    revocation::{ListFull, RevocationList, Source},
    token::TokenSource,
};
use http::{
    HeaderValue,
    header::{COOKIE, HOST, InvalidHeaderValue},
};
use pingora_http::RequestHeader;
use prometheus::Registry;
use thiserror::Error;

use super::{EXIT_BAD_CONFIG, EXIT_FAILURE, with_causes};
use crate::{
    config::{self, Files, Loaded, error::ConfigErrors, model::Config},
    filter::hygiene::{self, Fault},
    response::Refusal,
    revocation::entry,
    runtime::{BuildError, Runtime, Surroundings},
    telemetry::{access_log::LogWriters, metrics::ProxyMetrics},
};

/// The most that is read of a token or a JWKS document: as much as `run` takes of either.
const MAX_INPUT_BYTES: u64 = 64 * 1024;

/// There is no verdict.
const EXIT_UNDECIDED: u8 = 2;

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct ExplainArguments {
    /// The configuration, a YAML file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// The request line without its version
    #[arg(long, value_name = "'METHOD TARGET'", value_parser = parse_request_line)]
    request: RequestLine,
    /// The host that the request is for
    #[arg(long, default_value = "localhost")]
    host: String,
    /// Where the token is, as it stands in the header: a file, or - for standard input. Without it: a request without one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A JWKS document that stands in for the keys of every pool, to work offline
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct RequestLine {
    method: String,
    target: String,
}

fn parse_request_line(text: &str) -> Result<RequestLine, String> {
    match text.split_once(' ') {
        Some(("CONNECT", _)) => Err("CONNECT is answered 405 before anything is decided".to_owned()),
        Some((method, target)) if method.parse::<http::Method>().is_ok() && !target.is_empty() => {
            // As it is sent on: a space ends a target, so that clients who send one mean this.
            Ok(RequestLine { method: method.to_owned(), target: target.replace(' ', "%20") })
        }
        _ => Err("not a method, a space and a target, such as 'GET /items/1'".to_owned()),
    }
}

/// Why there is no explanation.
#[derive(Debug, Error)]
enum ExplainError {
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Dangling(#[from] BuildError),
    #[error(transparent)]
    Fetcher(#[from] NoClient),
    #[error("cannot read {file}")]
    Input { file: String, source: io::Error },
    #[error("{file} is longer than {MAX_INPUT_BYTES} bytes")]
    InputTooLong { file: String },
    #[error("{file} has no keys")]
    Jwks { file: String, source: ImportError },
    #[error("two metrics have one name")]
    Metrics(#[from] prometheus::Error),
    #[error("cannot print")]
    Output(#[from] io::Error),
    #[error("the revocation file does not fit")]
    Revocations(#[from] ListFull),
    #[error("not a request that HTTP can carry")]
    Request(#[from] Box<pingora_core::Error>),
    #[error("the host or the token is not text that a header can carry")]
    Text(#[from] InvalidHeaderValue),
}

/// Explains one request. Says with what status to exit: 0 if it would be let through, 1 if not, 2 if there is no telling.
#[must_use]
pub fn run(arguments: &ExplainArguments, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match explain(arguments, out, err) {
        Ok(status) => status,
        Err(ExplainError::Config(errors)) => {
            let _ = writeln!(err, "{errors}");
            EXIT_BAD_CONFIG
        }
        Err(error) => {
            let _ = writeln!(err, "cognigate: {}", with_causes(&error));
            EXIT_UNDECIDED
        }
    }
}

fn explain(arguments: &ExplainArguments, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8, ExplainError> {
    let ExplainArguments { config, request: RequestLine { method, target }, host, token_file, jwks } = arguments;
    let Loaded { mut config, files } = config::load(config)?;
    // Nothing is served, and log and traces are the server's.
    config.access_log = None;
    config.tracing = None;
    let registry = Registry::new();
    let surroundings = Surroundings {
        clock: Arc::new(SystemClock),
        metrics: ProxyMetrics::register(&registry, "", "")?,
        auth_metrics: AuthMetrics::register(&registry)?,
        revocations: Arc::new(revocations(&config, &files)?),
        log_writers: LogWriters::default(),
    };
    let runtime = Runtime::build(&config, &surroundings, None)?;
    let request = request(&runtime, arguments, token_file.as_ref().map(read).transpose()?.as_deref())?;

    // Nothing is decided on the query, and there are clients that put secrets there.
    let path = target.split_once('?').map_or_else(|| target.clone(), |(path, _)| format!("{path}?..."));
    writeln!(out, "request  {method} {path}, host {host}")?;
    let verdict = judge(&config, &runtime, &request, jwks.as_ref(), out, err)?;
    let (reason, status, exit) = match verdict {
        Ok(reason) => (reason, "the upstream's".to_owned(), 0),
        Err(refusal) => (refusal.reason(), runtime.responder.status(refusal).as_u16().to_string(), EXIT_FAILURE),
    };
    writeln!(out, "reason   {reason}\nstatus   {status}")?;
    Ok(exit)
}

/// What the revocation file says. What was revoked at an admin listener is not known here.
fn revocations(config: &Config, files: &Files) -> Result<RevocationList, ExplainError> {
    let (list, now) = (RevocationList::new(config.revocation.max_entries), SystemClock.now());
    let written = files.revocations.iter().flat_map(|file| &file.entries);
    list.replace(Source::File, written.filter_map(|written| entry::of_file(written, now)).collect())?;
    Ok(list)
}

/// The reason for which a request is let through or refused.
type Verdict = Result<&'static str, Refusal>;

/// Takes the way of a real request, in the same order and through the same code.
fn judge(
    config: &Config,
    runtime: &Runtime,
    request: &RequestHeader,
    jwks: Option<&PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Verdict, ExplainError> {
    let target = match hygiene::check(request) {
        Ok(target) => target,
        Err(fault) => return refuse_ambiguous(fault, out),
    };
    let found = runtime.find_route(&target, &request.method).and_then(|index| Some((index, runtime.route(index)?)));
    let Some((index, route)) = found else {
        writeln!(out, "route    none matches")?;
        return Ok(Err(Refusal::NoRoute));
    };
    let label = config.routes.get(index).map_or("", |route| &route.label);
    writeln!(out, "route    {label}, upstream {}", route.upstream.name())?;
    let Some(policy) = &route.policy else {
        writeln!(out, "auth     none")?;
        return Ok(Ok("open"));
    };
    let token = match runtime.token_sources.read(&request.headers) {
        Ok(token) => token,
        Err(ambiguity) => return refuse_ambiguous(ambiguity.into(), out),
    };
    provide_keys(runtime, policy, jwks, err)?;
    let (findings, verdict) = runtime.authorizer.explain(token, policy);
    for Finding { rule, values, rejection } in findings {
        let outcome = if rejection.is_some() { "REFUSED" } else { "ok" };
        writeln!(out, "{outcome:8} {rule}: {values}")?;
    }
    if let Ok(identity) = &verdict {
        writeln!(out, "caller   sub {:?}, client {:?}", identity.sub(), identity.client_id())?;
    }
    Ok(verdict.map(|_| "ok").map_err(Refusal::Rejected))
}

fn refuse_ambiguous(fault: Fault, out: &mut dyn Write) -> Result<Verdict, ExplainError> {
    writeln!(out, "refused  {}", with_causes(&fault))?;
    Ok(Err(Refusal::Ambiguous(fault)))
}

/// The request as it would arrive, with the token in the first place that tokens are read from.
fn request(
    runtime: &Runtime,
    arguments: &ExplainArguments,
    token: Option<&[u8]>,
) -> Result<RequestHeader, ExplainError> {
    let RequestLine { method, target } = &arguments.request;
    let mut request = RequestHeader::build(method.as_str(), target.as_bytes(), None)?;
    request.insert_header(HOST, HeaderValue::from_str(&arguments.host)?)?;
    if let Some(token) = token {
        let token = token.trim_ascii();
        match runtime.token_sources.iter().next() {
            Some(TokenSource::Cookie(name)) => {
                let pair = [name.as_bytes(), b"=", token].concat();
                request.insert_header(COOKIE, HeaderValue::from_bytes(&pair)?)?;
            }
            Some(TokenSource::Header(name)) => {
                request.insert_header(name.clone(), HeaderValue::from_bytes(token)?)?;
            }
            None => {}
        }
    }
    Ok(request)
}

/// Gives the pools of the route their keys: those of a file, else their own. Keys that cannot be fetched are reported, and
/// missing then as they would be for `run`.
fn provide_keys(
    runtime: &Runtime,
    policy: &Policy,
    jwks: Option<&PathBuf>,
    err: &mut dyn Write,
) -> Result<(), ExplainError> {
    if let Some(file) = jwks {
        let document = read(file)?;
        for pool in &policy.user_pools {
            let import = runtime.authorizer.import_keys(pool, &document);
            import.map_err(|source| ExplainError::Jwks { file: file.display().to_string(), source })?;
        }
        return Ok(());
    }
    let fetches = async {
        for refresher in runtime.authorizer.refreshers(&Fetcher::new()?) {
            if policy.user_pools.iter().all(|name| **name != *refresher.user_pool()) {
                continue;
            }
            if let (Err(error), true) = (refresher.refresh().await, refresher.is_required()) {
                let (pool, uri) = (refresher.user_pool(), refresher.jwks_uri().as_str());
                writeln!(err, "warning: no keys of {pool} from {uri}: {}", with_causes(&error))?;
            }
        }
        Ok(())
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(fetches)
}

fn read(file: &PathBuf) -> Result<Vec<u8>, ExplainError> {
    let read_from = |input: &mut dyn Read| {
        let mut bytes = Vec::new();
        input.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    let bytes = match file.to_str() {
        Some("-") => read_from(&mut io::stdin()),
        _ => File::open(file).and_then(|mut file| read_from(&mut file)),
    };
    let bytes = bytes.map_err(|source| ExplainError::Input { file: file.display().to_string(), source })?;
    let is_within = u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_INPUT_BYTES);
    if is_within { Ok(bytes) } else { Err(ExplainError::InputTooLong { file: file.display().to_string() }) }
}
