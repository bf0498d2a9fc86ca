//! The rules that a configuration can break: one variant a rule, its message next to it.
//!
//! A message says what was found and what is allowed; the key that it is about is printed before it. Text from the file
//! is quoted.

use std::{net::SocketAddr, path::PathBuf};

use cognigate_auth::pool::{InvalidEndpoint, InvalidPoolId, InvalidRegion};
use thiserror::Error;

use super::{
    collector::InvalidCollector,
    dns::InvalidDnsName,
    origin::InvalidOrigin,
    pattern::{InvalidHost, InvalidMethods, InvalidPathPattern, InvalidRewrite},
    redis::InvalidRedisAddress,
    secret::InvalidSecret,
};

/// A rule that a value breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BrokenRule {
    /// Not an IP address with a port.
    #[error(
        "{0:?} is not an address: an IP address and a port are needed, as in 10.0.0.11:8080 or [fd00::11]:8080 (host \
         names are not resolved)"
    )]
    Address(String),
    /// A socket that something else in the file already binds.
    #[error("{address} is the address of {other} too: each needs its own")]
    AddressTaken {
        /// The address.
        address: SocketAddr,
        /// The key that has it already.
        other: String,
    },
    /// A route that does not say what it asks of a caller.
    #[error("missing: name the `user_pools` whose tokens it takes, or write `auth: none` for an open route")]
    AuthMissing,
    /// Certificates to compare with, and no TLS that would show one.
    #[error("has no effect without TLS: write rediss:// in `url`, or leave `ca` out")]
    AuthorityWithoutTls,
    /// Text to look for in a body that is none, or too much of it.
    #[error("has {0} bytes: 1 to 256 are allowed")]
    BodyText(usize),
    /// A cache too small to hold anything, or larger than any machine has use for.
    #[error("{found} is not a size for the cache: 0 (off), or from {least} to {most}")]
    CacheSize {
        /// The size, as it may be written.
        found: String,
        /// The least but 0 that is allowed.
        least: String,
        /// The most that is allowed.
        most: String,
    },
    /// A claim without a name.
    #[error("\"\" is not the name of a claim, such as sub or cognito:groups")]
    Claim,
    /// A rule about certificates that nobody is asked for.
    #[error("has no effect without `client_ca`: name the authorities whose client certificates are accepted")]
    ClientCaMissing,
    /// A pool that admits some clients and also all.
    #[error("`client_ids` and `any_client: true` exclude each other: list the app clients, or admit all of them")]
    ClientsContradict,
    /// A pool that does not say whose tokens it takes.
    #[error("neither `client_ids` nor `any_client: true`: list the app clients that may call, or admit all of them")]
    ClientsMissing,
    /// Not the address of a collector.
    #[error(transparent)]
    Collector(#[from] InvalidCollector),
    /// Not the name of a cookie (RFC 6265 section 4.1.1).
    #[error("{0:?} is not a cookie name: letters, digits and !#$%&'*+-.^_`|~ are allowed")]
    CookieName(String),
    /// Not a name to resolve.
    #[error(transparent)]
    DnsName(#[from] InvalidDnsName),
    /// One thing twice in a list.
    #[error("{0} is listed twice")]
    Duplicate(String),
    /// A list with nothing in it.
    #[error("none is given: at least one is needed")]
    Empty,
    /// A list that asks for nothing.
    #[error("none is given: list at least one, or leave the key out to ask for none")]
    EmptyDemand,
    /// Not an address that keys may be trusted from.
    #[error(transparent)]
    Endpoint(#[from] InvalidEndpoint),
    /// An upstream that lists its servers and also names them.
    #[error("`endpoints` and `dns` exclude each other: list the servers, or give the name that they are found by")]
    EndpointsContradict,
    /// An upstream without servers.
    #[error("neither `endpoints` nor `dns`: list the servers, or give the name that they are found by")]
    EndpointsMissing,
    /// Not a path.
    #[error("{0:?} is not the path of a file: at least one character, none of them a control character")]
    FilePath(String),
    /// A file that the configuration names and that is not there, or not to be read.
    #[error("{file:?} cannot be read: {cause}")]
    FileUnreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A file that the configuration has written, and that cannot be.
    #[error("{file:?} cannot be written: {cause}")]
    FileUnwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// Not what requests can be told apart by.
    #[error("{0:?} is not a key of requests: sub, source_ip or header:NAME is needed")]
    HashKey(String),
    /// Hashing, and nothing to hash.
    #[error("missing: `consistent_hash` needs what requests are told apart by (sub, source_ip or header:NAME)")]
    HashKeyMissing,
    /// Something to hash, and no hashing.
    #[error("has no effect without `balance: consistent_hash`")]
    HashKeyUnused,
    /// Not the name of a header field (RFC 9110 section 5.1).
    #[error("{0:?} is not a header name: letters, digits and !#$%&'*+-.^_`|~ are allowed")]
    HeaderName(String),
    /// A header that would carry the token and a claim.
    #[error("{0:?} is where the token is read from (`token.sources`): a claim needs a header of its own")]
    HeaderOfToken(String),
    /// A header that the configuration may not set or read a token from.
    #[error("{0:?} is not allowed: it frames the request, steers the connection or carries credentials")]
    HeaderReserved(String),
    /// Two headers that servers take for one.
    #[error("{one:?} and {other:?} are one header: case does not count, and many servers read `_` as `-`")]
    HeaderTwins {
        /// The header.
        one: String,
        /// The one before it.
        other: String,
    },
    /// A header list that does not name headers.
    #[error("\"*\" is for `allow_origins` only: name each header (no wildcard covers authorization)")]
    HeaderWildcard,
    /// Not a host.
    #[error(transparent)]
    Host(#[from] InvalidHost),
    /// A pool whose keys would die before they are fetched again.
    #[error("{max_stale} is less than `refresh` ({refresh}): keys would be too old before they are fetched again")]
    KeysOutlived {
        /// `max_stale`, as it may be written.
        max_stale: String,
        /// `refresh`, as it may be written.
        refresh: String,
    },
    /// Not a name for a route.
    #[error("{0:?} is not a name for a route: 1 to 128 characters, no control characters, and not \"none\"")]
    Label(String),
    /// Two routes that metrics and logs could not tell apart.
    #[error("{label:?} is what {other} is called too: give one of them another `name`")]
    LabelTaken {
        /// What both are called.
        label: Box<str>,
        /// The key of the other route.
        other: String,
    },
    /// A quantity below another one.
    #[error("{found} is less than `{key}` ({least})")]
    LessThanKey {
        /// The quantity, as it may be written.
        found: String,
        /// The key of the other.
        key: &'static str,
        /// The other, as it may be written.
        least: String,
    },
    /// Not methods.
    #[error(transparent)]
    Methods(#[from] InvalidMethods),
    /// A quantity above another one.
    #[error("{found} is more than `{key}` ({most})")]
    MoreThanKey {
        /// The quantity, as it may be written.
        found: String,
        /// The key of the other.
        key: &'static str,
        /// The other, as it may be written.
        most: String,
    },
    /// Not a name for a user pool or an upstream.
    #[error("{0:?} is not a name: 1 to 64 letters, digits, `.`, `_` and `-` are allowed")]
    Name(String),
    /// Callers who are counted where nobody is known.
    #[error("`auth: none` verifies no token, so nobody is known by it: `source_ip` is what an open route can count by")]
    NobodyToLimit,
    /// Not an origin as browsers write it.
    #[error(transparent)]
    Origin(#[from] InvalidOrigin),
    /// Every origin, and cookies: any page could act as the user who looks at it.
    #[error("\"*\" does not go with `allow_credentials: true`: name the origins whose pages may send cookies")]
    OriginWildcardWithCredentials,
    /// Every origin, and then some.
    #[error("\"*\" allows every origin: give it alone, or leave it out and name the origins")]
    OriginsBesideWildcard,
    /// Not a path pattern.
    #[error(transparent)]
    Path(#[from] InvalidPathPattern),
    /// Not a user pool id.
    #[error(transparent)]
    PoolId(#[from] InvalidPoolId),
    /// A pool that does not say whose tokens it is about.
    #[error("neither `id` nor `issuer`: give the pool's id, or for an emulator the `iss` of its tokens")]
    PoolIdMissing,
    /// A file of certificates that holds none, or one that cannot be used.
    #[error("{0:?} does not hold certificates that can be used (PEM: -----BEGIN CERTIFICATE-----)")]
    NoCertificate(PathBuf),
    /// Not a network.
    #[error("{0:?} is not a network (an IP address, and how many bits of it count: 10.0.0.0/8, fd00::/8, 192.0.2.1)")]
    Network(String),
    /// Not a name that can be shown.
    #[error("{0:?} is not allowed: 1 to 128 characters, none of them a control character")]
    Printable(String),
    /// A question or an answer, where neither is.
    #[error("has no effect with `tcp: true`: only a check with `path` asks for something")]
    ProbeAsksNothing,
    /// A check that asks nothing.
    #[error("neither `path` nor `tcp: true`: say what endpoints are asked for, or that a connection is enough")]
    ProbeMissing,
    /// Not what can be asked for.
    #[error(
        "{0:?} is not a path to ask for: a slash, then printable ASCII as it stands in a URL, at most 1024 bytes (other \
         characters as %XX)"
    )]
    ProbePath(String),
    /// A check that asks for something and for nothing.
    #[error("`path` and `tcp: true` exclude each other: ask for something, or only for a connection")]
    ProbesContradict,
    /// Nothing to choose a protocol with.
    #[error("`auto` is chosen in the TLS handshake, and there is no `tls`: write http1 or http2")]
    ProtocolNeedsTls,
    /// Not the address of a Redis.
    #[error(transparent)]
    Redis(#[from] InvalidRedisAddress),
    /// Not a region.
    #[error(transparent)]
    Region(#[from] InvalidRegion),
    /// Replicas of a pool whose issuer does not follow from its id.
    #[error("has no effect next to `issuer`: that is then the only issuer")]
    RegionsOfIssuer,
    /// Port 0, where a port is connected to.
    #[error("{0} has port 0: a port from 1 to 65535 is needed")]
    PortZero(SocketAddr),
    /// Not a host that a request can name.
    #[error(
        "{0:?} is not a host: a host name or an IP address is needed, or with a port (items.internal, [fd00::1]:8080)"
    )]
    RequestHost(String),
    /// Not a rewrite of the route's path.
    #[error(transparent)]
    Rewrite(#[from] InvalidRewrite),
    /// Two routes for one request, and neither more specific.
    #[error(
        "{} matches the same requests as {other} ({}): change the path, host or methods of one",
        .label.escape_debug(),
        .other_label.escape_debug()
    )]
    RoutesConflict {
        /// What the route is called.
        label: Box<str>,
        /// The key of the other route.
        other: String,
        /// What the other route is called.
        other_label: Box<str>,
    },
    /// Two pools for one token.
    #[error("has the same issuer as {other} ({issuer}): a token belongs to one pool")]
    SameIssuer {
        /// The key of the other pool.
        other: String,
        /// The issuer.
        issuer: String,
    },
    /// A file that is written, of two keys.
    #[error("{file:?} is the file of {other} too: each needs its own")]
    SameFile {
        /// The file.
        file: PathBuf,
        /// The key that has it already.
        other: String,
    },
    /// A file that does not hold a secret.
    #[error("{file:?} {fault}")]
    Secret {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        fault: InvalidSecret,
    },
    /// Scopes asked of tokens that have none.
    #[error(
        "`token: id` takes ID tokens only, and an ID token has no scopes: write `token: access`, or use `groups_any`"
    )]
    ScopesOfIdToken,
    /// A place for the token that is none, or two.
    #[error("exactly one of `header` and `cookie` is needed")]
    TokenSource,
    /// A quantity below its limit.
    #[error("{found} is too little: at least {least}")]
    TooLittle {
        /// The quantity, as it may be written.
        found: String,
        /// The least that is allowed.
        least: String,
    },
    /// A file of more revocations than may be kept.
    #[error("has {found} revocations: at most {max_entries} are kept (`revocation.max_entries`)")]
    TooManyRevocations {
        /// How many the file has.
        found: usize,
        /// How many may be kept.
        max_entries: usize,
    },
    /// A quantity above its limit.
    #[error("{found} is too much: at most {most}")]
    TooMuch {
        /// The quantity, as it may be written.
        found: String,
        /// The most that is allowed.
        most: String,
    },
    /// A name that nothing has.
    #[error("no {kind} is called {name:?} ({known})")]
    UnknownName {
        /// What should have the name: `upstream`, `user pool`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The names that there are: `known: items, orders`.
        known: String,
    },
    /// A user who would log in without a password.
    #[error("has no effect without a password: give a `password_file` too, or leave `username` out")]
    UserWithoutPassword,
    /// An upstream without an endpoint that gets requests.
    #[error("every weight is 0, so no endpoint gets a request: at least one needs a weight from 1 to 256")]
    WeightsAllZero,
    /// A fraction of a second, where whole ones are counted.
    #[error("{0} is not a whole number of seconds")]
    WholeSeconds(String),
    /// Not a scope.
    #[error("{0:?} is not a scope: printable ASCII, but no space, quote or backslash")]
    Scope(String),
    /// Not a name that a certificate can have.
    #[error("{0:?} is not the name of a server: a host name or an IP address is needed, without a port")]
    ServerName(String),
    /// Not a client id, scope or group.
    #[error("{0:?} is not allowed: at least one character, none of them white space or a control character")]
    Word(String),
}
