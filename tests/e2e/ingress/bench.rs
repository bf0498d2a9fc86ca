//! The proxy between a [`Peer`] and a [`Recorder`], and the table of what passes between them.

use std::{collections::BTreeMap, fmt};

use e2e::edge::Edge;
use serde_json::json;

use super::{
    peer::Peer,
    recorder::Recorder,
    strict::{Reading, Request, bytes, may_be_below, read, text},
};
use crate::edge;

/// The header that the proxy sets for the caller that it verified, and the caller.
pub(super) const IDENTITY: (&str, &str) = ("x-cognito-sub", "jane");

/// Nothing reached the upstream.
pub(super) const NOTHING: &str = "";

/// Fields that the proxy may add to every request that it forwards.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-request-id"];

/// The metrics that say why a request was refused.
const REFUSALS: [&str; 2] = ["cognigate_rejected_requests_total", "cognigate_auth_decisions_total"];

/// What a connection is good for after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing: it was closed, and nothing came before that.
    Closed,
    /// The next request gets the answer to itself.
    Open,
}

/// A line of the table: bytes sent, and what comes of them. Every byte is a character (ISO 8859-1); `$GOOD` is a token that
/// the proxy accepts and `$BAD` one that it does not.
#[derive(Clone, Debug)]
pub(super) struct Row {
    sent: String,
    status: u16,
    then: Then,
    /// The reason under which a refusal is counted; empty if none is.
    reason: &'static str,
    /// The bytes that the upstream got. The order of fields of different names is of no account, nor is how they are
    /// spelt.
    upstream: String,
    /// Whether the upstream may have got any number of the first of these bytes: the request broke off on its way.
    is_cut: bool,
}

/// Sent, status, the connection, the reason counted, what the upstream got.
pub(super) fn row(
    sent: impl Into<String>,
    status: u16,
    then: Then,
    reason: &'static str,
    upstream: impl Into<String>,
) -> Row {
    Row { sent: sent.into(), status, then, reason, upstream: upstream.into(), is_cut: false }
}

/// The upstream gets what was sent, to the byte.
pub(super) fn forwarded(sent: impl Into<String>) -> Row {
    let sent = sent.into();
    row(sent.clone(), 200, Then::Open, "", sent)
}

/// Refused with 400 and counted; the connection is kept.
pub(super) fn refused(sent: impl Into<String>, reason: &'static str) -> Row {
    row(sent, 400, Then::Open, reason, NOTHING)
}

/// Refused with 400 by the parser, which counts nothing and closes the connection.
pub(super) fn malformed(sent: impl Into<String>) -> Row {
    row(sent, 400, Then::Closed, "", NOTHING)
}

impl Row {
    /// The upstream got any number of the first of these bytes: the request broke off on its way.
    pub(super) fn cut(self) -> Self {
        Self { is_cut: true, ..self }
    }

    /// The same bytes to the protected route, from a caller with these credentials; none if they say already where they go
    /// or who sends them.
    fn sent_by(&self, credentials: &str) -> Option<Self> {
        let protected =
            |text: &str| text.replacen("/open/", "/items/", 1).replacen(HOST, &(HOST.to_owned() + credentials), 1);
        let line = self.sent.split("\r\n").next().unwrap_or_default();
        let is_open = line.contains("/open/") && self.sent.contains(HOST) && !self.sent.contains("uthorization");
        let identity = format!("{HOST}{}: {}\r\n", IDENTITY.0, IDENTITY.1);
        let upstream = protected(&self.upstream).replacen(HOST, &identity, 1);
        is_open.then(|| Self { sent: protected(&self.sent), upstream, ..self.clone() })
    }
}

const HOST: &str = "Host: edge\r\n";

/// What shows that a connection is in step: the answer to it is the answer to nothing else.
const PROBE: &str = "GET /open/probe HTTP/1.1\r\nHost: edge\r\n\r\n";

/// The proxy and both its sides.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) edge: Edge,
    pub(super) recorder: Recorder,
    good: String,
    bad: String,
}

