//! Names in certificates as text that any header can hold.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use x509_parser::{
    extensions::GeneralName,
    x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name},
};

/// The attributes that RFC 4514 section 3 has names for; every other goes by its number.
const ATTRIBUTES: [(&str, &str); 9] = [
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
];

/// A distinguished name as RFC 4514 writes it: the last part first. What is not printable ASCII is written as its bytes in
/// UTF-8, `\C3\A9`, which section 2.4 allows for everything.
pub(super) fn distinguished(name: &X509Name<'_>) -> String {
    let mut parts: Vec<_> = name.iter_rdn().map(relative).collect();
    parts.reverse();
    parts.join(",")
}

fn relative(name: &RelativeDistinguishedName<'_>) -> String {
    let attributes: Vec<_> = name.iter().map(attribute).collect();
    attributes.join("+")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let number = attribute.attr_type().to_id_string();
    let name = ATTRIBUTES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    match (name, attribute.as_str()) {
        (Some(name), Ok(text)) => format!("{name}={}", escaped(text)),
        (name, _) => {
            let value = attribute.attr_value();
            let tag = u8::try_from(value.tag().0).unwrap_or_default();
            format!(
                "{}=#{}",
                name.unwrap_or(&number),
                hex(&[&[tag], &*der_length(value.data.len()), value.data].concat())
            )
        }
    }
}

/// A length as DER writes it (X.690 section 8.1.3).
fn der_length(length: usize) -> Vec<u8> {
    if let Ok(short) = u8::try_from(length)
        && short < 0x80
    {
        return vec![short];
    }
    let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    [&[0x80 | u8::try_from(bytes.len()).unwrap_or_default()], &*bytes].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Text grows without limit.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let is_edge_space = byte == b' ' && (at == 0 || at == last);
        let is_special = matches!(byte, b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\') || (byte == b'#' && at == 0);
        if !(byte.is_ascii_graphic() || byte == b' ') {
            // Text grows without limit.
            let _ = write!(text, "\\{byte:02X}");
        } else {
            if is_edge_space || is_special {
                text.push('\\');
            }
            text.push(char::from(byte));
        }
    }
    text
}

/// A list of names: `dns:`, `email:`, `ip:` or `uri:` and the name, joined by commas. In each, `%`, `,` and whatever is not
/// printable ASCII is percent-encoded. Other kinds of names are left out.
pub(super) fn alternatives(names: &[GeneralName<'_>]) -> String {
    let names: Vec<_> = names.iter().filter_map(alternative).collect();
    names.join(",")
}

fn alternative(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(format!("dns:{}", encoded(name))),
        GeneralName::RFC822Name(name) => Some(format!("email:{}", encoded(name))),
        GeneralName::URI(name) => Some(format!("uri:{}", encoded(name))),
        GeneralName::IPAddress(octets) => address(octets).map(|address| format!("ip:{address}")),
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_) => None,
    }
}

fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' && byte != b',' {
            text.push(char::from(byte));
        } else {
            // Text grows without limit.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The address of an `iPAddress` name (RFC 5280 section 4.2.1.6).
pub(super) fn address(octets: &[u8]) -> Option<IpAddr> {
    let ipv4 = <[u8; 4]>::try_from(octets).map(|octets| Ipv4Addr::from(octets).into());
    ipv4.or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| Ipv6Addr::from(octets).into())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4514 section 2.4.
    #[test]
    fn special_characters_are_escaped() {
        for (value, text) in [
            ("plain value", "plain value"),
            (" both ", "\\ both\\ "),
            (" ", "\\ "),
            ("", ""),
            ("#hash#", "\\#hash#"),
            ("a,b+c\"d\\e<f>g;h=i", "a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h=i"),
            ("é\n\0", "\\C3\\A9\\0A\\00"),
        ] {
            assert_eq!(escaped(value), text, "{value:?}");
        }
    }

    #[test]
    fn a_list_of_names_can_be_taken_apart() {
        let names = [
            GeneralName::DNSName("a.example"),
            GeneralName::URI("spiffe://example/a,b%"),
            GeneralName::RFC822Name("a b@example"),
            GeneralName::IPAddress(&[192, 0, 2, 1]),
            GeneralName::IPAddress(&[0; 16]),
            GeneralName::IPAddress(&[0; 5]),
        ];
        let text = "dns:a.example,uri:spiffe://example/a%2Cb%25,email:a%20b@example,ip:192.0.2.1,ip:::";
        assert_eq!(alternatives(&names), text);
    }

    #[test]
    fn lengths_are_as_der_writes_them() {
        for (length, bytes) in [(0, &[0][..]), (127, &[0x7f]), (128, &[0x81, 0x80]), (256, &[0x82, 1, 0])] {
            assert_eq!(der_length(length), bytes, "{length}");
        }
    }
}
