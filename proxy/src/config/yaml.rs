//! What of YAML 1.2 a configuration may use, and the words for what it may not.
//!
//! Every value is read through [`Strict`], so that these hold at every depth alike:
//!
//! - one document, of printable characters
//! - no key twice in a mapping, and keys are text
//! - a key has a value: `read:` with nothing behind it, `~` and `null` would otherwise pass for "not said"
//! - no tags (`!thing`) and no merge keys (`<<`): both would say what a value is in a second place
//! - anchors and aliases for whole values are fine, until together they unfold to more than a [`Document`] may
//!
//! Booleans are `true` and `false`, so `yes` and `off` are text; `0o10` is octal, `010` is text.

use std::{cell::Cell, collections::HashSet, fmt, marker::PhantomData};

use serde::{
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess,
        Unexpected, Visitor,
    },
    forward_to_deserialize_any,
};

use super::error::{Position, SyntaxError};

/// What differs from one kind of file to the other.
pub(super) struct Document {
    /// What a file may come to once its aliases are unfolded, in bytes of text.
    pub(super) max_unfolded_bytes: usize,
    /// What is said of a file with nothing in it.
    pub(super) if_empty: &'static str,
}

/// How much of a message is shown, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

/// Reads one document.
///
/// # Errors
///
/// [`SyntaxError`]: the first place that is not YAML, not what the module allows, or not of the shape of `T`.
pub(super) fn read<T: DeserializeOwned>(text: &str, kind: &Document) -> Result<T, SyntaxError> {
    check_characters(text)?;
    read_document(text, kind).map_err(|error| syntax_error(text, &error))
}

fn read_document<T: DeserializeOwned>(text: &str, kind: &Document) -> Result<T, serde_yaml::Error> {
    let unfolded = Unfolded { kind, bytes: Cell::new(0) };
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let document = documents.next().ok_or_else(|| serde_yaml::Error::custom(kind.if_empty))?;
    let value = T::deserialize(Strict { inner: document, unfolded: &unfolded })?;
    match documents.next() {
        Some(second) => second.deserialize_any(EndOfFile(PhantomData)),
        None => Ok(value),
    }
}

fn check_characters(text: &str) -> Result<(), SyntaxError> {
    let is_foreign = |(at, found): &(usize, char)| match found {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        // A byte order mark may begin the file.
        '\u{feff}' => *at != 0,
        '\u{fffe}' | '\u{ffff}' => true,
        found => found.is_control(),
    };
    match text.char_indices().find(is_foreign) {
        Some((at, found)) => Err(SyntaxError {
            position: Position::after(text.get(..at).unwrap_or_default()),
            message: format!(
                "the character U+{:04X} is not allowed as it is (in double quotes it may be written \"\\u{:04X}\")",
                u32::from(found),
                u32::from(found)
            ),
        }),
        None => Ok(()),
    }
}

/// The bytes of text that were read so far, each as often as an alias repeats it.
struct Unfolded<'k> {
    kind: &'k Document,
    bytes: Cell<usize>,
}

impl Unfolded<'_> {
    /// Counts a value. One without text counts too: nothing is for free.
    fn add<E: Error>(&self, text: &str) -> Result<(), E> {
        let bytes = self.bytes.get().saturating_add(text.len()).saturating_add(1);
        self.bytes.set(bytes);
        let limit = self.kind.max_unfolded_bytes;
        match bytes <= limit {
            true => Ok(()),
            false => Err(E::custom(format_args!("the aliases unfold to more than {limit} bytes"))),
        }
    }
}

/// One of serde's parts (deserializer, seed, visitor, elements), which hands out what the file says and the module allows.
///
/// What a value is, the file alone decides. The parser, asked for a number, would find one in tagged text too; asked for
/// a mapping, it would take nothing for an empty one.
struct Strict<'u, T> {
    inner: T,
    unfolded: &'u Unfolded<'u>,
}