impl Bench {
    /// Starts everything. `/items/…` is protected, `/open/…` is not.
    #[track_caller]
    pub(super) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts everything, with these sections of the configuration as well.
    #[track_caller]
    pub(super) fn start_with(sections: &[(&str, &str)]) -> Self {
        let recorder = Recorder::start();
        let upstreams = format!(r#"{{ items: {{ endpoints: ["{}"] }} }}"#, recorder.address());
        let identity = format!("{{ headers: {{ {}: sub }} }}", IDENTITY.0);
        let edge = edge(&[&[("upstreams", &*upstreams), ("identity", &*identity)], sections].concat());
        let good = edge.pool.id_token(&json!({ "sub": IDENTITY.1 }));
        let bad = edge.pool.id_token(&json!({ "sub": IDENTITY.1, "exp": 1 }));
        Self { edge, recorder, good, bad }
    }

    /// Sends every row as it stands, and again to the protected route: without a token, with a bad one, with a good one.
    /// Then checks what [`finish`](Self::finish) checks.
    #[track_caller]
    pub(super) fn run(&self, rows: &[Row]) {
        let mut report = String::new();
        for row in rows {
            let before = self.refusals();
            let mut faults = self.faults(row);
            let counted = self.refusals().into_iter().filter(|(reason, count)| before.get(reason) != Some(count));
            let counted: Vec<_> = counted.map(|(reason, _)| reason).collect();
            if counted.join(" ") != row.reason {
                faults.push(format!("counted {counted:?}"));
            }
            for credentials in ["", "Authorization: Bearer $BAD\r\n"] {
                let stranger = row.sent_by(credentials);
                faults.extend(stranger.map(|row| self.strangers_faults(&row)).unwrap_or_default());
            }
            let known = row.sent_by("Authorization: Bearer $GOOD\r\n");
            faults.extend(known.map(|row| self.faults(&row)).unwrap_or_default());
            if !faults.is_empty() {
                report.push_str(&format!("\n{row}\n  {}\n", faults.join("\n  ")));
            }
        }
        self.finish(report);
    }

    /// Fails with `report` if there is one, and with everything that reached the upstream since the start and should not
    /// have: a request to the protected route without the header that only the proxy sets, another one with it, anything
    /// that two servers could read differently.
    #[track_caller]
    pub(super) fn finish(&self, mut report: String) {
        for connection in self.recorder.connections() {
            match connection.requests() {
                Err(fault) => report.push_str(&format!("\nthe upstream got what can be read in two ways: {fault}\n")),
                Ok(requests) => {
                    let illegal = requests.iter().filter(|request| !self.is_legal(request));
                    illegal.for_each(|request| report.push_str(&format!("\ngot past the proxy: {:?}\n", request.head)));
                }
            }
        }
        assert!(report.is_empty(), "{report}");
    }

    /// A connection to the proxy.
    pub(super) fn peer(&self) -> Peer {
        Peer::connect(self.edge.proxy.address())
    }

    /// Whether the connection is in step: the next request on it, and nothing else, gets its answer.
    pub(super) fn is_in_step(&self, peer: &mut Peer) -> bool {
        peer.send(PROBE);
        let reply = peer.reply(false);
        let is_answered = reply.status == 200 && reply.body == "/open/probe";
        is_answered && canonical(&self.recorder.take(|seen| canonical(seen) == canonical(PROBE))) == canonical(PROBE)
    }

    fn is_legal(&self, request: &Request) -> bool {
        let (callers, tokens) = (request.read_as(IDENTITY.0), request.read_as("authorization"));
        let is_verified = callers == [IDENTITY.1] && tokens.iter().all(|token| token.contains(&self.good));
        let is_protected = may_be_below(request.target(), "items");
        let is_legal = if is_protected { is_verified } else { callers.is_empty() };
        is_legal && !request.target().contains("smuggled")
    }

    /// Sends a row and says where it went otherwise than the row says.
    fn faults(&self, row: &Row) -> Vec<String> {
        let Row { sent, status, then, upstream, .. } = row;
        let upstream = canonical(&self.with_tokens(upstream));
        let mut peer = self.peer();
        peer.send(&self.with_tokens(sent));
        let reply = peer.reply(sent.starts_with("HEAD "));
        let seen =
            if row.is_cut { self.recorder.take_cut() } else { self.recorder.take(|seen| canonical(seen) == upstream) };
        let seen = canonical(&seen);
        let mut faults = Vec::new();
        if reply.status != *status || !reply.is_whole {
            faults.push(format!("answered {}", shown(&(reply.head + &reply.body))));
        }
        if seen != upstream && !(row.is_cut && upstream.starts_with(&seen)) {
            faults.push(format!("the upstream got {} and not {}", shown(&seen), shown(&upstream)));
        }
        match then {
            // Whatever the answer was, the next one is to the probe.
            Then::Open if self.is_in_step(&mut peer) => {}
            Then::Open => faults.push("the connection is not in step".to_owned()),
            Then::Closed => match peer.rest().as_str() {
                "" => {}
                rest => faults.push(format!("then came {}", shown(rest))),
            },
        }
        faults
    }

    /// Sends a row from somebody whom the protected route does not admit.
    fn strangers_faults(&self, row: &Row) -> Vec<String> {
        let mut peer = self.peer();
        peer.send(&self.with_tokens(&row.sent));
        let reply = peer.reply(row.sent.starts_with("HEAD "));
        let is_refused_anyway = reply.status == row.status && row.upstream == NOTHING;
        let mut faults = Vec::new();
        if !(reply.status == 401 || is_refused_anyway) {
            faults.push(format!("a stranger was answered {}", shown(&(reply.head + &reply.body))));
        }
        let seen = self.recorder.take(str::is_empty);
        if seen != NOTHING {
            faults.push(format!("a stranger sent the upstream {}", shown(&seen)));
        }
        if !self.is_in_step(&mut peer) && !peer.rest().is_empty() {
            faults.push("a stranger's connection is neither in step nor closed".to_owned());
        }
        faults
    }

    fn with_tokens(&self, text: &str) -> String {
        text.replace("$GOOD", &self.good).replace("$BAD", &self.bad)
    }

    /// How many requests were refused, by reason.
    fn refusals(&self) -> BTreeMap<String, f64> {
        let metrics = self.edge.proxy.metrics();
        let series = REFUSALS.iter().flat_map(|name| metrics.series(name));
        let reasons = series.filter_map(|(labels, count)| Some((labels.get("reason")?.clone(), count)));
        reasons.filter(|(reason, _)| !["ok", "open"].contains(&reason.as_str())).collect()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, status, then, reason, .. } = self;
        write!(out, "{} -> {status} {then:?} {reason}", shown(sent))
    }
}

