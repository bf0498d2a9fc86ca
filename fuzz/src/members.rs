//! A JSON object as the list of its members, so that one which is there twice is seen: parsed values would keep the last.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of an object, in order: names unescaped, values as they stand there.
pub(crate) struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'t> Members<'t> {
    /// Reads the text of one object; none if it is anything else.
    pub(crate) fn parse(text: &'t [u8]) -> Option<Self> {
        serde_json::from_str(str::from_utf8(text).ok()?).ok()
    }

    /// The text of the member of this name: inside, nothing if there is no such member; none if there are several.
    pub(crate) fn text(&self, name: &str) -> Option<Option<&'t str>> {
        let mut values = self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.get());
        match (values.next(), values.next()) {
            (value, None) => Some(value),
            (_, Some(_)) => None,
        }
    }

    /// A member that may be absent and, if it is there, has this type: none if it does not, or is there twice.
    pub(crate) fn optional<T: DeserializeOwned>(&self, name: &str) -> Option<Option<T>> {
        match self.text(name)? {
            Some(text) => parsed(text).map(Some),
            None => Some(None),
        }
    }

    /// A member that is there once and has this type.
    pub(crate) fn required<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.optional(name)?
    }
}

/// A value of this type, from its text.
pub(crate) fn parsed<'t, T: Deserialize<'t>>(text: &'t str) -> Option<T> {
    serde_json::from_str(text).ok()
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = entries.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
