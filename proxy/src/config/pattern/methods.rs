//! Hot path: no lock, no I/O, no info log.
//!
//! The methods that a route is for: some of a closed list, or any.
//!
//! - the list is `DELETE`, `GET`, `HEAD`, `OPTIONS`, `PATCH`, `POST`, `PUT`, written so: methods are case-sensitive
//!   (RFC 9110 section 9.1)
//! - `GET` does not imply `HEAD`, as in API Gateway
//! - any is every method, extensions such as `PROPFIND` included, but `TRACE`, which would show a caller the headers
//!   that were set for the upstream, and `CONNECT`, which asks for a tunnel

use std::fmt;

use http::Method;
use thiserror::Error;

/// Every method that a route can name. A method's place is its bit in a [`MethodSet`].
const NAMES: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// The methods that a route is for. Shown as `GET,POST`, in alphabetical order, or `*` for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodSet(Methods);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Methods {
    Any,
    /// One bit for each of [`NAMES`]; at least one is set.
    Named(u8),
}

/// The list does not name methods.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidMethods {
    /// No method at all.
    #[error("the list is empty (name at least one method, or leave the key out for any)")]
    Empty,
    /// A method that is named twice.
    #[error("{0} is there twice")]
    Repeated(String),
    /// Not one of the methods that a route can name.
    #[error("{0:?} is not a method that a route can name ({list}; for any, leave the key out)", list = NAMES.join(", "))]
    Unknown(String),
}

impl MethodSet {
    /// Every method but `TRACE` and `CONNECT`.
    #[must_use]
    pub const fn any() -> Self {
        Self(Methods::Any)
    }

    /// Every method that a route can name.
    #[must_use]
    pub const fn named() -> Self {
        Self(Methods::Named((1 << NAMES.len()) - 1))
    }

    /// The methods that are named, in any order.
    ///
    /// # Errors
    ///
    /// [`InvalidMethods`] if no method is named, one is named twice, or a name is not on the list as it stands there.
    pub fn parse<S: AsRef<str>>(names: &[S]) -> Result<Self, InvalidMethods> {
        let mut bits = 0;
        for name in names.iter().map(AsRef::as_ref) {
            match bit(name) {
                0 => return Err(InvalidMethods::Unknown(name.to_owned())),
                one if bits & one != 0 => return Err(InvalidMethods::Repeated(name.to_owned())),
                one => bits |= one,
            }
        }
        match bits {
            0 => Err(InvalidMethods::Empty),
            bits => Ok(Self(Methods::Named(bits))),
        }
    }

    /// Whether the set names no method and so is for any.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        matches!(self.0, Methods::Any)
    }

    /// Whether a request with this method is meant.
    #[must_use]
    pub fn contains(&self, method: &Method) -> bool {
        match self.0 {
            Methods::Any => *method != Method::TRACE && *method != Method::CONNECT,
            Methods::Named(bits) => bits & bit(method.as_str()) != 0,
        }
    }

    /// Whether some method is in both.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (Methods::Named(one), Methods::Named(two)) => one & two != 0,
            (Methods::Any, Methods::Any | Methods::Named(_)) | (Methods::Named(_), Methods::Any) => true,
        }
    }
}

impl fmt::Display for MethodSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Methods::Named(bits) = self.0 else {
            return out.write_str("*");
        };
        let named = NAMES.into_iter().filter(|name| bits & bit(name) != 0);
        for (place, name) in named.enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(out, "{comma}{name}")?;
        }
        Ok(())
    }
}

/// The bit of a method in [`Methods::Named`]; none for a method that is not on the list.
fn bit(name: &str) -> u8 {
    NAMES.iter().position(|known| *known == name).map_or(0, |place| 1 << place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_shown_sorted() {
        for (names, shown) in [
            (&["POST", "GET"][..], "GET,POST"),
            (&["PUT"], "PUT"),
            (&["PUT", "POST", "PATCH", "OPTIONS", "HEAD", "GET", "DELETE"], "DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT"),
        ] {
            assert_eq!(MethodSet::parse(names).unwrap().to_string(), shown);
        }
        assert_eq!(MethodSet::any().to_string(), "*");
        assert_eq!(MethodSet::named(), MethodSet::parse(&NAMES).unwrap());
    }

    #[test]
    fn a_list_that_does_not_name_methods_is_refused() {
        for (names, error) in [
            (&[][..], InvalidMethods::Empty),
            (&["GET", "PUT", "GET"], InvalidMethods::Repeated("GET".to_owned())),
            (&["get"], InvalidMethods::Unknown("get".to_owned())),
            (&["GET", ""], InvalidMethods::Unknown(String::new())),
            (&["*"], InvalidMethods::Unknown("*".to_owned())),
            (&["ANY"], InvalidMethods::Unknown("ANY".to_owned())),
            (&["TRACE"], InvalidMethods::Unknown("TRACE".to_owned())),
            (&["CONNECT"], InvalidMethods::Unknown("CONNECT".to_owned())),
            (&["PROPFIND"], InvalidMethods::Unknown("PROPFIND".to_owned())),
        ] {
            assert_eq!(MethodSet::parse(names), Err(error), "{names:?}");
        }
        let message = InvalidMethods::Unknown("get".to_owned()).to_string();
        assert!(message.contains("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"), "{message}");
    }

    #[test]
    fn a_set_has_the_methods_that_it_names() {
        let get = MethodSet::parse(&["GET"]).unwrap();
        let any = MethodSet::any();
        for (method, in_get, in_any) in [
            (Method::GET, true, true),
            (Method::HEAD, false, true),
            (Method::POST, false, true),
            (Method::from_bytes(b"PROPFIND").unwrap(), false, true),
            (Method::from_bytes(b"get").unwrap(), false, true),
            (Method::TRACE, false, false),
            (Method::CONNECT, false, false),
        ] {
            assert_eq!((get.contains(&method), any.contains(&method)), (in_get, in_any), "{method}");
        }
    }

    #[test]
    fn any_overlaps_every_set() {
        let [get, read, write] =
            [&["GET"][..], &["GET", "HEAD"], &["POST", "PUT"]].map(|set| MethodSet::parse(set).unwrap());
        let any = MethodSet::any();
        for (one, two, overlap) in [(get, read, true), (read, write, false), (any, get, true), (any, any, true)] {
            assert_eq!((one.overlaps(&two), two.overlaps(&one)), (overlap, overlap), "{one} {two}");
        }
    }
}
