//! Reads an object and keeps the texts of some of its members on the way, so that nobody has to read it again for them.
//!
//! What is read is what [`object`](super::object) reads. That a kept member appears twice is for the caller to judge.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor},
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

/// The texts of the members of these names.
#[derive(Debug)]
pub(crate) struct Kept<'n, 'de> {
    names: &'n [Box<str>],
    /// One for each name; for a name that is there twice, the first counts.
    texts: Vec<Option<&'de RawValue>>,
    is_repeated: bool,
}

impl<'n, 'de> Kept<'n, 'de> {
    /// Reads the text of one JSON object and keeps what it says under these names.
    ///
    /// # Errors
    ///
    /// The text is not JSON, not an object, or not of this shape. Where in the text is not said exactly.
    pub(crate) fn read<T: Deserialize<'de>>(
        text: &'de str,
        names: &'n [Box<str>],
    ) -> Result<(T, Self), serde_json::Error> {
        let mut kept = Self { names, texts: vec![None; names.len()], is_repeated: false };
        let mut json = serde_json::Deserializer::from_str(text);
        let value = T::deserialize(Object { json: &mut json, kept: &mut kept })?;
        json.end()?;
        Ok((value, kept))
    }

    /// Whether one of the members appears twice.
    pub(crate) const fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    /// The text of each name's member, as it stands in the object.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Option<&'de str>> {
        let text_of = |name| Some(self.texts.get(self.place(name)?).copied()??.get());
        self.names.iter().map(move |name| text_of(name))
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|wanted| **wanted == *name)
    }

    fn keep(&mut self, place: usize, text: &'de RawValue) {
        if let Some(slot) = self.texts.get_mut(place) {
            self.is_repeated |= slot.replace(text).is_some();
        }
    }
}

/// A deserializer of one object.
struct Object<'k, 'n, 'de, D> {
    json: D,
    kept: &'k mut Kept<'n, 'de>,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Object<'_, '_, 'de, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.json.deserialize_map(ObjectVisitor { visitor, kept: self.kept })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Shows a visitor the members as they are, and keeps some.
struct ObjectVisitor<'k, 'n, 'de, V> {
    visitor: V,
    kept: &'k mut Kept<'n, 'de>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for ObjectVisitor<'_, '_, 'de, V> {
    type Value = V::Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(out)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Members { members, kept: self.kept, place: None })
    }
}

struct Members<'k, 'n, 'de, A> {
    members: A,
    kept: &'k mut Kept<'n, 'de>,
    /// Where the member belongs whose name was read last, if it is kept.
    place: Option<usize>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, '_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.members.next_key_seed(Name { seed, kept: self.kept, place: &mut self.place })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        let Some(place) = self.place else {
            return self.members.next_value_seed(seed);
        };
        let text: &RawValue = self.members.next_value()?;
        self.kept.keep(place, text);
        seed.deserialize(text).map_err(A::Error::custom)
    }
}

/// The name of a member. Compared where it stands: most are not kept.
struct Name<'m, 'n, 'de, K> {
    seed: K,
    kept: &'m Kept<'n, 'de>,
    place: &'m mut Option<usize>,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Name<'_, '_, '_, K> {
    type Value = K::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for Name<'_, '_, '_, K> {
    type Value = K::Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the name of a member")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<K::Value, E> {
        *self.place = self.kept.place(name);
        self.seed.deserialize(name.into_deserializer())
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;
    use crate::json;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Sample {
        a: u8,
        #[serde(default)]
        b: Option<u8>,
    }

    const NAMES: [&str; 3] = ["a", "x", "a"];

    #[test]
    fn members_are_kept_as_they_stand() {
        let names = NAMES.map(Box::from);
        for (text, texts) in [
            (r#"{"a":1,"b":2}"#, [Some("1"), None, Some("1")]),
            (r#" { "\u0061" : 1 , "x" : [ 1.0, "\/" ] } "#, [Some("1"), Some(r#"[ 1.0, "\/" ]"#), Some("1")]),
            (r#"{"x":null,"a":1}"#, [Some("1"), Some("null"), Some("1")]),
            (r#"{"x":{"a":3},"a":1}"#, [Some("1"), Some(r#"{"a":3}"#), Some("1")]),
        ] {
            let (value, kept) = Kept::read::<Sample>(text, &names).unwrap();
            assert_eq!(value, json::object(text).unwrap(), "{text}");
            assert_eq!(kept.texts().collect::<Vec<_>>(), texts, "{text}");
            assert!(!kept.is_repeated(), "{text}");
        }
    }

    #[test]
    fn a_kept_member_that_appears_twice_is_noticed() {
        let names = NAMES.map(Box::from);
        for (text, is_repeated) in [
            (r#"{"x":1,"x":1}"#, true),
            (r#"{"x":1,"\u0078":2}"#, true),
            (r#"{"y":1,"y":1,"x":1}"#, false),
            (r#"{"x":{"x":1,"x":1}}"#, false),
        ] {
            let (IgnoredAny, kept) = Kept::read(text, &names).unwrap();
            assert_eq!(kept.is_repeated(), is_repeated, "{text}");
        }
    }

    #[test]
    fn what_is_no_such_object_is_refused() {
        let names = NAMES.map(Box::from);
        for text in [
            "",
            " ",
            "null",
            "[1,2]",
            " [1]",
            r#"{"a":1,"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1.0}"#,
            r#"{"a":01}"#,
            r#"{"a":1,}"#,
            r#"{"a":1,"x":}"#,
            r#"{"a":1,"x":"\y"}"#,
            r#"{"a":1,"x":"\u12"}"#,
            r#"{"a":1,"x":[}"#,
            r#"{"x":1}"#,
            r#"{"a":1} x"#,
            "\u{feff}{\"a\":1}",
        ] {
            assert!(json::object::<Sample>(text).is_err(), "{text}");
            assert!(Kept::read::<Sample>(text, &names).is_err(), "{text}");
            assert!(Kept::read::<Sample>(text, &[]).is_err(), "{text}");
        }
    }
}
