//! Tampering with a token. An input is steps, each an opcode and what it needs.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD},
};
use serde_json::Value;

use super::minted::{Minted, change, with_members};
use crate::{gate::KEYS, input::Input};

/// So many steps at most: what is left of a token after that is noise.
const MAX_STEPS: usize = 8;

/// Reads what a strict reader would not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

type Parts = Vec<Vec<u8>>;

/// The token that the steps make of another one.
pub(super) fn mutated(original: &Minted, input: &mut Input<'_>, minted: &[Minted]) -> Vec<u8> {
    let mut token = original.token.clone();
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        token = step(token, input, minted);
    }
    token
}

fn step(token: Vec<u8>, input: &mut Input<'_>, minted: &[Minted]) -> Vec<u8> {
    let opcode = input.byte() % 16;
    match opcode {
        0..=4 => with_bytes_changed(token, opcode, input),
        5 => [input.bytes(1), &token, input.bytes(1)].concat(),
        6 => [&token[..], b".", input.bytes(4)].concat(),
        _ => {
            let mut parts: Parts = token.split(|byte| *byte == b'.').map(<[u8]>::to_vec).collect();
            let chosen = input.place(parts.len());
            with_part_changed(&mut parts, chosen, opcode, input, minted);
            parts.join(&b'.')
        }
    }
}

fn with_bytes_changed(mut token: Vec<u8>, opcode: u8, input: &mut Input<'_>) -> Vec<u8> {
    let place = input.place(token.len());
    let (mut front, back) = match token.split_at_mut_checked(place) {
        Some((front, [first, back @ ..])) => {
            match opcode {
                0 => *first ^= 1 << (input.byte() & 7),
                1 => *first = input.byte(),
                _ => {}
            }
            let first = if opcode == 2 { &[][..] } else { &[*first] };
            ([front, first].concat(), back.to_vec())
        }
        _ => (token, Vec::new()),
    };
    match opcode {
        3 => front.push(input.byte()),
        4 => return front,
        _ => {}
    }
    [front, back].concat()
}

fn with_part_changed(parts: &mut Parts, chosen: usize, opcode: u8, input: &mut Input<'_>, minted: &[Minted]) {
    let other = usize::from(input.byte());
    let last = parts.len().saturating_sub(1);
    match opcode {
        7 => parts.swap(chosen, other.min(last)),
        8 => drop(parts.remove(chosen)),
        _ => {
            let Some(part) = parts.get_mut(chosen) else { return };
            match opcode {
                9 => part.extend(std::iter::repeat_n(b'=', other & 3)),
                10 => restyle_last(part, other),
                11 => part.iter_mut().for_each(|byte| *byte = in_standard_alphabet(*byte)),
                12 => *part = part_of(input.pick(minted), chosen),
                13 => recode(part, |json| with_members(&json, &[change(input)])),
                14 => recode(part, |json| respelled(json, input)),
                _ => recode(part, |signature| same_residue(&signature, other)),
            }
        }
    }
}

/// Another last character that stands for the same bytes.
fn restyle_last(part: &mut [u8], choice: usize) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let spare = match part.len() % 4 {
        2 => 16,
        3 => 4,
        _ => 1,
    };
    let Some(last) = part.last_mut() else { return };
    let Some(place) = ALPHABET.iter().position(|byte| byte == last) else { return };
    let twin = ALPHABET.get(place - place % spare + choice % spare);
    *last = twin.copied().unwrap_or(*last);
}

const fn in_standard_alphabet(byte: u8) -> u8 {
    match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    }
}

fn part_of(minted: &Minted, place: usize) -> Vec<u8> {
    minted.token.split(|byte| *byte == b'.').nth(place).unwrap_or_default().to_vec()
}

/// Changes the bytes that a part stands for; one that stands for none stays.
fn recode(part: &mut Vec<u8>, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    if let Ok(bytes) = LENIENT.decode(&part) {
        *part = URL_SAFE_NO_PAD.encode(change(bytes)).into_bytes();
    }
}

/// The same JSON in other words, or with a few bytes of the input somewhere in it.
fn respelled(json: Vec<u8>, input: &mut Input<'_>) -> Vec<u8> {
    let place = input.place(json.len() + 1);
    let inserted = input.bytes(4);
    match (serde_json::from_slice::<Value>(&json), inserted) {
        (Ok(value), b"") => serde_json::to_vec_pretty(&value).unwrap_or(json),
        (_, inserted) => {
            let (front, back) = json.split_at_checked(place).unwrap_or_default();
            [front, inserted, back].concat()
        }
    }
}

/// Another number that is the same modulo the key, or the same number with zeros in front or without them.
fn same_residue(signature: &[u8], choice: usize) -> Vec<u8> {
    match choice % 4 {
        0 => [&[0], signature].concat(),
        1 => signature.iter().copied().skip_while(|byte| *byte == 0).collect(),
        _ => KEYS.get(choice & 1).map_or_else(Vec::new, |key| {
            let jwk = key.jwk();
            let modulus = jwk.get("n").and_then(Value::as_str).and_then(|text| LENIENT.decode(text).ok());
            sum(signature, &modulus.unwrap_or_default())
        }),
    }
}

/// The sum of two big-endian numbers.
fn sum(one: &[u8], other: &[u8]) -> Vec<u8> {
    let length = one.len().max(other.len());
    let digit = |number: &[u8], place: usize| number.iter().rev().nth(place).copied().map_or(0, u16::from);
    let mut carry = 0;
    let mut digits: Vec<u8> = Vec::with_capacity(length + 1);
    for place in 0..length {
        let total = digit(one, place) + digit(other, place) + carry;
        digits.push(total.to_le_bytes()[0]);
        carry = total >> 8;
    }
    digits.extend((carry > 0).then_some(1));
    digits.reverse();
    digits
}
