//! Hot path: no lock, no I/O, no info log.
//!
//! The path that an upstream gets instead of the one that came: `/v2/items/{proxy}`.
//!
//! - a parameter of the route's path stands for the segments that it matched, byte for byte as they came (still
//!   percent-encoded); a greedy one is written without its plus
//! - a parameter is a whole segment: what is pasted cannot join with its surroundings to something else
//! - with a slash at the end the result has one; without, it ends as the request did, since an upstream that redirects to
//!   the form with the slash would otherwise redirect for ever
//!
//! So a path that was fit to be routed stays so. The query is not part of it.

use thiserror::Error;

use super::{
    path::PathPattern,
    segment::{Segment, SegmentFault, raw_segments},
};

/// A template for the path that is sent on, made for one path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    parts: Box<[Part]>,
    ends_with_slash: bool,
}

/// A segment of the template. The numbers are places of segments in the request's path, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    From(usize),
    Literal(Box<str>),
    One(usize),
}

/// The text is not a rewrite of the pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{rewrite:?} {fault}")]
pub struct InvalidRewrite {
    /// The text.
    pub rewrite: String,
    /// What is wrong with it.
    pub fault: RewriteFault,
}

/// What is wrong with a rewrite. Shown as what follows the rewrite in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RewriteFault {
    /// A parameter with a plus.
    #[error("has {{{0}+}} (the plus belongs in the path that is matched: write {{{0}}})")]
    Greedy(Box<str>),
    /// No slash at the beginning.
    #[error("does not begin with a slash")]
    NoLeadingSlash,
    /// One of the segments.
    #[error(transparent)]
    Segment(#[from] SegmentFault),
    /// A parameter that the pattern does not have.
    #[error("has {{{name}}}, which is not a parameter of {pattern}")]
    UnknownParameter {
        /// The name.
        name: Box<str>,
        /// The pattern.
        pattern: Box<PathPattern>,
    },
}

impl Rewrite {
    /// Reads a template for the paths that `pattern` matches.
    ///
    /// # Errors
    ///
    /// [`InvalidRewrite`] if `text` does not begin with a slash, a segment is neither a literal nor a parameter, or the
    /// pattern has no such parameter.
    pub fn parse(text: &str, pattern: &PathPattern) -> Result<Self, InvalidRewrite> {
        match parts(text, pattern) {
            Ok(parts) => Ok(Self { parts: parts.into(), ends_with_slash: has_trailing_slash(text) }),
            Err(fault) => Err(InvalidRewrite { rewrite: text.to_owned(), fault }),
        }
    }

    /// The path to send on for `path`, which the pattern matched. `None` if it did not: too few segments, or an empty one.
    #[must_use]
    pub fn apply(&self, path: &str) -> Option<String> {
        let mut result = String::with_capacity(path.len() + self.literal_bytes() + 1);
        for part in &self.parts {
            match part {
                Part::From(place) => {
                    let mut rest = raw_segments(path).skip(*place);
                    push(&mut result, rest.next()?)?;
                    rest.try_for_each(|segment| push(&mut result, segment))?;
                }
                Part::Literal(text) => push(&mut result, text)?,
                Part::One(place) => push(&mut result, raw_segments(path).nth(*place)?)?,
            }
        }
        if result.is_empty() || self.ends_with_slash || has_trailing_slash(path) {
            result.push('/');
        }
        Some(result)
    }

    fn literal_bytes(&self) -> usize {
        let lengths = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text.len() + 1,
            Part::From(_) | Part::One(_) => 0,
        });
        lengths.sum()
    }
}

fn parts(text: &str, pattern: &PathPattern) -> Result<Vec<Part>, RewriteFault> {
    if !text.starts_with('/') {
        return Err(RewriteFault::NoLeadingSlash);
    }
    let part = |segment| match Segment::parse(segment)? {
        Segment::Greedy(name) => Err(RewriteFault::Greedy(name)),
        Segment::Literal(text) => Ok(Part::Literal(text)),
        Segment::Parameter(name) => parameter(&name, pattern),
    };
    raw_segments(text).map(part).collect()
}

fn parameter(name: &str, pattern: &PathPattern) -> Result<Part, RewriteFault> {
    let found = pattern.segments().iter().enumerate().find(|(_, segment)| segment.name() == Some(name));
    match found {
        Some((place, Segment::Greedy(_))) => Ok(Part::From(place)),
        Some((place, Segment::Literal(_) | Segment::Parameter(_))) => Ok(Part::One(place)),
        None => Err(RewriteFault::UnknownParameter { name: name.into(), pattern: Box::new(pattern.clone()) }),
    }
}

