//! Reads requests as RFC 9112 writes them and no other way: what the strictest and the laxest server behind the proxy would
//! agree on. Anything that two of them could read differently is an error.
//!
//! Bytes are characters (ISO 8859-1), so that each is seen and none is lost.

/// One byte for each character.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|byte| u8::try_from(byte).unwrap()).collect()
}

/// One character for each byte.
pub(super) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// A request as it was on the wire.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Request line and fields, the empty line included.
    pub(super) head: String,
    /// Everything between this head and the next, the framing of chunks included.
    pub(super) body: String,
}

/// What the bytes so far are.
#[derive(Debug)]
pub(super) enum Reading {
    /// The beginning of a request; its head, if that is complete.
    Part(Option<Request>),
    /// A request, and its length.
    Whole(Request, usize),
}

/// Where a body ends.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Chunked,
    Length(usize),
}

/// Reads the first request.
pub(super) fn read(wire: &[u8]) -> Result<Reading, String> {
    let Some(end) = wire.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(Reading::Part(None));
    };
    let (head, rest) = wire.split_at(end + 4);
    let head = Request { head: text(head), body: String::new() };
    head.check_lines()?;
    let body = match head.framing()? {
        Framing::Chunked => chunks_end(rest)?,
        Framing::Length(length) => (rest.len() >= length).then_some(length),
    };
    Ok(match body {
        None => Reading::Part(Some(Request { body: text(rest), ..head })),
        Some(length) => Reading::Whole(Request { body: text(&rest[..length]), ..head }, end + 4 + length),
    })
}

impl Request {
    /// The request target.
    pub(super) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Names and values of the fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.split("\r\n").skip(1).filter(|line| !line.is_empty());
        lines.map(|line| line.split_once(':').map_or((line, ""), |(name, value)| (name, value.trim())))
    }

    /// The values of the fields that some server reads as `name`: in any letter case, and with `_` for `-`.
    pub(super) fn read_as(&self, name: &str) -> Vec<&str> {
        let is_alike = |field: &str| field.replace('_', "-").eq_ignore_ascii_case(name);
        self.fields().filter(|(field, _)| is_alike(field)).map(|(_, value)| value).collect()
    }

    fn check_lines(&self) -> Result<(), String> {
        let mut lines = self.head.trim_end_matches("\r\n").split("\r\n");
        let is_request_line = match lines.next().unwrap_or_default().split(' ').collect::<Vec<_>>()[..] {
            [method, target, "HTTP/1.1"] => is_token(method) && is_target(target),
            _ => false,
        };
        let is_field = |line: &str| {
            line.split_once(':').is_some_and(|(name, value)| is_token(name) && !value.contains(['\r', '\n', '\0']))
        };
        let is_sound =
            is_request_line && lines.all(is_field) && self.values("host").iter().all(|host| !host.is_empty());
        if is_sound && self.values("host").len() == 1 { Ok(()) } else { Err(format!("bad head: {:?}", self.head)) }
    }

    fn framing(&self) -> Result<Framing, String> {
        match (&self.values("transfer-encoding")[..], &self.values("content-length")[..]) {
            ([], []) => Ok(Framing::Length(0)),
            (["chunked"], []) => Ok(Framing::Chunked),
            ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().map(Framing::Length).map_err(|error| format!("length {length:?}: {error}"))
            }
            framing => Err(format!("ambiguous framing: {framing:?}")),
        }
    }

    fn values(&self, name: &str) -> Vec<&str> {
        self.fields().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

fn is_token(word: &str) -> bool {
    let is_token_char = |byte: char| byte.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(byte);
    !word.is_empty() && word.chars().all(is_token_char)
}

fn is_target(target: &str) -> bool {
    target.starts_with('/') && target.chars().all(|byte| byte.is_ascii_graphic() && byte != '#')
}

/// The length of a chunked body, if it is complete: no extensions and no trailers, since the proxy writes none.
fn chunks_end(wire: &[u8]) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let Some(line) = wire[at..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let digits = text(&wire[at..at + line]);
        let is_size = !digits.is_empty() && digits.chars().all(|digit| digit.is_ascii_hexdigit());
        let size = usize::from_str_radix(&digits, 16).ok().filter(|_| is_size);
        let size = size.ok_or_else(|| format!("chunk size {digits:?}"))?;
        let end = at + line + 2 + size;
        match wire.get(end..end + 2) {
            None => return Ok(None),
            Some(b"\r\n") if size == 0 => return Ok(Some(end + 2)),
            Some(b"\r\n") => at = end + 2,
            Some(other) => return Err(format!("a chunk ends in {other:?}")),
        }
    }
}

/// Whether any server might serve this target from below `first`, a path of one segment: one that decodes twice, takes
/// backslashes for slashes, ignores letter case and parameters, merges slashes and resolves dot segments.
pub(super) fn may_be_below(target: &str, first: &str) -> bool {
    let authority_and_path = target.split_once("://").filter(|_| !target.starts_with('/'));
    let path = authority_and_path.map_or(target, |(_, rest)| rest.split_once('/').unwrap_or_default().1);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = decoded(&decoded(path)).replace('\\', "/").to_ascii_lowercase();
    let mut segments = Vec::new();
    for segment in path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments.first() == Some(&first)
}

fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let encoded = part.split_at_checked(2);
        match encoded.and_then(|(digits, rest)| Some((u8::from_str_radix(digits, 16).ok()?, rest))) {
            Some((byte, rest)) => {
                plain.push(char::from(byte));
                plain.push_str(rest);
            }
            None => plain.extend(["%", part]),
        }
    }
    plain
}

#[test]
fn what_two_servers_could_read_differently_is_an_error() {
    for wire in [
        "GET /a HTTP/1.1\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: \r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    ] {
        assert!(read(wire.as_bytes()).is_err(), "{wire:?}");
    }
}

#[test]
fn a_request_ends_where_its_framing_says() {
    for (fields, body, rest) in [
        ("", "", "GET /b"),
        ("Content-Length: 5\r\n", "hello", "x"),
        ("Transfer-Encoding: chunked\r\n", "A\r\n0123456789\r\n0\r\n\r\n", "x"),
    ] {
        let head = format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let whole = format!("{head}{body}{rest}");
        let Ok(Reading::Whole(request, length)) = read(whole.as_bytes()) else { panic!("{whole:?}") };
        assert_eq!((request.head, request.body.as_str(), &whole.as_bytes()[length..]), (head, body, rest.as_bytes()));
    }
}

#[test]
fn every_way_to_write_a_path_is_known() {
    for target in [
        "/items/1",
        "/x/../items",
        "//items",
        "/.//Items;x/1",
        "/%69tems",
        "/x%2f..%5citems",
        "/x\\..\\items",
        "/%2569tems",
        "http://a/items",
        "/x/..;/items?a",
    ] {
        assert!(may_be_below(target, "items"), "{target}");
    }
    for target in
        ["/open/1", "/open/items", "/items2", "/open?x=/../items", "/", "/open/1?a=http://a/items", "http://items/open"]
    {
        assert!(!may_be_below(target, "items"), "{target}");
    }
}
