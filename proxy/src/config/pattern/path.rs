//! Path patterns: `/`, `/items/{id}`, `/files/{rest+}`.
//!
//! - a pattern begins with a slash and does not end with one; only the root is a slash alone
//! - `{name}` is any one segment, `{name+}` all that are left and at least one: so only the last segment can be greedy
//! - no two parameters have the same name
//! - literals are compared with the percent-decoded segments of a request, letter by letter: nothing is encoded in a
//!   pattern, and case counts

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::segment::{Segment, SegmentFault, raw_segments};

/// The longest pattern, in bytes. Matching goes one call deeper with each segment, so the depth needs a bound.
const MAX_BYTES: usize = 1_024;

/// The shape of a path. Shown as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

/// The text is not a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path:?} {fault}")]
pub struct InvalidPathPattern {
    /// The text.
    pub path: String,
    /// What is wrong with it.
    pub fault: PathPatternFault,
}

/// What is wrong with a path pattern. Shown as what follows the path in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PathPatternFault {
    /// A greedy parameter that more segments follow.
    #[error("has {{{0}+}} before the end (it takes all segments that are left: use {{{0}}}, or end the path there)")]
    GreedyNotLast(Box<str>),
    /// No slash at the beginning.
    #[error("does not begin with a slash")]
    NoLeadingSlash,
    /// Two parameters of the same name.
    #[error("has two parameters called {0:?}")]
    RepeatedName(Box<str>),
    /// One of the segments.
    #[error(transparent)]
    Segment(#[from] SegmentFault),
    /// More bytes than a pattern may have.
    #[error("has more than {MAX_BYTES} bytes")]
    TooLong,
    /// A slash at the end.
    #[error("ends with a slash (leave it out: a request matches with and without it)")]
    TrailingSlash,
}

impl FromStr for PathPattern {
    type Err = InvalidPathPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPathPattern> {
        match parse(text) {
            Ok(segments) => Ok(Self { text: text.into(), segments: segments.into() }),
            Err(fault) => Err(InvalidPathPattern { path: text.to_owned(), fault }),
        }
    }
}

impl PathPattern {
    /// The segments from left to right; none for the root.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether both match the same paths: equal but for the names of parameters.
    #[must_use]
    pub fn is_same_shape(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|(one, two)| one.is_same_shape(two))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

fn parse(text: &str) -> Result<Vec<Segment>, PathPatternFault> {
    if text.len() > MAX_BYTES {
        return Err(PathPatternFault::TooLong);
    }
    if !text.starts_with('/') {
        return Err(PathPatternFault::NoLeadingSlash);
    }
    let segments = raw_segments(text).map(Segment::parse).collect::<Result<Vec<_>, _>>()?;
    if text.len() > 1 && text.ends_with('/') {
        return Err(PathPatternFault::TrailingSlash);
    }
    check_parameters(&segments)?;
    Ok(segments)
}

fn check_parameters(segments: &[Segment]) -> Result<(), PathPatternFault> {
    for (place, segment) in (1..).zip(segments) {
        let Some(name) = segment.name() else { continue };
        let mut following = segments.iter().skip(place);
        if following.any(|other| other.name() == Some(name)) {
            return Err(PathPatternFault::RepeatedName(name.into()));
        }
        if matches!(segment, Segment::Greedy(_)) && place < segments.len() {
            return Err(PathPatternFault::GreedyNotLast(name.into()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.into())
    }

    fn parameter(name: &str) -> Segment {
        Segment::Parameter(name.into())
    }

    #[test]
    fn a_pattern_is_segments() {
        for (text, segments) in [
            ("/", &[][..]),
            ("/items", &[literal("items")]),
            ("/items/{id}", &[literal("items"), parameter("id")]),
            ("/{a}/b/{c+}", &[parameter("a"), literal("b"), Segment::Greedy("c".into())]),
            ("/{proxy+}", &[Segment::Greedy("proxy".into())]),
        ] {
            let pattern: PathPattern = text.parse().unwrap();
            assert_eq!((pattern.segments(), pattern.to_string().as_str()), (segments, text), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_pattern_is_refused() {
        for (text, fault) in [
            ("", PathPatternFault::NoLeadingSlash),
            ("items", PathPatternFault::NoLeadingSlash),
            ("https://a.example/items", PathPatternFault::NoLeadingSlash),
            ("//", SegmentFault::Empty.into()),
            ("//items", SegmentFault::Empty.into()),
            ("/items//{id}", SegmentFault::Empty.into()),
            ("/items/", PathPatternFault::TrailingSlash),
            ("/items/../admin", SegmentFault::Dot("..".to_owned()).into()),
            ("/items/.", SegmentFault::Dot(".".to_owned()).into()),
            ("/items?a=1", SegmentFault::Character("items?a=1".to_owned(), '?').into()),
            ("/{a+}/b", PathPatternFault::GreedyNotLast("a".into())),
            ("/{a+}/{b+}", PathPatternFault::GreedyNotLast("a".into())),
            ("/{a}/{b}/{a}", PathPatternFault::RepeatedName("a".into())),
            ("/{a}/{a+}", PathPatternFault::RepeatedName("a".into())),
        ] {
            let error = InvalidPathPattern { path: text.to_owned(), fault };
            assert_eq!(text.parse::<PathPattern>(), Err(error), "{text}");
        }
        let long = "/a".repeat(MAX_BYTES);
        assert_eq!(long.parse::<PathPattern>().unwrap_err().fault, PathPatternFault::TooLong);
    }

    #[test]
    fn an_error_says_what_was_found_and_what_is_allowed() {
        for (text, message) in [
            ("items", r#""items" does not begin with a slash"#),
            ("/items/", r#""/items/" ends with a slash (leave it out: a request matches with and without it)"#),
            (
                "/items/{id+}/x",
                r#""/items/{id+}/x" has {id+} before the end (it takes all segments that are left: use {id}, or end the path there)"#,
            ),
            (
                "/a%20b",
                r#""/a%20b" has '%' in "a%20b" (a literal has letters, digits and -._~!$&'()+,=:@, none of them percent-encoded: a request is decoded before it is compared)"#,
            ),
            ("/items/a{id}", r#""/items/a{id}" has a brace in "a{id}" (a parameter is a whole segment: {name})"#),
        ] {
            assert_eq!(text.parse::<PathPattern>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_shape_is_a_pattern_without_its_names() {
        for (one, two, same) in [
            ("/items/{id}", "/items/{name}", true),
            ("/{a+}", "/{b+}", true),
            ("/", "/", true),
            ("/items/{id}", "/items/{id+}", false),
            ("/items/{id}", "/items/id", false),
            ("/items", "/Items", false),
            ("/items", "/items/{id}", false),
            ("/", "/{a+}", false),
        ] {
            let (one, two): (PathPattern, PathPattern) = (one.parse().unwrap(), two.parse().unwrap());
            assert_eq!((one.is_same_shape(&two), two.is_same_shape(&one)), (same, same), "{one} {two}");
        }
    }
}
