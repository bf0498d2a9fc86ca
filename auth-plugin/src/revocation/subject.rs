//! Hot path: no lock, no I/O, no info log.
//!
//! What an entry of the list names: a token, a session or a user.
//!
//! Cognito's ids are UUIDs in their canonical lower case, which take 16 bytes here; any other text is kept as it is. Either
//! comes back exactly as it was given.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    sync::Arc,
};

use thiserror::Error;

/// The longest text of a subject, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 256;

/// What a subject's text is the value of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKind {
    /// `jti`: one token.
    Jti,
    /// `origin_jti`: every token of one session, however often it was refreshed.
    OriginJti,
    /// `sub`: the tokens of one user that were issued before a moment.
    Sub,
}

impl SubjectKind {
    /// Every kind, in order.
    pub const ALL: [Self; 3] = [Self::Jti, Self::OriginJti, Self::Sub];

    /// The name of the claim.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jti => "jti",
            Self::OriginJti => "origin_jti",
            Self::Sub => "sub",
        }
    }
}

impl fmt::Display for SubjectKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What an entry names. Displays as its text; the kind is asked for apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    pub(super) kind: SubjectKind,
    pub(super) id: Id,
}

/// Why a text names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidSubject {
    /// It holds a control character, which no id of Cognito's does.
    #[error("has a control character")]
    ControlCharacter,
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It is longer than [`MAX_SUBJECT_BYTES`].
    #[error("is longer than {MAX_SUBJECT_BYTES} bytes")]
    TooLong,
}

impl Subject {
    /// The subject of this kind and text, which is compared exactly.
    ///
    /// # Errors
    ///
    /// [`InvalidSubject`].
    pub fn new(kind: SubjectKind, text: &str) -> Result<Self, InvalidSubject> {
        if text.is_empty() {
            return Err(InvalidSubject::Empty);
        }
        if text.len() > MAX_SUBJECT_BYTES {
            return Err(InvalidSubject::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidSubject::ControlCharacter);
        }
        Ok(Self { kind, id: Id::new(text) })
    }

    /// What the text is the value of.
    #[must_use]
    pub const fn kind(&self) -> SubjectKind {
        self.kind
    }

    /// The text, as it was given.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        self.id.to_text()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.id.to_text())
    }
}

/// A text. Each has one form: what can be packed is packed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Id {
    /// Any other text, shared by the copies of its entry.
    Text(Arc<str>),
    /// A UUID in lower case, in groups of 8, 4, 4, 4 and 12 digits.
    Uuid([u8; 16]),
}

/// How many bytes each group of a UUID's digits stands for.
const UUID_GROUPS: [usize; 5] = [4, 2, 2, 2, 6];

/// The length of a UUID's text.
const UUID_TEXT_BYTES: usize = 36;

impl Id {
    fn new(text: &str) -> Self {
        packed(text).map_or_else(|| Self::Text(text.into()), Self::Uuid)
    }

    /// Whether this is the id of `text`. Allocates nothing.
    pub(super) fn is(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => **own == *text,
            Self::Uuid(bytes) => text.len() == UUID_TEXT_BYTES && packed(text).as_ref() == Some(bytes),
        }
    }

    pub(super) fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Uuid(bytes) => Cow::Owned(unpacked(bytes)),
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_text(), out)
    }
}

/// The bytes of a canonical UUID; nothing for any other text.
fn packed(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; UUID_TEXT_BYTES] = text.as_bytes().try_into().ok()?;
    let mut digits = text.as_slice();
    let mut bytes = [0; 16];
    let mut free = bytes.iter_mut();
    for (group, size) in UUID_GROUPS.into_iter().enumerate() {
        if group > 0 {
            digits = digits.strip_prefix(b"-")?;
        }
        for byte in free.by_ref().take(size) {
            let (&[high, low], rest) = digits.split_first_chunk()?;
            *byte = nibble(high)? << 4 | nibble(low)?;
            digits = rest;
        }
    }
    Some(bytes)
}

fn unpacked(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(UUID_TEXT_BYTES);
    let mut left = bytes.iter();
    for (group, size) in UUID_GROUPS.into_iter().enumerate() {
        if group > 0 {
            text.push('-');
        }
        for byte in left.by_ref().take(size) {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_keeps_its_text() {
        let uuid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        let longest = "x".repeat(MAX_SUBJECT_BYTES);
        for (text, is_packed) in [
            (uuid, true),
            ("00000000-0000-0000-0000-000000000000", true),
            ("ffffffff-ffff-ffff-ffff-ffffffffffff", true),
            (&*uuid.to_uppercase(), false),
            ("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1fg", false),
            ("0f1e2d3c4b5a-6978-8796-a5b4-c3d2e1f0", false),
            ("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f", false),
            ("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f00", false),
            ("4example23client56id78abcd", false),
            ("a user, Zoë", false),
            (&*longest, false),
        ] {
            let subject = Subject::new(SubjectKind::Sub, text).unwrap();
            assert_eq!(matches!(subject.id, Id::Uuid(_)), is_packed, "{text}");
            assert_eq!((&*subject.to_text(), &*subject.to_string()), (text, text));
            assert!(subject.id.is(text) && !subject.id.is("other") && !subject.id.is(""), "{text}");
            assert!(subject.id.is(&text.to_uppercase()) == (text.to_uppercase() == text), "{text}");
        }
    }

    #[test]
    fn a_text_that_names_nothing_is_refused() {
        for (text, error) in [
            ("", InvalidSubject::Empty),
            (&*"x".repeat(MAX_SUBJECT_BYTES + 1), InvalidSubject::TooLong),
            ("a\nb", InvalidSubject::ControlCharacter),
            ("a\u{7f}", InvalidSubject::ControlCharacter),
            ("a\u{85}", InvalidSubject::ControlCharacter),
        ] {
            assert_eq!(Subject::new(SubjectKind::Jti, text), Err(error), "{text:?}");
        }
    }
}
