//! Hot path: no lock, no I/O, no info log.
//!
//! `traceparent` and `tracestate`: which trace a request belongs to (W3C Trace Context,
//! <https://www.w3.org/TR/trace-context/>).
//!
//! - One `traceparent` that is right to the letter names the trace and the span that asks. Whatever else there is, two fields or
//!   one with a digit in upper case, names nothing: a new trace begins (sections 3.2.2 and 4.3).
//! - A version after ours is read as ours is, as far as ours goes, and is written as ours.
//! - `tracestate` is other systems' business. It passes, the fields joined, if there is a trace that it belongs to and if it has
//!   at most 32 members. Members that make it longer than 512 bytes are left out (section 3.3).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::hex;

/// The field that names a trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The field in which tracing systems keep notes for themselves.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of `00-<32 digits>-<16 digits>-<2 digits>`.
const TRACEPARENT_CHARS: usize = 55;

/// The most members of a `tracestate` (section 3.3.1.1).
const MAX_STATE_MEMBERS: usize = 32;

/// The longest `tracestate` that is passed on: what everybody should (section 3.3.1.5).
const MAX_STATE_BYTES: usize = 512;

/// Members that are longer are left out before others, in bytes (section 3.3.1.5).
const LONG_MEMBER_BYTES: usize = 128;

/// Someone makes spans of this trace.
const SAMPLED: u8 = 0b01;

/// The id of the trace is random, as level 2 of the specification has it.
const RANDOM: u8 = 0b10;

/// The id of a trace. Not all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span. Not all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A place in a trace: what `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span within it that asks.
    pub span: SpanId,
    flags: u8,
}

impl TraceId {
    /// An id of these bytes, unless they are all zeros.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl SpanId {
    /// An id of these bytes, unless they are all zeros.
    #[must_use]
    pub fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// 32 digits, as they are in `traceparent`.
impl fmt::Display for TraceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// 16 digits, as they are in `traceparent`.
impl fmt::Display for SpanId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl TraceContext {
    /// A place in a trace that begins here.
    #[must_use]
    pub fn begun(trace: TraceId, span: SpanId, is_sampled: bool) -> Self {
        Self { trace, span, flags: if is_sampled { SAMPLED } else { 0 } }
    }

    /// The place that a request comes from, if it says so as it must.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(TRACEPARENT).iter();
        let field = fields.next().filter(|_| fields.next().is_none())?;
        Self::parse(field.as_bytes())
    }

    /// Whether someone makes spans of this trace.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The place of a span that was asked for from here, in a trace of which spans are made.
    #[must_use]
    pub const fn sampled_child(self, span: SpanId) -> Self {
        Self { trace: self.trace, span, flags: self.flags | SAMPLED }
    }

    /// The flags, as they are in `traceparent`.
    #[must_use]
    pub const fn flags(self) -> u8 {
        self.flags
    }