/// With the fields of each head in one order, their names in lower case, and without those that the proxy adds to every request.
pub(super) fn canonical(wire: &str) -> String {
    let (wire, mut at, mut canonical) = (bytes(wire), 0, String::new());
    while let Ok(Reading::Whole(request, length)) = read(&wire[at..]) {
        canonical.extend([sorted(&request.head), request.body]);
        at += length;
    }
    let rest = text(&wire[at..]);
    canonical + &rest.split_once("\r\n\r\n").map_or(rest.clone(), |(head, body)| sorted(head) + body)
}

fn sorted(head: &str) -> String {
    let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
    let start = lines.next().unwrap_or_default().to_owned();
    let fields = lines.map(|line| {
        let (name, value) = line.split_at(line.find(':').unwrap_or(line.len()));
        (name.to_ascii_lowercase(), value)
    });
    let mut fields: Vec<_> = fields.filter(|(name, _)| !FORWARDED.contains(&name.as_str())).collect();
    fields.sort_unstable();
    let fields = fields.into_iter().map(|(name, value)| format!("\r\n{name}{value}"));
    start + &fields.collect::<String>() + "\r\n\r\n"
}

/// As much of it as helps.
fn shown(wire: &str) -> String {
    match wire.chars().count() {
        0..500 => format!("{wire:?}"),
        length => format!("{:?}… ({length} bytes)", wire.chars().take(500).collect::<String>()),
    }
}
