"""What is measured: one table a load, one row a case."""

from dataclasses import dataclass, replace

import peers
import traffic
from peers import Subject
from traffic import Traffic

OPEN = Subject("Cognigate, open route", peers.COGNIGATE, base="/open", verifies=False)
CACHED = Subject("Cognigate, cached tokens", peers.COGNIGATE)
ROOMY = Subject("Cognigate, a cache for all tokens", peers.ROOMY)
LIMITED = Subject("Cognigate, cached tokens, rate limit by sub", peers.RATE_LIMITED)
UNCACHED = Subject("Cognigate, no cache: every token is new", peers.UNCACHED)
LOGGED = Subject("Cognigate, cached tokens, access log to a file", peers.LOGGED)
ONE_ROUTE = Subject("Cognigate, 1 route", peers.ONE_ROUTE, base="")
THOUSAND_ROUTES = Subject("Cognigate, 1,000 routes", peers.THOUSAND_ROUTES, base="")
COGNIGATE_TLS = Subject("Cognigate, cached tokens", peers.COGNIGATE, port="https", is_tls=True)

NGINX = Subject("nginx, plain", peers.NGINX, verifies=False)
NGINX_TLS = replace(NGINX, port="https", is_tls=True)

HAPROXY = Subject("HAProxy, plain", peers.HAPROXY, verifies=False)
HAPROXY_JWT = Subject("HAProxy, jwt_verify", peers.HAPROXY, port="jwt")
HAPROXY_TLS = replace(HAPROXY_JWT, port="https", is_tls=True)

ENVOY = Subject("Envoy, plain", peers.ENVOY, verifies=False)
ENVOY_CACHED = Subject("Envoy, jwt_authn, a cache for all tokens", peers.ENVOY, port="jwt_cached")
ENVOY_DEFAULT = Subject("Envoy, jwt_authn, its cache as it comes", peers.ENVOY, port="jwt_default")
ENVOY_UNCACHED = Subject("Envoy, jwt_authn, no cache", peers.ENVOY, port="jwt")
ENVOY_TLS = replace(ENVOY_CACHED, port="https", is_tls=True)

PINGAP = Subject("pingap, plain", peers.PINGAP, verifies=False)
PINGAP_JWT = Subject("pingap, jwt", peers.PINGAP, port="jwt")

ENVOYS_WITH_JWT = (ENVOY_CACHED, ENVOY_DEFAULT, ENVOY_UNCACHED)
COGNIGATES = (OPEN, CACHED, LIMITED, UNCACHED)
VERIFYING = (CACHED, HAPROXY_JWT, ENVOY_CACHED)
TLS = (COGNIGATE_TLS, NGINX_TLS, HAPROXY_TLS, ENVOY_TLS)

# The part of what the slowest of those who verify can do at which latencies are compared.
LATENCY_SHARE = 0.7


@dataclass(frozen=True)
class Case:
    """A row: who is asked what. `label` tells it from another row with the same subject."""

    subject: Subject
    traffic: Traffic = Traffic()
    label: str = ""

    @property
    def name(self) -> str:
        return f"{self.subject.name}: {self.label}" if self.label else self.subject.name


@dataclass(frozen=True)
class Load:
    """A table. Rounds of so many seconds each, in which every case has its turn, after one that does not count."""

    key: str
    title: str
    about: str
    cases: tuple[Case, ...]
    seconds: int = 2
    warm_up: int = 1


def cases(subjects, sent: Traffic = Traffic(), label: str = "") -> tuple[Case, ...]:
    return tuple(Case(subject, sent, label) for subject in subjects)


MAIN = Load(
    "main",
    "1,000 tokens",
    "64 connections, 1,000 distinct tokens in turn, an upstream that answers with 100 bytes. HAProxy and pingap verify every"
    " token anew; Envoy's cache keeps 100 tokens unless it is told otherwise.",
    cases((*COGNIGATES, NGINX, HAPROXY, HAPROXY_JWT, ENVOY, *ENVOYS_WITH_JWT, PINGAP, PINGAP_JWT)),
    seconds=3,
)

ONE_TOKEN = Load("one", "One token", "64 connections, one token.", cases(VERIFYING, Traffic(traffic.one)))