impl<'u, T> Strict<'u, T> {
    fn with<U>(&self, inner: U) -> Strict<'u, U> {
        Strict { inner, unfolded: self.unfolded }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.with(visitor);
        self.inner.deserialize_any(visitor)
    }

    /// A struct is a mapping: a list would fill it too, one field after the other.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_any(Mapping(visitor))
    }

    /// A value that is there is not left out.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.deserialize(deserializer)
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<'_, V> {
    type Value = V::Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(out)
    }

    fn visit_bool<E: Error>(self, found: bool) -> Result<V::Value, E> {
        self.unfolded.add("")?;
        self.inner.visit_bool(found)
    }

    fn visit_i64<E: Error>(self, found: i64) -> Result<V::Value, E> {
        self.unfolded.add("")?;
        self.inner.visit_i64(found)
    }

    fn visit_u64<E: Error>(self, found: u64) -> Result<V::Value, E> {
        self.unfolded.add("")?;
        self.inner.visit_u64(found)
    }

    fn visit_f64<E: Error>(self, found: f64) -> Result<V::Value, E> {
        self.unfolded.add("")?;
        self.inner.visit_f64(found)
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<V::Value, E> {
        self.unfolded.add(found)?;
        self.inner.visit_str(found)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        Err(E::custom(self.unfolded.kind.if_empty))
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        Err(E::custom("no value: give one, or leave the key out (in quotes, \"null\" and \"~\" are text)"))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
        Err(A::Error::custom("a tag: YAML tags are not allowed (in quotes, what begins with `!` is text)"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        self.unfolded.add("")?;
        let elements = self.with(elements);
        self.inner.visit_seq(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.unfolded.add("")?;
        let entries = Entries { entries: self.with(entries), seen: HashSet::new() };
        self.inner.visit_map(entries)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.with(seed);
        self.inner.next_element_seed(seed)
    }
}

/// Takes mappings only.
struct Mapping<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Mapping<V> {
    type Value = V::Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(out)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(entries)
    }
}

/// The entries of a mapping, and the keys that it had so far.
struct Entries<'u, A> {
    entries: Strict<'u, A>,
    seen: HashSet<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let key = Key { seed, seen: &mut self.seen, unfolded: self.entries.unfolded };
        self.entries.inner.next_key_seed(key)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.entries.with(seed);
        self.entries.inner.next_value_seed(seed)
    }
}

/// A key to be read. What is wrong with it is found while it is read, so that the error has its place.
struct Key<'s, S> {
    seed: S,
    seen: &'s mut HashSet<String>,
    unfolded: &'s Unfolded<'s>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Key<'_, S> {
    type Value = S::Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key that is text (in quotes, if YAML takes it for something else)")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<S::Value, E> {
        self.unfolded.add(key)?;
        match key {
            "<<" => Err(E::custom("merge keys (`<<`) are not allowed: an alias may stand for a whole value only")),
            _ if self.seen.insert(key.to_owned()) => self.seed.deserialize(key.into_deserializer()),
            _ => Err(E::custom(format_args!("duplicate key `{key}`"))),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<S::Value, E> {
        Err(E::invalid_type(Unexpected::Other("null"), &self))
    }
}

/// Refuses whatever it is shown.
struct EndOfFile<T>(PhantomData<T>);

impl<T> Visitor<'_> for EndOfFile<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the end of the file (one YAML document is allowed)")
    }
}

fn syntax_error(text: &str, error: &serde_yaml::Error) -> SyntaxError {
    let at = error.location();
    let position = at.as_ref().map_or(Position::START, |at| Position { line: at.line(), column: at.column() });
    let is_tab = at.and_then(|at| text.get(at.index()..)).is_some_and(|rest| rest.starts_with('\t'));
    let message = match without_place(&error.to_string(), position) {
        // The parser's own words for these two help nobody.
        message if is_tab && message.starts_with("found ") => {
            format!("a tab where YAML allows spaces only ({message})")
        }
        message if message == "repetition limit exceeded" => "the aliases unfold to too much".to_owned(),
        message => message,
    };
    SyntaxError { position, message: one_line(&message) }
}

/// The parser says the place within the message as well, not always at its end.
fn without_place(message: &str, Position { line, column }: Position) -> String {
    match message.rsplit_once(&format!(" at line {line} column {column}")) {
        Some((before, after)) => format!("{before}{after}"),
        None => message.to_owned(),
    }
}

/// A key from the file is repeated as it is, so it may hold a line break, and may be long.
fn one_line(message: &str) -> String {
    let mut line = String::new();
    let mut chars = message.chars();
    for found in chars.by_ref().take(MAX_MESSAGE_CHARS) {
        match found.is_control() {
            true => line.extend(found.escape_default()),
            false => line.push(found),
        }
    }
    if chars.next().is_some() {
        line.push('…');
    }
    line
}
