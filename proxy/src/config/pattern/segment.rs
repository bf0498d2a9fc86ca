//! How a path falls into segments, the same for patterns, rewrites and requests; and one segment of a pattern.
//!
//! - the segments are what is between the slashes; one slash at the end begins no segment, and `/` alone has none
//! - a segment of a pattern or rewrite is a literal, `{name}` or `{name+}`, always the whole segment
//! - a literal has what a URL may show unescaped (RFC 3986 section 3.3), but neither `;`, where some servers stop to read
//!   a segment, nor `*`, which elsewhere is a wildcard

use thiserror::Error;

/// The characters of a literal besides letters and digits.
const LITERAL_MARKS: &str = "-._~!$&'()+,=:@";

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// `{name+}`: this segment and all that follow.
    Greedy(Box<str>),
    /// Exactly this text, once the request's segment is percent-decoded.
    Literal(Box<str>),
    /// `{name}`: any one segment.
    Parameter(Box<str>),
}

/// The text cannot be a segment of a pattern or rewrite.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SegmentFault {
    /// A brace that does not enclose a whole segment.
    #[error("has a brace in {0:?} (a parameter is a whole segment: {{name}})")]
    Brace(String),
    /// A character that a literal cannot have.
    #[error(
        "has {1:?} in {0:?} (a literal has letters, digits and {LITERAL_MARKS}, none of them percent-encoded: a request is \
         decoded before it is compared)"
    )]
    Character(String, char),
    /// `.` or `..`.
    #[error("has the segment {0:?} (write the path that is meant)")]
    Dot(String),
    /// Two slashes in a row.
    #[error("has an empty segment (one slash between segments)")]
    Empty,
    /// A parameter's name that is none.
    #[error("has a parameter called {0:?} (at least one letter, digit or _, and nothing else)")]
    Name(String),
    /// An asterisk.
    #[error("has a wildcard in {0:?} (a path has {{name}} for one segment and {{name+}} for all that are left)")]
    Wildcard(String),
}

impl Segment {
    /// Reads one segment.
    pub(super) fn parse(text: &str) -> Result<Self, SegmentFault> {
        if let Some(inner) = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
            return match inner.strip_suffix('+') {
                Some(name) => parameter_name(name).map(Self::Greedy),
                None => parameter_name(inner).map(Self::Parameter),
            };
        }
        match text {
            "" => Err(SegmentFault::Empty),
            "." | ".." => Err(SegmentFault::Dot(text.to_owned())),
            _ => match text.chars().find(|c| !is_literal(*c)) {
                None => Ok(Self::Literal(text.into())),
                Some('*') => Err(SegmentFault::Wildcard(text.to_owned())),
                Some('{' | '}') => Err(SegmentFault::Brace(text.to_owned())),
                Some(other) => Err(SegmentFault::Character(text.to_owned(), other)),
            },
        }
    }

    /// The name of a parameter, greedy or not.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Greedy(name) | Self::Parameter(name) => Some(name),
            Self::Literal(_) => None,
        }
    }

    /// Whether both match the same segments of a request.
    pub(super) fn is_same_shape(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(two)) => one == two,
            (Self::Greedy(_), Self::Greedy(_)) | (Self::Parameter(_), Self::Parameter(_)) => true,
            (Self::Greedy(_) | Self::Literal(_) | Self::Parameter(_), _) => false,
        }
    }
}

/// The segments of a path, as they stand there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawSegments<'a>(Option<&'a str>);

/// What is between the slashes of `path`. An empty segment is an item too; a path without a slash in front has none.
pub(crate) fn raw_segments(path: &str) -> RawSegments<'_> {
    let relative = path.strip_prefix('/').filter(|relative| !relative.is_empty());
    RawSegments(relative.map(|relative| relative.strip_suffix('/').unwrap_or(relative)))
}

impl<'a> Iterator for RawSegments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0?;
        let (segment, rest) = rest.split_once('/').map_or((rest, None), |(segment, rest)| (segment, Some(rest)));
        self.0 = rest;
        Some(segment)
    }
}

fn parameter_name(text: &str) -> Result<Box<str>, SegmentFault> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name { Ok(text.into()) } else { Err(SegmentFault::Name(text.to_owned())) }
}

fn is_literal(character: char) -> bool {
    character.is_ascii_alphanumeric() || LITERAL_MARKS.contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_falls_into_segments() {
        for (path, segments) in [
            ("/", &[][..]),
            ("/a", &["a"]),
            ("/a/", &["a"]),
            ("/a/b", &["a", "b"]),
            ("//", &[""]),
            ("//a", &["", "a"]),
            ("/a//", &["a", ""]),
            ("/a//b/", &["a", "", "b"]),
            ("", &[]),
            ("a/b", &[]),
        ] {
            assert_eq!(raw_segments(path).collect::<Vec<_>>(), segments, "{path}");
        }
    }

    #[test]
    fn a_segment_is_a_literal_or_one_parameter() {
        for (text, segment) in [
            ("items", Segment::Literal("items".into())),
            ("Items-1.0_~!$&'()+,=:@", Segment::Literal("Items-1.0_~!$&'()+,=:@".into())),
            ("...", Segment::Literal("...".into())),
            ("{id}", Segment::Parameter("id".into())),
            ("{Item_1}", Segment::Parameter("Item_1".into())),
            ("{proxy+}", Segment::Greedy("proxy".into())),
        ] {
            assert_eq!(Segment::parse(text), Ok(segment), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        let character = |character| move |text: String| SegmentFault::Character(text, character);
        for text in ["a%20b", "a b", "a?b", "a#b", "a\\b", "a;b", "a\0", "a\tb", "a\u{7f}", "\u{e9}", "a|b", "a\"b"] {
            let found = text.chars().find(|c| !c.is_ascii_alphanumeric()).unwrap();
            assert_eq!(Segment::parse(text), Err(character(found)(text.to_owned())), "{text}");
        }
        let dot = SegmentFault::Dot as fn(String) -> SegmentFault;
        for (text, found, fault) in [
            (".", ".", dot),
            ("..", "..", dot),
            ("{", "{", SegmentFault::Brace),
            ("a{b}", "a{b}", SegmentFault::Brace),
            ("{a}b", "{a}b", SegmentFault::Brace),
            ("{a}+", "{a}+", SegmentFault::Brace),
            ("a}", "a}", SegmentFault::Brace),
            ("*", "*", SegmentFault::Wildcard),
            ("a*", "a*", SegmentFault::Wildcard),
            ("{}", "", SegmentFault::Name),
            ("{+}", "", SegmentFault::Name),
            ("{a-b}", "a-b", SegmentFault::Name),
            ("{a++}", "a+", SegmentFault::Name),
            ("{a}{b}", "a}{b", SegmentFault::Name),
            ("{{a}}", "{a}", SegmentFault::Name),
            ("{\u{e9}}", "\u{e9}", SegmentFault::Name),
        ] {
            assert_eq!(Segment::parse(text), Err(fault(found.to_owned())), "{text}");
        }
        assert_eq!(Segment::parse(""), Err(SegmentFault::Empty));
    }
}