    /// Reads the field (section 3.2).
    fn parse(field: &[u8]) -> Option<Self> {
        let (ours, rest) = field.split_at_checked(TRACEPARENT_CHARS)?;
        let (version, after) = bytes::<1>(ours)?;
        let (trace, after) = bytes(dashed(after)?)?;
        let (span, after) = bytes(dashed(after)?)?;
        let ([flags], _) = bytes::<1>(dashed(after)?)?;
        let is_known_to_end = match version {
            [0x00] => rest.is_empty(),
            [0xff] => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        // Flags that have no meaning yet are not passed on (section 3.2.2.5).
        let flags = flags & (SAMPLED | RANDOM);
        (is_known_to_end).then_some(Self { trace: TraceId::new(trace)?, span: SpanId::new(span)?, flags })
    }

    /// Writes the field.
    fn to_field(self) -> HeaderValue {
        let Self { trace, span, flags } = self;
        let mut text = Vec::with_capacity(TRACEPARENT_CHARS);
        text.extend_from_slice(b"00-");
        text.extend(hex::digits(trace.0));
        text.push(b'-');
        text.extend(hex::digits(span.0));
        text.push(b'-');
        text.extend(hex::digits([flags]));
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Says in a request that it comes from here, with the notes of other systems, where there are any: none can have left one in
    /// a trace that began here.
    pub fn apply(self, fields: &mut HeaderMap, state: Option<&str>) {
        fields.remove(TRACESTATE);
        // Of what was read from fields: it is a value.
        if let Some(Ok(state)) = state.map(HeaderValue::from_str) {
            fields.insert(TRACESTATE, state);
        }
        fields.insert(TRACEPARENT, self.to_field());
    }
}

/// The notes of other systems, the fields joined, as far as they are passed on.
#[must_use]
pub fn state_of(headers: &HeaderMap) -> Option<String> {
    let mut members = Vec::new();
    for field in headers.get_all(TRACESTATE) {
        let found = field.to_str().ok()?.split(',').map(str::trim).filter(|member| !member.is_empty());
        members.extend(found.take(MAX_STATE_MEMBERS + 1));
        if members.len() > MAX_STATE_MEMBERS {
            return None;
        }
    }
    shorten(&mut members);
    (!members.is_empty()).then(|| members.join(","))
}

/// Leaves out members, whole ones and from the end, until the rest is short enough: first those that are long themselves.
fn shorten(members: &mut Vec<&str>) {
    let is_too_long =
        |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>() > MAX_STATE_BYTES + 1;
    while is_too_long(members) {
        match members.iter().rposition(|member| member.len() > LONG_MEMBER_BYTES) {
            Some(long) => drop(members.remove(long)),
            None => drop(members.pop()),
        }
    }
}

/// Bytes that are written as two digits each, and what is behind them.
fn bytes<const N: usize>(text: &[u8]) -> Option<([u8; N], &[u8])> {
    let mut bytes = [0; N];
    let (digits, rest) = text.split_at_checked(2 * N)?;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            *byte = *byte << 4 | hex::value(*digit)?;
        }
    }
    Some((bytes, rest))
}

