//! What the query of `/revocations` asks for.

use std::{borrow::Cow, ops::RangeInclusive};

use cognigate_auth::revocation::{InvalidSubject, Subject, SubjectKind};
use thiserror::Error;
use url::form_urlencoded;

/// How many subjects a page has where nothing is said.
const DEFAULT_LIMIT: usize = 1000;

/// How many subjects a page may have.
const LIMIT: RangeInclusive<usize> = 1..=10_000;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// One subject.
    One(Subject),
    /// The subjects after one, or from the first.
    Page {
        /// The last of the page before.
        after: Option<Subject>,
        /// How many.
        limit: usize,
    },
}

/// Why a query is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum InvalidQuery {
    #[error("`after` is not where a page ended: give what the page before has as `next`")]
    Cursor,
    #[error("`limit` is {0:?}: a whole number from 1 to 10000 is needed")]
    Limit(String),
    #[error("a subject stands alone: exactly one of `jti`, `origin_jti` and `sub`, and no other key")]
    NotAlone,
    #[error("`{kind}` {fault}")]
    Subject { kind: SubjectKind, fault: InvalidSubject },
    #[error("`{0}` is given twice")]
    Twice(String),
    #[error("unknown key {0:?} (known: limit, after, jti, origin_jti, sub)")]
    Unknown(String),
}

impl Query {
    pub(super) fn parse(query: &str) -> Result<Self, InvalidQuery> {
        let (mut subjects, mut after, mut limit) = (Vec::new(), None, None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let previous = match (&*key, kind(&key)) {
                (_, Some(kind)) => {
                    subjects.push(subject(kind, &value)?);
                    None
                }
                ("after", None) => after.replace(value),
                ("limit", None) => limit.replace(value),
                (_, None) => return Err(InvalidQuery::Unknown(key.into_owned())),
            };
            if previous.is_some() {
                return Err(InvalidQuery::Twice(key.into_owned()));
            }
        }
        match (subjects.pop(), &after, &limit) {
            (Some(subject), None, None) if subjects.is_empty() => Ok(Self::One(subject)),
            (Some(_), _, _) => Err(InvalidQuery::NotAlone),
            (None, _, _) => {
                Ok(Self::Page { after: after.as_deref().map(cursor).transpose()?, limit: self::limit(limit)? })
            }
        }
    }
}

fn kind(key: &str) -> Option<SubjectKind> {
    SubjectKind::ALL.into_iter().find(|kind| kind.as_str() == key)
}

fn subject(kind: SubjectKind, text: &str) -> Result<Subject, InvalidQuery> {
    Subject::new(kind, text).map_err(|fault| InvalidQuery::Subject { kind, fault })
}

fn limit(text: Option<Cow<'_, str>>) -> Result<usize, InvalidQuery> {
    let Some(text) = text else { return Ok(DEFAULT_LIMIT) };
    let limit = text.parse().ok().filter(|limit| LIMIT.contains(limit));
    limit.ok_or_else(|| InvalidQuery::Limit(text.into_owned()))
}

/// Where a page ended, for the next to go on: the kind and the text of its last subject.
pub(super) fn cursor_at(last: &Subject) -> String {
    format!("{}:{last}", last.kind())
}

fn cursor(text: &str) -> Result<Subject, InvalidQuery> {
    let parts = text.split_once(':').and_then(|(key, text)| Some((kind(key)?, text)));
    parts.and_then(|(kind, text)| Subject::new(kind, text).ok()).ok_or(InvalidQuery::Cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sub(text: &str) -> Subject {
        Subject::new(SubjectKind::Sub, text).unwrap()
    }

    #[test]
    fn a_query_asks_for_one_subject_or_for_a_page() {
        for (query, asked) in [
            ("", Query::Page { after: None, limit: 1000 }),
            ("limit=1", Query::Page { after: None, limit: 1 }),
            ("after=sub:a%3Ab&limit=10000", Query::Page { after: Some(sub("a:b")), limit: 10_000 }),
            ("sub=a%20b", Query::One(sub("a b"))),
        ] {
            assert_eq!(Query::parse(query), Ok(asked), "{query}");
        }
        assert_eq!(cursor(&cursor_at(&sub("a:b"))), Ok(sub("a:b")));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (query, error) in [
            ("limit=0", InvalidQuery::Limit("0".to_owned())),
            ("limit=10001", InvalidQuery::Limit("10001".to_owned())),
            ("limit=", InvalidQuery::Limit(String::new())),
            ("limit=1&limit=2", InvalidQuery::Twice("limit".to_owned())),
            ("after=a", InvalidQuery::Cursor),
            ("after=iss:a", InvalidQuery::Cursor),
            ("after=sub:", InvalidQuery::Cursor),
            ("sub=a&limit=1", InvalidQuery::NotAlone),
            ("sub=a&sub=a", InvalidQuery::NotAlone),
            ("sub=a&jti=b", InvalidQuery::NotAlone),
            ("sub=", InvalidQuery::Subject { kind: SubjectKind::Sub, fault: InvalidSubject::Empty }),
            ("user=a", InvalidQuery::Unknown("user".to_owned())),
        ] {
            assert_eq!(Query::parse(query), Err(error), "{query}");
        }
    }
}
