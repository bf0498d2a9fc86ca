//! Our verdict on a signature against those of two other libraries on the same bytes: stricter is allowed, laxer fails.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use proptest::prelude::*;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;

use crate::gate::{FOREIGN_KEY, HEADER, KEY, decode, encode, member, parts, payload, reason, token};

/// What each library says about a token's signature under [`KEY`].
#[derive(Debug)]
struct Verdicts {
    ours: bool,
    ring: bool,
    jsonwebtoken: bool,
}

impl Verdicts {
    fn on(token: &str) -> Self {
        Self { ours: reason(token) == "ok", ring: ring_accepts(token), jsonwebtoken: jsonwebtoken_accepts(token) }
    }

    fn is_laxer(&self) -> bool {
        self.ours && !(self.ring && self.jsonwebtoken)
    }
}

fn ring_accepts(token: &str) -> bool {
    let Some((input, signature)) = token.rsplit_once('.') else { return false };
    let Ok(signature) = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature) else {
        return false;
    };
    let key = RsaPublicKeyComponents { n: decode(&member("n")), e: decode(&member("e")) };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, input.as_bytes(), &signature).is_ok()
}

/// Nothing but the signature is asked for.
fn jsonwebtoken_accepts(token: &str) -> bool {
    let key = DecodingKey::from_rsa_components(&member("n"), &member("e")).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<Value>(token, &key, &validation).is_ok()
}

/// The token with one bit of one decoded part turned over.
fn flipped(token: &str, part: usize, bit: usize) -> String {
    let mut encoded = parts(token).map(str::to_owned);
    let mut bytes = decode(&encoded[part]);
    let length = bytes.len();
    bytes[(bit / 8) % length] ^= 1 << (bit % 8);
    encoded[part] = encode(bytes);
    encoded.join(".")
}

#[test]
fn a_good_token_is_accepted_by_all() {
    for serial in 0..20 {
        let payload = payload().replacen('{', &format!(r#"{{"serial":{serial},"#), 1);
        let verdicts = Verdicts::on(&KEY.mint_raw(HEADER, &payload).unwrap());
        assert!(verdicts.ours && verdicts.ring && verdicts.jsonwebtoken, "{verdicts:?}");
    }
}

#[test]
fn every_bit_of_the_signature_counts() {
    let token = token();
    for bit in 0..256 * 8 {
        let token = flipped(&token, 2, bit);
        assert_eq!(reason(&token), "signature_invalid", "bit {bit}");
        assert!(!ring_accepts(&token), "bit {bit}");
    }
}

#[test]
fn every_byte_of_header_and_payload_counts() {
    let token = token();
    for part in [0, 1] {
        for byte in 0..decode(parts(&token)[part]).len() {
            let token = flipped(&token, part, 8 * byte);
            assert!(reason(&token) != "ok" && !ring_accepts(&token), "part {part}, byte {byte}");
        }
    }
}

#[test]
fn a_truncated_token_is_accepted_by_none() {
    let token = token();
    for length in 0..token.len() {
        let verdicts = Verdicts::on(token.split_at(length).0);
        assert!(!verdicts.ours && !verdicts.jsonwebtoken, "{length} bytes: {verdicts:?}");
    }
}

#[test]
fn a_token_of_another_key_is_accepted_by_none() {
    let verdicts = Verdicts::on(&FOREIGN_KEY.mint_raw(HEADER, &payload()).unwrap());
    assert!(!verdicts.ours && !verdicts.ring && !verdicts.jsonwebtoken, "{verdicts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_the_text_makes_us_laxer(
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[A-Za-z0-9_.=+/ -]{0,3}"), 0..3),
    ) {
        let mut token = token();
        for (at, text) in changes {
            let at = at.index(token.len());
            token.replace_range(at..=at, &text);
        }
        let verdicts = Verdicts::on(&token);
        prop_assert!(!verdicts.is_laxer(), "{verdicts:?}");
    }
}
