//! Revocations as written: in the revocation file, in requests to the admin listener and in the state file alike.
//!
//! ```yaml
//! revocations:
//!   - { jti: 7a1b... }                                    # one token
//!   - { origin_jti: 3c4d..., expires_at: 1767312000 }     # every token of a session
//!   - { sub: 9e8f..., issued_before: 1767225600 }         # every token that a user had at that moment
//! ```
//!
//! One of the three keys that name something, each once; times are whole seconds since 1970. Everything else is an error
//! with its place. What a time means that is left out, the source decides.

use std::{fmt, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use cognigate_auth::{
    clock::UnixSeconds,
    revocation::{Subject, SubjectKind},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use thiserror::Error;

use super::{
    error::{ConfigError, SyntaxError},
    file::Scalar,
    load,
    yaml::{self, Document},
};

/// The largest revocation file that is read, in bytes: 64 MiB. A million entries fit.
pub const MAX_REVOCATION_FILE_BYTES: usize = 64 * 1024 * 1024;

/// The key that the list is under.
const LIST: &str = "revocations:";

/// How much of a long list is read at a time, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

const DOCUMENT: Document = Document {
    // No file without aliases gets there.
    max_unfolded_bytes: 4 * MAX_REVOCATION_FILE_BYTES,
    if_empty: "the file is empty: `revocations: []` is the least, for none",
};

/// One revocation, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationEntry {
    /// `jti`, `origin_jti` or `sub`.
    pub subject: Subject,
    /// `issued_before`: of a `sub` only.
    pub issued_before: Option<UnixSeconds>,
    /// `expires_at`.
    pub expires_at: Option<UnixSeconds>,
}

/// What was read of a revocation file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationFile {
    /// Its entries. Each `sub` has its `issued_before`.
    pub entries: Vec<RevocationEntry>,
    /// Tells one content from another.
    pub digest: ContentDigest,
}

/// The SHA-256 of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentDigest([u8; 32]);

/// Why a revocation file is not used.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct RevocationFileError {
    /// What is wrong.
    pub error: Box<ConfigError>,
    /// What was read, if anything was: the same content has the same error.
    pub digest: Option<ContentDigest>,
}

/// Reads a revocation file; nothing if its content is the one that is `known`.
///
/// # Errors
///
/// [`RevocationFileError`].
pub fn read(path: &Path, known: Option<ContentDigest>) -> Result<Option<RevocationFile>, RevocationFileError> {
    let file = path.display().to_string();
    let refuse = |error, digest| RevocationFileError { error: Box::new(error), digest };
    let bytes = match load::read(path, MAX_REVOCATION_FILE_BYTES) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(refuse(ConfigError::TooLarge { file, limit: MAX_REVOCATION_FILE_BYTES }, None)),
        Err(cause) => return Err(refuse(ConfigError::Unreadable { file, cause }, None)),
    };
    let digest = ContentDigest::of(&bytes);
    if known == Some(digest) {
        return Ok(None);
    }
    match load::text(&file, &bytes).and_then(|text| parse(&file, text)) {
        Ok(entries) => Ok(Some(RevocationFile { entries, digest })),
        Err(error) => Err(refuse(error, Some(digest))),
    }
}

/// Reads the text of a revocation file. `file` is what errors call it.
///
/// # Errors
///
/// [`ConfigError::Parse`]: the first place that is not as the module says.
pub fn parse(file: &str, text: &str) -> Result<Vec<RevocationEntry>, ConfigError> {
    match parse_pieces(text) {
        Some(entries) => Ok(entries),
        None => parse_whole(text).map_err(|error| ConfigError::syntax(file, error)),
    }
}

fn parse_whole(text: &str) -> Result<Vec<RevocationEntry>, SyntaxError> {
    let RevocationsSection { revocations } = yaml::read(text, &DOCUMENT)?;
    Ok(revocations.into_iter().map(|Complete(entry)| entry).collect())
}

/// The entries of a long list, which is read in pieces: the parser takes half a kilobyte of memory for each entry that it has
/// before it. Nothing if the list is not long, or cannot be cut at its items' dashes, one below the other: then a piece is
/// no list by itself, and the whole has to be read to tell what it is.
fn parse_pieces(text: &str) -> Option<Vec<RevocationEntry>> {
    let (dash, mut rest) = items(text).filter(|(_, items)| items.len() > PIECE_BYTES)?;
    let next = format!("\n{dash}");
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let from = rest.ceil_char_boundary(PIECE_BYTES);
        let cut = rest.get(from..).and_then(|tail| tail.find(&next)).map_or(rest.len(), |at| from + at + 1);
        let (piece, tail) = rest.split_at_checked(cut)?;
        entries.extend(parse_whole(&format!("{LIST}\n{piece}")).ok()?);
        rest = tail;
    }
    Some(entries)
}

