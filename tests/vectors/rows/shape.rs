//! Shape and size: three parts, none empty, between two dots (RFC 7515 section 3.1), and no longer than is looked at.

use crate::{
    mint::{ID_KEY, ID_KID, encode, headed, header, id},
    table::{Vector, tokens},
    verdict::{ALG, MALFORMED, OK, TOO_LARGE, Verdict},
};

pub(super) fn vectors() -> Vec<Vector> {
    [three_parts(), other_serializations(), token_size(), header_size()].concat()
}

fn three_parts() -> Vec<Vector> {
    let token = id().mint();
    let [h, p, s] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let rows: [(_, String, _); 14] = [
        ("as Cognito issues it", token.clone(), OK),
        ("one part", h.to_owned(), MALFORMED),
        ("two parts", format!("{h}.{p}"), MALFORMED),
        ("two dots alone", "..".to_owned(), MALFORMED),
        ("no header", format!(".{p}.{s}"), MALFORMED),
        ("no payload", format!("{h}..{s}"), MALFORMED),
        ("no signature", format!("{h}.{p}."), MALFORMED),
        ("a dot before", format!(".{token}"), MALFORMED),
        ("a dot behind", format!("{token}."), MALFORMED),
        ("four parts", format!("{token}.{s}"), MALFORMED),
        ("a comma for a dot", format!("{h},{p}.{s}"), MALFORMED),
        ("dots percent-encoded", token.replace('.', "%2E"), MALFORMED),
        ("two tokens in a row", format!("{token}.{token}"), MALFORMED),
        ("two tokens and a comma", format!("{token},{token}"), MALFORMED),
    ];
    tokens("three parts and two dots", "id", rows)
}

fn other_serializations() -> Vec<Vector> {
    let token = id().mint();
    let [h, p, s] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let jwe = encode(r#"{"cty":"JWT","enc":"A256GCM","alg":"RSA-OAEP"}"#);
    let unsigned = |end| format!("{}.{p}.{end}", encode(r#"{"alg":"none"}"#));
    let rows: [(_, String, _); 9] = [
        ("five parts: a refresh token", format!("{jwe}.{s}.YWFh.{s}.YWFh"), MALFORMED),
        ("JSON, flattened", format!(r#"{{"protected":"{h}","payload":"{p}","signature":"{s}"}}"#), MALFORMED),
        ("JSON, general", format!(r#"{{"payload":"{p}","signatures":[{{"protected":"{h}"}}]}}"#), MALFORMED),
        ("detached payload, alg none", format!("{}..", encode(r#"{"alg":"none"}"#)), MALFORMED),
        ("unsecured, without a kid", unsigned(""), MALFORMED),
        ("unsecured", format!("{}.{p}.", encode(format!(r#"{{"kid":"{ID_KID}","alg":"none"}}"#))), ALG),
        ("in double quotes", format!("\"{token}\""), MALFORMED),
        ("in angle brackets", format!("<{token}>"), MALFORMED),
        ("not a token", "letmein".to_owned(), MALFORMED),
    ];
    tokens("the compact serialization of a JWS", "id", rows)
}

/// The most that is looked at: 16 KiB.
fn token_size() -> Vec<Vector> {
    let rows: [(_, String, _); 6] = [
        ("8 KiB", sized(8 * 1024), OK),
        ("16 KiB", sized(16 * 1024), OK),
        ("16 KiB and a byte", sized(16 * 1024 + 1), TOO_LARGE),
        ("16 KiB of letters", "a".repeat(16 * 1024), MALFORMED),
        ("more letters", "a".repeat(16 * 1024 + 1), TOO_LARGE),
        ("more dots", ".".repeat(16 * 1024 + 1), TOO_LARGE),
    ];
    tokens("at most 16 KiB", "id", rows)
}

/// A good token of so many bytes.
fn sized(bytes: usize) -> String {
    let padded = |spaces: usize, letters: usize| {
        let header = header(ID_KID).replace('}', &format!("{}}}", " ".repeat(spaces)));
        ID_KEY.token(&header, id().text("custom:pad", &"a".repeat(letters)).json())
    };
    let letters = (bytes - padded(0, 0).len()) / 4 * 3;
    let mut candidates = (0..4).flat_map(|spaces| (0..4).map(move |more| (spaces, more)));
    candidates
        .find_map(|(spaces, more)| Some(padded(spaces, letters - 3 + more)).filter(|token| token.len() == bytes))
        .unwrap()
}

/// The most that is looked at of a header: 1 KiB encoded, 768 bytes.
fn header_size() -> Vec<Vector> {
    let row = |name, bytes: usize, verdict: Verdict| {
        let header = header(ID_KID);
        (name, headed(&format!("{header}{}", " ".repeat(bytes - header.len()))), verdict)
    };
    let rows = [row("768 bytes", 768, OK), row("769 bytes", 769, MALFORMED), row("4 KiB", 4096, MALFORMED)];
    tokens("at most 1 KiB of header", "id", rows)
}