ZIPF = Load(
    "zipf",
    "100,000 tokens",
    "The nth token is asked for 1/n as often as the first: in a round some 30,000 of them. Cognigate's cache is of 64 MiB, as it"
    " comes, with room for 24,000 tokens, or of 256 MiB; Envoy's has room for all.",
    cases((CACHED,), Traffic(traffic.one), "one token")
    + cases((CACHED, ROOMY, HAPROXY_JWT, ENVOY_CACHED), Traffic(traffic.zipf)),
)

UNSEEN = Load(
    "unseen",
    "5 % of the tokens never seen",
    "1,000 tokens in turn, but every twentieth request brings a token for the first time.",
    cases(VERIFYING, Traffic(traffic.five_percent_unseen)),
)

REFUSED_MIX = Load(
    "refused-mix",
    "20 % refused",
    "Of ten requests one has an expired token and one a token with a signature that is not its own.",
    cases(VERIFYING, Traffic(traffic.twenty_percent_refused, refused=0.2)),
)

REFUSED = Load(
    "refused",
    "Refusals",
    "What a 401 costs next to a request that is let through.",
    cases((CACHED,))
    + cases((CACHED,), Traffic(traffic.none, refused=1), "no token")
    + cases((CACHED, HAPROXY_JWT, ENVOY_CACHED), Traffic(traffic.expired, refused=1), "expired")
    + cases((CACHED,), Traffic(traffic.forged, refused=1), "wrong signature"),
)

TLS_KEPT = Load(
    "tls",
    "TLS, kept connections",
    "TLS 1.3, a P-256 certificate, 64 connections, 1,000 tokens.",
    cases(TLS),
)

TLS_NEW = Load(
    "tls-new",
    "TLS, a new connection for each request",
    "A whole handshake each time, P-256.",
    cases(TLS, Traffic(close=True)),
)

HTTP2 = Load(
    "http2",
    "HTTP/2",
    "TLS, 8 connections with 100 streams each, one token. To the upstream everyone speaks HTTP/1.1.",
    cases(TLS, Traffic(connections=8, streams=100)),
)

BODIES = Load(
    "bodies",
    "100 KB bodies both ways",
    "A POST of 100 KB, answered with 100 KB.",
    cases((CACHED, NGINX, HAPROXY_JWT, ENVOY_CACHED), Traffic(path="big", body=100 * 1024)),
)

IDLE = Load(
    "idle",
    "10,000 open connections",
    "64 connections ask while 10,000 others, which had one request each, are open.",
    cases((CACHED, NGINX, HAPROXY_JWT, ENVOY_CACHED), Traffic(idle=10_000)),
)

CROWD = Load(
    "crowd",
    "64 to 4,096 connections",
    "All of them busy. The CPU time includes that of accepting them.",
    cases((CACHED, NGINX), Traffic(connections=64), "64")
    + cases((CACHED, NGINX, HAPROXY_JWT, ENVOY_CACHED), Traffic(connections=4096), "4,096"),
    seconds=3,
    warm_up=2,
)

ROUTES = Load(
    "routes",
    "1 to 1,000 routes",
    "The same 1,000 tokens and paths, a path for each route.",
    cases((ONE_ROUTE, THOUSAND_ROUTES), Traffic(path="service-{n}/1")),
)

ACCESS_LOG = Load("log", "Access log", "JSON to a file, a line a request.", cases((CACHED, LOGGED)))


def latency(rate: int) -> Load:
    """Latencies at one rate for all."""
    return Load(
        "latency",
        "Latency at a fixed rate",
        f"{rate:,} requests a second over 64 connections: {LATENCY_SHARE * 100:.0f} % of what the slowest of those who verify"
        " does at most. Latencies count from the moment that a request was due: waiting for a slow one before it counts too.",
        cases((*VERIFYING, NGINX), Traffic(rate=rate)),
        seconds=3,
    )


# In this order; latencies come last, because their rate depends on the first.
LOADS = (
    *(MAIN, ONE_TOKEN, ZIPF, UNSEEN, REFUSED_MIX, REFUSED),
    *(TLS_KEPT, TLS_NEW, HTTP2, BODIES, IDLE, CROWD, ROUTES, ACCESS_LOG),
)