/// How an item of a block sequence begins that is all of the document, and the text from the first item on.
fn items(text: &str) -> Option<(&str, &str)> {
    let mut rest = text;
    let mut is_below_key = false;
    while let Some((line, below)) = rest.split_once('\n') {
        let content = line.trim_start_matches(' ');
        if is_below_key && content.starts_with("- ") {
            let dash = line.get(..line.len() - content.len() + "- ".len())?;
            return Some((dash, rest));
        }
        let is_blank = content.is_empty() || content.starts_with('#');
        if !is_blank && (is_below_key || line != LIST) {
            return None;
        }
        is_below_key |= !is_blank;
        rest = below;
    }
    None
}

impl ContentDigest {
    fn of(bytes: &[u8]) -> Self {
        let mut content = [0; 32];
        for (to, from) in content.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
            *to = *from;
        }
        Self(content)
    }
}

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
struct RevocationsSection {
    revocations: Vec<Complete>,
}

/// An entry whose source fills nothing in.
struct Complete(RevocationEntry);

/// The keys of an entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntrySection {
    jti: Option<Scalar<String>>,
    origin_jti: Option<Scalar<String>>,
    sub: Option<Scalar<String>>,
    issued_before: Option<Scalar<u64>>,
    expires_at: Option<Scalar<u64>>,
}

impl EntrySection {
    fn check<E: serde::de::Error>(self) -> Result<RevocationEntry, E> {
        let Self { jti, origin_jti, sub, issued_before, expires_at } = self;
        let (kind, Scalar(text)) = match (jti, origin_jti, sub) {
            (Some(jti), None, None) => (SubjectKind::Jti, jti),
            (None, Some(origin_jti), None) => (SubjectKind::OriginJti, origin_jti),
            (None, None, Some(sub)) => (SubjectKind::Sub, sub),
            _ => return Err(E::custom("exactly one of `jti`, `origin_jti` and `sub` is needed")),
        };
        if issued_before.is_some() && kind != SubjectKind::Sub {
            return Err(E::custom(format_args!(
                "`issued_before` goes with `sub` only: a `{}` is revoked whenever its tokens were issued",
                kind.as_str()
            )));
        }
        let subject = Subject::new(kind, &text);
        Ok(RevocationEntry {
            subject: subject.map_err(|error| E::custom(format_args!("`{}`: {error}", kind.as_str())))?,
            issued_before: issued_before.map(|Scalar(issued_before)| issued_before),
            expires_at: expires_at.map(|Scalar(expires_at)| expires_at),
        })
    }
}

/// Checks an entry while it is read, so that what is wrong with it has its place.
struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = RevocationEntry;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a mapping with `jti`, `origin_jti` or `sub`")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<RevocationEntry, A::Error> {
        EntrySection::deserialize(MapAccessDeserializer::new(entries))?.check()
    }
}

struct CompleteVisitor;

impl<'de> Visitor<'de> for CompleteVisitor {
    type Value = Complete;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        EntryVisitor.expecting(out)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Complete, A::Error> {
        let entry = EntryVisitor.visit_map(entries)?;
        if entry.subject.kind() == SubjectKind::Sub && entry.issued_before.is_none() {
            return Err(A::Error::custom("`sub` needs `issued_before`: when the tokens were issued that are revoked"));
        }
        Ok(Complete(entry))
    }
}

impl<'de> Deserialize<'de> for RevocationEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

