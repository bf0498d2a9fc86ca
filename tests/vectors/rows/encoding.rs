//! Canonical base64url without padding, one text for each value (RFC 7515 section 2, RFC 4648 section 3.5). Every token here
//! is signed as it stands: only its spelling is wrong.

use crate::{
    mint::{ID_KEY, ID_KID, encode, header, id, paid},
    table::{Vector, tokens},
    verdict::{MALFORMED, OK},
};

/// The letters of base64url, in order.
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) fn vectors() -> Vec<Vector> {
    [of_the_header(), of_the_payload(), of_the_signature(), of_the_text()].concat()
}

/// A header and a payload whose encodings end in spare bits, and have both of the letters that base64 writes otherwise.
fn segments() -> (String, String) {
    let spare = |text: String| if text.len().is_multiple_of(3) { format!("{text} ") } else { text };
    let header = spare(header(ID_KID).replace('}', r#","x":"???>>>~~~"}"#));
    let payload = spare(id().text("custom:x", "???>>>~~~").text("custom:y", "~???>>>~~~").json());
    (encode(header), encode(payload))
}

/// The same bytes for a reader who ignores the spare bits at the end.
fn restyled(segment: &str) -> String {
    let (head, last) = segment.split_at(segment.len() - 1);
    let place = ALPHABET.iter().position(|letter| [*letter] == last.as_bytes()).unwrap();
    format!("{head}{}", char::from(ALPHABET[place + 1]))
}

fn standard(segment: &str) -> String {
    let standard = segment.replace('-', "+").replace('_', "/");
    assert_ne!(standard, segment);
    standard
}

/// As many letters as stand for whole bytes without spare bits, and one that stands for nothing.
fn with_a_letter_too_many(segment: &str) -> String {
    format!("{}A", segment.split_at(segment.len() / 4 * 4).0)
}

fn of_the_header() -> Vec<Vector> {
    let (h, p) = segments();
    let signed = |header: &str| ID_KEY.token_of_segments(header, &p);
    let rows = [
        ("canonical", signed(&h), OK),
        ("padded", signed(&format!("{h}=")), MALFORMED),
        ("padded twice", signed(&format!("{h}==")), MALFORMED),
        ("spare bits are set", signed(&restyled(&h)), MALFORMED),
        ("standard alphabet", signed(&standard(&h)), MALFORMED),
        ("a letter too many", signed(&with_a_letter_too_many(&h)), MALFORMED),
        ("a tab inside", signed(&h.replacen("I", "\tI", 1)), MALFORMED),
    ];
    tokens("base64url of the header", "id", rows)
}

fn of_the_payload() -> Vec<Vector> {
    let (h, p) = segments();
    let signed = |payload: &str| ID_KEY.token_of_segments(&h, payload);
    let rows = [
        ("canonical", signed(&p), OK),
        ("padded", signed(&format!("{p}=")), MALFORMED),
        ("padded twice", signed(&format!("{p}==")), MALFORMED),
        ("spare bits are set", signed(&restyled(&p)), MALFORMED),
        ("standard alphabet", signed(&standard(&p)), MALFORMED),
        ("a letter too many", signed(&with_a_letter_too_many(&p)), MALFORMED),
        ("a space behind", signed(&format!("{p} ")), MALFORMED),
        ("a tab inside", signed(&p.replacen("I", "\tI", 1)), MALFORMED),
        ("not encoded", signed(&id().set("exp", 1).without("iss").json().replace('.', "")), MALFORMED),
    ];
    tokens("base64url of the payload", "id", rows)
}

fn of_the_signature() -> Vec<Vector> {
    let token = id().mint();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (head, tail) = signature.split_at(1);
    let restyle = |change: &str| format!("{input}.{change}");
    let rows = [
        ("padded", restyle(&format!("{signature}==")), MALFORMED),
        ("padded once", restyle(&format!("{signature}=")), MALFORMED),
        ("spare bits are set", restyle(&restyled(signature)), MALFORMED),
        ("standard alphabet", restyle(&format!("+/{signature}")), MALFORMED),
        ("a letter too many", restyle(&with_a_letter_too_many(signature)), MALFORMED),
        ("a tab behind a letter", restyle(&format!("{head}\t{tail}")), MALFORMED),
    ];
    tokens("base64url of the signature", "id", rows)
}

/// The bytes under the encoding are UTF-8 to the last (RFC 7519 section 7.2).
fn of_the_text() -> Vec<Vector> {
    let claim = |bytes: &[u8]| {
        let json = id().json();
        let end = json.strip_suffix('}').unwrap();
        paid([end.as_bytes(), br#","custom:x":""#, bytes, br#""}"#].concat())
    };
    let utf16: Vec<u8> = id().json().encode_utf16().flat_map(u16::to_be_bytes).collect();
    let rows = [
        ("UTF-8", claim("Zo\u{eb} \u{1f980}".as_bytes()), OK),
        ("a byte alone, in a claim that nobody reads", claim(b"\xff"), MALFORMED),
        ("ISO 8859-1", claim(b"Zo\xeb"), MALFORMED),
        ("a slash in two bytes", claim(b"\xc0\xaf"), MALFORMED),
        ("half of a pair, as bytes", claim(b"\xed\xa0\x80"), MALFORMED),
        ("a character broken off", claim(b"\xf0\x9f\xa6"), MALFORMED),
        ("UTF-16", paid(utf16), MALFORMED),
        ("compressed", paid(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), MALFORMED),
    ];
    tokens("UTF-8", "id", rows)
}