fn push(path: &mut String, segment: &str) -> Option<()> {
    path.push('/');
    path.push_str(segment);
    (!segment.is_empty()).then_some(())
}

fn has_trailing_slash(path: &str) -> bool {
    path.len() > 1 && path.ends_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(text: &str, pattern: &str) -> Result<Rewrite, RewriteFault> {
        Rewrite::parse(text, &pattern.parse().unwrap()).map_err(|error| error.fault)
    }

    #[test]
    fn matched_segments_are_pasted_as_they_came() {
        for (pattern, text, path, result) in [
            ("/items/{proxy+}", "/v2/items/{proxy}", "/items/1", "/v2/items/1"),
            ("/items/{proxy+}", "/v2/items/{proxy}", "/items/a/b%20c;v=1/%C3%A9", "/v2/items/a/b%20c;v=1/%C3%A9"),
            ("/items/{proxy+}", "/v2/items/{proxy}", "/items/a/", "/v2/items/a/"),
            ("/items/{proxy+}", "/{proxy}", "/items/a/b", "/a/b"),
            ("/items/{proxy+}", "/{proxy}/end", "/items/a/b/", "/a/b/end/"),
            ("/{a}/{b}", "/{b}/{a}/{b}", "/1/2", "/2/1/2"),
            ("/{a}/x/{b}", "/y/{b}", "/1/x/2", "/y/2"),
            ("/items/{id}", "/v2/items/{id}/", "/items/1", "/v2/items/1/"),
            ("/items/{id}", "/v2/items/{id}/", "/items/1/", "/v2/items/1/"),
            ("/items/{id}", "/fixed", "/items/1", "/fixed"),
            ("/items/{id}", "/", "/items/1", "/"),
            ("/items/{id}", "/", "/items/1/", "/"),
            ("/", "/v2", "/", "/v2"),
            ("/admin/{id}", "/{id}", "/%61dmin/1", "/1"),
        ] {
            let rewrite = rewrite(text, pattern).unwrap();
            assert_eq!(rewrite.apply(path).as_deref(), Some(result), "{text} {path}");
        }
    }

    #[test]
    fn a_path_that_the_pattern_does_not_match_is_not_rewritten() {
        for (pattern, text, path) in [
            ("/items/{proxy+}", "/v2/{proxy}", "/items"),
            ("/items/{proxy+}", "/v2/{proxy}", "/items/"),
            ("/items/{proxy+}", "/v2/{proxy}", "/items/a//b"),
            ("/items/{id}", "/v2/{id}", "/items//"),
            ("/items/{id}", "/v2/{id}", "items/a"),
        ] {
            assert_eq!(rewrite(text, pattern).unwrap().apply(path), None, "{text} {path}");
        }
    }

    #[test]
    fn what_is_not_a_rewrite_is_refused() {
        let unknown = |name: &str| RewriteFault::UnknownParameter {
            name: name.into(),
            pattern: Box::new("/items/{id}/{rest+}".parse().unwrap()),
        };
        for (text, fault) in [
            ("", RewriteFault::NoLeadingSlash),
            ("v2/{id}", RewriteFault::NoLeadingSlash),
            ("https://a.example/{id}", RewriteFault::NoLeadingSlash),
            ("/v2/{rest+}", RewriteFault::Greedy("rest".into())),
            ("/v2/{proxy}", unknown("proxy")),
            ("/v2/{Id}", unknown("Id")),
            ("//", SegmentFault::Empty.into()),
            ("//a.example/{id}", SegmentFault::Empty.into()),
            ("/v2//{id}", SegmentFault::Empty.into()),
            ("/v2/../{id}", SegmentFault::Dot("..".to_owned()).into()),
            ("/v2/{id}.json", SegmentFault::Brace("{id}.json".to_owned()).into()),
            ("/v2/{id}?x=1", SegmentFault::Brace("{id}?x=1".to_owned()).into()),
            ("/v2?x={id}", SegmentFault::Character("v2?x={id}".to_owned(), '?').into()),
            ("/v2#{id}", SegmentFault::Character("v2#{id}".to_owned(), '#').into()),
            ("/%2e%2e/{id}", SegmentFault::Character("%2e%2e".to_owned(), '%').into()),
            ("/..;/{id}", SegmentFault::Character("..;".to_owned(), ';').into()),
        ] {
            assert_eq!(rewrite(text, "/items/{id}/{rest+}"), Err(fault), "{text}");
        }
    }

    #[test]
    fn an_error_names_the_parameter_and_the_pattern() {
        let error = Rewrite::parse("/v2/{item}", &"/items/{id}".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), r#""/v2/{item}" has {item}, which is not a parameter of /items/{id}"#);
    }
}
