//! Hot path: no lock, no I/O, no info log.
//!
//! Bytes that came from elsewhere, told so that they harm nobody who reads the log.
//!
//! - What looks like a token (RFC 7515 section 3.1: `eyJ`, then three parts or more; or three long parts in a row, because a
//!   header may begin `{ "`) is told as `[token]`, wherever it stands, with its dots percent-encoded too, and padded. That
//!   happens before anything is cut off.
//! - Of a long value the first [`MAX_BYTES`] are told, and then `...`.
//! - Nothing ends a value or a line, moves a cursor, turns the direction of the text or cannot be seen: such bytes are escaped, as
//!   the format has it.

use super::line::Line;

/// The most that is told of a value, in bytes before they are escaped.
pub(super) const MAX_BYTES: usize = 1024;

/// What stands in the place of a token.
const TOKEN: &[u8] = b"[token]";

/// From how many bytes on a part is long: `{ "alg":"ES256"}` has 22, and few words have as many.
const LONG: usize = 20;

/// How what is not plain is told.
pub(super) type Escape = fn(&mut Line, &[u8]);

/// Adds a value.
pub(super) fn add(line: &mut Line, value: &[u8], escape: Escape) {
    let (mut rest, mut room) = (value, MAX_BYTES);
    while !rest.is_empty() {
        let (piece, tail) = next_piece(rest);
        let told = beginning(piece, room);
        match is_plain(told) {
            true => line.bytes(told),
            false => escape(line, told),
        }
        if told.len() < piece.len() {
            line.text("...");
            return;
        }
        (rest, room) = (tail, room - told.len());
    }
}

/// As JSON has it (RFC 8259 section 7). What is no UTF-8 is told as U+FFFD.
pub(super) fn as_json(line: &mut Line, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' => line.text("\\\""),
                '\\' => line.text("\\\\"),
                '\n' => line.text("\\n"),
                '\r' => line.text("\\r"),
                '\t' => line.text("\\t"),
                letter if letter.is_control() || is_format(letter) => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        line.text("\\u");
                        hexadecimal(line, u32::from(*unit), 4);
                    }
                }
                letter => line.text(letter.encode_utf8(&mut [0; 4])),
            }
        }
        if !chunk.invalid().is_empty() {
            line.text("\\ufffd");
        }
    }
}

/// As Apache has it (`ap_escape_logitem`): everything but printable ASCII as `\xhh`, or as C has it.
pub(super) fn as_apache(line: &mut Line, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' => line.text("\\\""),
            b'\\' => line.text("\\\\"),
            b' '..=b'~' => line.bytes(&[*byte]),
            8 => line.text("\\b"),
            b'\t' => line.text("\\t"),
            b'\n' => line.text("\\n"),
            11 => line.text("\\v"),
            b'\r' => line.text("\\r"),
            byte => {
                line.text("\\x");
                hexadecimal(line, u32::from(*byte), 2);
            }
        }
    }
}

/// Whether every byte is told as it is in all formats.
fn is_plain(bytes: &[u8]) -> bool {
    // Without a way out of the loop, so that many bytes are compared at once.
    bytes.iter().fold(true, |is_plain, byte| is_plain & (matches!(byte, b' '..=b'~') & !matches!(byte, b'"' | b'\\')))
}