fn dashed(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn request(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut request = HeaderMap::new();
        for (name, value) in fields {
            request.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request
    }

    fn fields(request: &HeaderMap, name: &str) -> Vec<String> {
        request.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn traceparent_is_read_to_the_letter() {
        let of = |version: &str, flags: &str| format!("{version}-{TRACE}-{SPAN}-{flags}");
        for (field, sampled) in [
            (of("00", "00"), Some(false)),
            (of("00", "01"), Some(true)),
            (of("00", "02"), Some(false)),
            (of("00", "03"), Some(true)),
            (of("00", "ff"), Some(true)),
            // A version after ours may say more.
            (of("01", "01"), Some(true)),
            (of("cc", "00"), Some(false)),
            (of("01", "01-what-else"), Some(true)),
            (of("01", "01-"), Some(true)),
            (of("01", "01.what"), None),
            (of("01", "011"), None),
            // Ours does not.
            (of("00", "01-"), None),
            (of("00", "01-what-else"), None),
            (of("00", "011"), None),
            // There is no such version.
            (of("ff", "01"), None),
            (of("FF", "01"), None),
            (of("0x", "01"), None),
            (of("0", "01"), None),
            // Digits.
            (of("00", "0A"), None),
            (of("00", "0g"), None),
            (of("00", "1"), None),
            (of("00", ""), None),
            (of("00", "01").replace('a', "A"), None),
            (of("00", "01").replace("b7", "B7"), None),
            (of("00", "01").replace(TRACE, "00000000000000000000000000000000"), None),
            (of("00", "01").replace(SPAN, "0000000000000000"), None),
            (of("00", "01").replace(TRACE, "00000000000000000000000000000001"), Some(true)),
            (of("00", "01").replacen('-', "_", 1), None),
            (of("00", "01").replace('-', ""), None),
            (format!(" {}", of("00", "01")), None),
            (format!("{}, {}", of("00", "01"), of("00", "01")), None),
            (String::new(), None),
        ] {
            let context = TraceContext::parse(field.as_bytes());
            assert_eq!(context.map(TraceContext::is_sampled), sampled, "{field}");
        }
        let context = TraceContext::parse(of("00", "01").as_bytes()).unwrap();
        assert_eq!((context.trace.to_string(), context.span.to_string()), (TRACE.to_owned(), SPAN.to_owned()));
    }

    #[test]
    fn two_traceparents_are_none() {
        let field = format!("00-{TRACE}-{SPAN}-01");
        assert!(TraceContext::of(&request(&[("traceparent", &field)])).is_some());
        assert!(TraceContext::of(&request(&[("Traceparent", &field)])).is_some());
        assert!(TraceContext::of(&request(&[("traceparent", &field), ("traceparent", &field)])).is_none());
        assert!(TraceContext::of(&request(&[])).is_none());
    }

    #[test]
    fn what_is_written_is_ours() {
        for (came, flags, written) in [("00", "01", "01"), ("00", "02", "03"), ("cc", "ff", "03"), ("00", "00", "01")] {
            let came = format!("{came}-{TRACE}-{SPAN}-{flags}");
            let mut request = request(&[("traceparent", &came)]);
            let context = TraceContext::of(&request).unwrap();
            context.sampled_child(SpanId::new([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]).unwrap()).apply(&mut request, None);
            assert_eq!(fields(&request, "traceparent"), [format!("00-{TRACE}-00010203fcfdfeff-{written}")], "{came}");
        }
    }

    #[test]
    fn tracestate_passes_as_far_as_it_is_short() {
        let member = |name: &str, length: usize| format!("{name}={}", "x".repeat(length - 2));
        let members = |count: usize| vec!["a=1"; count].join(",");
        let joined = |members: &[String]| Some(members.join(","));
        // 508 bytes, and a comma with each.
        let four: Vec<_> = ["a", "b", "c", "d"].map(|name| member(name, 127)).into();
        let short = "e=1".to_owned();
        for (fields, passed) in [
            (
                vec!["congo=t61rcWkgMzE,rojo=00f067aa0ba902b7".to_owned()],
                Some("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7".to_owned()),
            ),
            (vec!["congo=t61".to_owned(), " rojo=00f ,, \t".to_owned()], Some("congo=t61,rojo=00f".to_owned())),
            (vec![member("a", MAX_STATE_BYTES)], Some(member("a", MAX_STATE_BYTES))),
            (vec![member("a", MAX_STATE_BYTES + 1)], None),
            (vec![members(MAX_STATE_MEMBERS)], Some(members(MAX_STATE_MEMBERS))),
            (vec![members(MAX_STATE_MEMBERS), String::new()], Some(members(MAX_STATE_MEMBERS))),
            (vec![members(MAX_STATE_MEMBERS + 1)], None),
            (vec![members(MAX_STATE_MEMBERS), "b=2".to_owned()], None),
            // Short ones go from the end ...
            (vec![four.join(","), short.clone()], joined(&four)),
            (vec![short.clone(), four.join(",")], joined(&[std::slice::from_ref(&short), &four[..3]].concat())),
            // ... and long ones before them, the last one first, as many as must.
            (vec![member("a", 129), four.join(",")], joined(&four)),
            (
                vec![member("a", 129), member("b", 129), four[..2].join(","), short.clone()],
                joined(&[vec![member("a", 129)], four[..2].to_vec(), vec![short.clone()]].concat()),
            ),
            (vec![member("a", MAX_STATE_BYTES), short.clone()], Some(short)),
            (vec!["a=é".to_owned()], None),
            (vec![String::new()], None),
            (vec![], None),
        ] {
            let parent = format!("00-{TRACE}-{SPAN}-01");
            let mut came = vec![("traceparent", &*parent)];
            came.extend(fields.iter().map(|field| ("tracestate", &**field)));
            let mut request = request(&came);
            let state = state_of(&request);
            assert_eq!(state, passed, "{fields:?}");
            TraceContext::of(&request).unwrap().apply(&mut request, state.as_deref());
            assert_eq!(self::fields(&request, "tracestate"), Vec::from_iter(passed), "{fields:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), sampled in any::<bool>()) {
            prop_assume!(trace != [0; 16] && span != [0; 8]);
            let context = TraceContext::begun(TraceId::new(trace).unwrap(), SpanId::new(span).unwrap(), sampled);
            prop_assert_eq!(TraceContext::parse(context.to_field().as_bytes()), Some(context));
        }

        #[test]
        fn no_bytes_are_too_much(field in any::<Vec<u8>>(), at in 0..TRACEPARENT_CHARS, byte in any::<u8>()) {
            let _ = TraceContext::parse(&field);
            let mut bent = format!("00-{TRACE}-{SPAN}-01").into_bytes();
            bent[at] = byte;
            if let Some(context) = TraceContext::parse(&bent) {
                prop_assert!(bent[..2] != *b"00" || bent[..53] == context.to_field().as_bytes()[..53]);
            }
        }
    }
}