impl<'de> Deserialize<'de> for Complete {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CompleteVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: SubjectKind, text: &str, issued_before: Option<u64>, expires_at: Option<u64>) -> RevocationEntry {
        RevocationEntry { subject: Subject::new(kind, text).unwrap(), issued_before, expires_at }
    }

    fn error(text: &str) -> String {
        parse("file", text).unwrap_err().to_string()
    }

    #[test]
    fn each_kind_is_read() {
        let text =
            "# ended\nrevocations:\n- jti: a\n- { origin_jti: b c, expires_at: 7 }\n- { sub: '5', issued_before: 6 }\n";
        let expected = [
            entry(SubjectKind::Jti, "a", None, None),
            entry(SubjectKind::OriginJti, "b c", None, Some(7)),
            entry(SubjectKind::Sub, "5", Some(6), None),
        ];
        assert_eq!(parse("file", text).unwrap(), expected);
        assert_eq!(parse("file", "revocations: []").unwrap(), []);
    }

    #[test]
    fn what_is_not_understood_is_an_error_with_its_place() {
        for (text, expected) in [
            ("", "file:1:1: the file is empty: `revocations: []` is the least, for none"),
            ("{}", "file:1:1: missing field `revocations`"),
            (
                "revocations:\n",
                "file:1:13: revocations: no value: give one, or leave the key out (in quotes, \"null\" and \"~\" are text)",
            ),
            ("revocations: []\nrevoked: []", "file:2:1: unknown field `revoked`, expected `revocations`"),
            ("- { jti: a }", "file:1:1: invalid type: sequence, expected a mapping"),
            (
                "revocations: [a]",
                "file:1:15: revocations[0]: invalid type: string \"a\", expected a mapping with `jti`, `origin_jti` or `sub`",
            ),
            (
                "revocations:\n- { jit: a }",
                "file:2:5: revocations[0]: unknown field `jit`, expected one of `jti`, `origin_jti`, `sub`, `issued_before`, `expires_at`",
            ),
            (
                "revocations:\n- { jti: a }\n- { jti: a, sub: b, issued_before: 1 }",
                "file:3:3: revocations[1]: exactly one of `jti`, `origin_jti` and `sub` is needed",
            ),
            (
                "revocations:\n- { expires_at: 1 }",
                "file:2:3: revocations[0]: exactly one of `jti`, `origin_jti` and `sub` is needed",
            ),
            (
                "revocations:\n- { sub: a }",
                "file:2:3: revocations[0]: `sub` needs `issued_before`: when the tokens were issued that are revoked",
            ),
            (
                "revocations:\n- { jti: a, issued_before: 1 }",
                "file:2:3: revocations[0]: `issued_before` goes with `sub` only: a `jti` is revoked whenever its tokens were issued",
            ),
            (
                "revocations:\n- { jti: a, expires_at: soon }",
                "file:2:25: revocations[0].expires_at: invalid value: string \"soon\", expected a whole number",
            ),
            (
                "revocations:\n- { jti: 5 }",
                "file:2:10: revocations[0].jti: invalid value: integer `5`, expected text (in quotes, if YAML takes it for something else)",
            ),
            ("revocations:\n- { jti: a, jti: b }", "file:2:13: revocations[0]: duplicate key `jti`"),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
        assert!(error("revocations:\n- { jti: '' }").starts_with("file:2:3: revocations[0]: `jti`: "));
    }

    /// A list of more than a piece, with these lines before and after it.
    fn long(before: &str, item: impl Fn(usize) -> String, after: &str) -> String {
        let items: String = (0..15_000).map(|number| item(number) + "\n").collect();
        assert!(items.len() > 2 * PIECE_BYTES);
        format!("{before}{items}{after}")
    }

    #[test]
    fn a_long_list_is_read_in_pieces_as_if_whole() {
        let uuid = |number: usize| format!("00000000-0000-0000-0000-{number:012}");
        for (case, text) in [
            ("plain", long("# ended\nrevocations:\n", |number| format!("- jti: {}", uuid(number)), "")),
            (
                "indented",
                long(
                    "\nrevocations:\n\n  # ended\n",
                    |number| format!("  - origin_jti: {}\n    expires_at: 7", uuid(number)),
                    "# end",
                ),
            ),
            (
                "flow",
                long(
                    "revocations:\n",
                    |number| format!("-  {{ sub: {}, issued_before: {number} }}", uuid(number)),
                    "\n\n",
                ),
            ),
        ] {
            let pieces = parse_pieces(&text).expect(case);
            assert_eq!((pieces.len(), &pieces), (15_000, &parse_whole(&text).unwrap()), "{case}");
        }
    }

    #[test]
    fn a_long_list_that_cannot_be_cut_is_what_it_is_as_a_whole() {
        let item = |number: usize| format!("- jti: 00000000-0000-0000-0000-{number:012}");
        for (case, text, expected) in [
            (
                "another key",
                long("revocations:\n", item, "revoked: []\n"),
                Some("file:15002:1: unknown field `revoked`"),
            ),
            ("the key again", long("revocations:\n", item, "revocations: []\n"), Some("file:15002:1: duplicate key")),
            (
                "a bad entry",
                long("revocations:\n", item, "- jit: a\n"),
                Some("file:15002:3: revocations[15000]: unknown"),
            ),
            (
                "a second document",
                long("revocations:\n", item, "---\n- jti: a\n"),
                Some("file:15003:1: invalid type: sequence"),
            ),
            ("a scalar over lines", long("revocations:\n- jti: \"\n", item, "\"\n"), Some("file:")),
            ("an alias", long("revocations:\n- &a { jti: a }\n", item, "- *a\n"), None),
            ("quoted key", long("\"revocations\":\n", item, ""), None),
        ] {
            match (parse("file", &text), expected) {
                (Ok(entries), None) => assert!(entries.len() >= 15_000, "{case}"),
                (Err(error), Some(expected)) => assert!(error.to_string().starts_with(expected), "{case}: {error}"),
                (found, _) => panic!("{case}: {:?}", found.map(|entries| entries.len())),
            }
        }
    }
}