/// So much of it as there is room for, and no half letters.
fn beginning(piece: &[u8], room: usize) -> &[u8] {
    let is_within_letter = |end: &usize| piece.get(*end).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    let end = (0..=room.min(piece.len())).rev().find(|end| !is_within_letter(end));
    piece.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// What can be told at once, and what follows it. Not of nothing.
fn next_piece(text: &[u8]) -> (&[u8], &[u8]) {
    match find_token(text) {
        None => (text, &[]),
        Some((0, end)) => (TOKEN, text.get(end..).unwrap_or_default()),
        Some((begin, _)) => text.split_at_checked(begin).unwrap_or((text, &[])),
    }
}

/// Where the first token begins and ends.
fn find_token(text: &[u8]) -> Option<(usize, usize)> {
    // Few values have two ends of parts.
    text.iter().filter(|byte| is_end(**byte)).nth(1)?;
    let mut from = 0;
    loop {
        from += text.get(from..)?.iter().position(|byte| is_of_token(*byte))?;
        let rest = text.get(from..)?;
        let length = rest.iter().position(|byte| !is_of_token(*byte)).unwrap_or(rest.len());
        let run = rest.get(..length)?;
        if let Some(begin) = [find_header(run), find_long_parts(run)].into_iter().flatten().min() {
            return Some((from + begin, from + length));
        }
        from += length;
    }
}

/// Where, in a run of a token's bytes, a header begins that two more parts follow.
fn find_header(run: &[u8]) -> Option<usize> {
    let begin = run.windows(3).position(|window| window == b"eyJ")?;
    run.get(begin..)?.iter().filter(|byte| is_end(**byte)).nth(1).map(|_| begin)
}

/// Where, in a run of a token's bytes, the first of three long parts in a row begins.
fn find_long_parts(run: &[u8]) -> Option<usize> {
    let (mut begin, mut parts, mut at) = (0, 0, 0);
    for part in run.split(|byte| is_end(*byte)) {
        if part.len() < LONG {
            parts = 0;
        } else {
            begin = if parts == 0 { at } else { begin };
            parts += 1;
        }
        if parts == 3 {
            return Some(begin);
        }
        at += part.len() + 1;
    }
    None
}

/// Whether a letter cannot be seen itself and changes how others are seen: those of Unicode's categories Cf, Zl and Zp that do
/// so everywhere.
const fn is_format(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=') || is_end(byte)
}

/// Whether this ends a part of a token: a dot, or the beginning of one that is encoded.
fn is_end(byte: u8) -> bool {
    matches!(byte, b'.' | b'%')
}

/// Adds so many hexadecimal digits of a number.
fn hexadecimal(line: &mut Line, number: u32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = char::from_digit((number >> (4 * place)) & 15, 16).unwrap_or('0');
        line.text(digit.encode_utf8(&mut [0; 4]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(value: &[u8], escape: Escape) -> String {
        let mut line = Line::default();
        add(&mut line, value, escape);
        String::from_utf8(line.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn what_is_not_plain_is_escaped() {
        for (value, json, apache) in [
            (&b"/items/1"[..], "/items/1", "/items/1"),
            (b"", "", ""),
            (b"a\"b\\c", "a\\\"b\\\\c", "a\\\"b\\\\c"),
            (b"a\r\nb\tc", "a\\r\\nb\\tc", "a\\r\\nb\\tc"),
            (b"\0\x08\x0b\x1b\x7f", "\\u0000\\u0008\\u000b\\u001b\\u007f", "\\x00\\b\\v\\x1b\\x7f"),
            ("é€😀".as_bytes(), "é€😀", "\\xc3\\xa9\\xe2\\x82\\xac\\xf0\\x9f\\x98\\x80"),
            ("\u{9b}31m".as_bytes(), "\\u009b31m", "\\xc2\\x9b31m"),
            (b"a\xffb\xc3", "a\\ufffdb\\ufffd", "a\\xffb\\xc3"),
            ("a\u{202e}b".as_bytes(), "a\\u202eb", "a\\xe2\\x80\\xaeb"),
            (
                "\u{2028}\u{2066}\u{200b}".as_bytes(),
                "\\u2028\\u2066\\u200b",
                "\\xe2\\x80\\xa8\\xe2\\x81\\xa6\\xe2\\x80\\x8b",
            ),
            ("\u{e0041}\u{feff}".as_bytes(), "\\udb40\\udc41\\ufeff", "\\xf3\\xa0\\x81\\x81\\xef\\xbb\\xbf"),
        ] {
            assert_eq!(told(value, as_json), json, "{value:?}");
            assert_eq!(told(value, as_apache), apache, "{value:?}");
        }
    }

    #[test]
    fn a_token_is_never_told() {
        for (value, expected) in [
            ("eyJhbGc.eyJzdWI.c2ln", "[token]"),
            ("eyJhbGc..", "[token]"),
            ("/a/eyJhbGc.eyJzdWI.c2ln/b", "/a/[token]/b"),
            ("/a/eyJhbGc.k.iv.text.tag", "/a/[token]"),
            ("/eyJhbGc%2EeyJzdWI%2ec2ln;x", "/[token];x"),
            ("/eyJhbGc%252EeyJzdWI%252Ec2ln", "/[token]"),
            ("xxeyJhbGc.eyJzdWI.c2ln yy eyJhbGc.eyJzdWI.c2ln", "xx[token] yy [token]"),
            ("\"eyJhbGc.eyJzdWI.c2ln\"", "\\\"[token]\\\""),
            ("/eyJhbGc.eyJzdWI/c2ln", "/eyJhbGc.eyJzdWI/c2ln"),
            ("/eyJ/eyJhbGc.a.b", "/eyJ/[token]"),
            ("/Jey/eyX.a.b", "/Jey/eyX.a.b"),
            ("eyJ", "eyJ"),
            ("eyeyJa.b.c", "ey[token]"),
            ("/eyJhbGc=.eyJzdWI=.c2ln=/b", "/[token]/b"),
            ("/eyAiYWxnIjoiRVMyNTYifQ.eyAic3ViIjoiYW5uIn0gIA==.c2lnbmF0dXJlIG9mIHRoZSB0b2tlbg;x", "/[token];x"),
            (
                "/v1.2/ewoiYWxnIjoiRVMyNTYifQ%2EICAgICAgICAgICAgICAgIHsifQ%2Ec2lnbmF0dXJlIG9mIHRoZSB0b2tlbg",
                "/v1.2/[token]",
            ),
            ("/a.eyAiYWxnIjoiRVMyNTYifQ.eyAic3ViIjoiYW5uIn0gIA.c2lnbmF0dXJlIG9mIHRoZSB0b2tlbg", "/a.[token]"),
            ("/eyAiYWxnIjoiRVMyNTYifQ.eyAic3ViIjoiYW5uIn0gIA", "/eyAiYWxnIjoiRVMyNTYifQ.eyAic3ViIjoiYW5uIn0gIA"),
            (
                "a-rather-long-name-of-a-service.a-long-name.example.com",
                "a-rather-long-name-of-a-service.a-long-name.example.com",
            ),
        ] {
            assert_eq!(told(value.as_bytes(), as_json), expected);
            assert_eq!(told(value.as_bytes(), as_apache), expected);
        }
    }

    #[test]
    fn a_long_value_is_cut_off_behind_its_tokens_and_between_letters() {
        let longest = "x".repeat(MAX_BYTES);
        assert_eq!(told(longest.as_bytes(), as_json), longest);
        assert_eq!(told(format!("{longest}x").as_bytes(), as_json), format!("{longest}..."));
        let token = format!("eyJ{}.{}.x", "a".repeat(2_000), "b".repeat(2_000));
        assert_eq!(told(format!("/{token}/y").as_bytes(), as_json), "/[token]/y");
        let letters = "€".repeat(MAX_BYTES);
        assert_eq!(told(letters.as_bytes(), as_json), format!("{}...", "€".repeat(MAX_BYTES / 3)));
        assert_eq!(told(&[0x80; 2 * MAX_BYTES], as_json), "...");
    }

    proptest! {
        #[test]
        fn any_bytes_are_one_string_of_json(value in prop::collection::vec(any::<u8>(), 0..3_000)) {
            let read: String = serde_json::from_str(&format!("\"{}\"", told(&value, as_json))).unwrap();
            let text = String::from_utf8_lossy(&value);
            prop_assert!(value.len() > MAX_BYTES || text.contains("eyJ") || read == text, "{read}");
        }

        #[test]
        fn any_bytes_are_plain_for_apache(value in prop::collection::vec(any::<u8>(), 0..3_000)) {
            let told = told(&value, as_apache);
            prop_assert!(told.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert!(!told.replace("\\\\", "").replace("\\\"", "").contains('"'));
        }
    }
}
