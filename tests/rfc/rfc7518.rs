//! RFC 7518: JSON Web Algorithms.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding},
};
use serde_json::json;

use crate::gate::{Gate, HEADER, decode, encode, member, parts, payload, reason, reason_with_key, token};

/// A key that signs in more ways than Cognito does.
struct Signer(KeyPair);

impl Signer {
    fn generate(size: KeySize) -> Self {
        Self(KeyPair::generate(size).unwrap())
    }

    fn gate(&self) -> Gate {
        let key = self.0.public_key();
        let n = encode(key.modulus().big_endian_without_leading_zero());
        let e = encode(key.exponent().big_endian_without_leading_zero());
        Gate::publishing(&json!({ "keys": [{ "kty": "RSA", "kid": "a", "n": n, "e": e }] }).to_string()).unwrap()
    }

    fn token(&self, algorithm: &'static dyn RsaEncoding) -> String {
        let input = format!("{}.{}", encode(HEADER), encode(payload()));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(algorithm, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        format!("{input}.{}", encode(signature))
    }
}

#[test]
fn section_3_3_keys_of_2048_bits_and_more_verify() {
    for (bits, size) in [(2048, KeySize::Rsa2048), (3072, KeySize::Rsa3072), (4096, KeySize::Rsa4096)] {
        let signer = Signer::generate(size);
        assert_eq!(signer.gate().reason(signer.token(&RSA_PKCS1_SHA256)), "ok", "{bits} bits");
    }
}

/// Shorter is a MUST NOT; the odd sizes and those over 4096 bits are refused because Cognito has none of them.
#[test]
fn section_3_3_keys_of_another_size_are_not_used() {
    for bytes in [64, 128, 192, 255, 257, 320, 1_024, 2_048] {
        assert_eq!(reason_with_key(&json!({ "n": encode(vec![0xff; bytes]) })), "unusable", "{bytes} bytes");
    }
    let short = [vec![0x7f], vec![0xff; 255]].concat();
    assert_eq!(reason_with_key(&json!({ "n": encode(short) })), "unusable", "2047 bits");
}

#[test]
fn section_3_3_the_signature_is_pkcs1_v1_5_with_sha_256() {
    let signer = Signer::generate(KeySize::Rsa2048);
    let gate = signer.gate();
    assert_eq!(gate.reason(signer.token(&RSA_PKCS1_SHA256)), "ok");
    for other in [&RSA_PKCS1_SHA384 as &'static dyn RsaEncoding, &RSA_PKCS1_SHA512, &RSA_PSS_SHA256] {
        assert_eq!(gate.reason(signer.token(other)), "signature_invalid", "{other:?}");
    }
}

/// RFC 8017 section 8.2.2 step 1, which section 3.3 refers to.
#[test]
fn section_3_3_the_signature_is_as_long_as_the_modulus() {
    let token = token();
    let [header, payload, signature] = parts(&token);
    let signature = decode(signature);
    for (case, signature) in [
        ("one byte short", signature[..255].to_vec()),
        ("without its first byte", signature[1..].to_vec()),
        ("a zero in front", [vec![0], signature.clone()].concat()),
        ("a zero behind", [signature.clone(), vec![0]].concat()),
        ("twice", [signature.clone(), signature.clone()].concat()),
        ("one byte", vec![1]),
        ("longer than any key", vec![1; 2_048]),
    ] {
        assert_eq!(reason(format!("{header}.{payload}.{}", encode(signature))), "signature_invalid", "{case}");
    }
}

/// RFC 8017 section 5.2.2 step 1: the number must be less than the modulus.
#[test]
fn section_3_3_the_signature_is_less_than_the_modulus() {
    let modulus = decode(&member("n"));
    let restyled = (0..200).find_map(|serial| {
        let payload = payload().replacen('{', &format!(r#"{{"serial":{serial},"#), 1);
        let token = crate::gate::KEY.mint_raw(HEADER, &payload).unwrap();
        assert_eq!(reason(&token), "ok");
        let [header, payload, signature] = parts(&token);
        let signature = sum(&decode(signature), &modulus)?;
        Some(format!("{header}.{payload}.{}", encode(signature)))
    });
    assert_eq!(reason(restyled.unwrap()), "signature_invalid");
    assert_eq!(reason_with_signature(&modulus), "signature_invalid");
    for number in [vec![0; 256], vec![0xff; 256], [vec![0; 255], vec![1]].concat()] {
        assert_eq!(reason_with_signature(&number), "signature_invalid");
    }
}

fn reason_with_signature(signature: &[u8]) -> &'static str {
    reason(format!("{}.{}.{}", encode(HEADER), encode(payload()), encode(signature)))
}

/// The sum of two numbers of one length, if it has that length too.
fn sum(one: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut carry = 0;
    let digits = one.iter().zip(other).rev().map(|(one, other)| {
        let digit = u16::from(*one) + u16::from(*other) + carry;
        carry = digit >> 8;
        digit.to_le_bytes()[0]
    });
    let mut digits: Vec<_> = digits.collect();
    digits.reverse();
    (carry == 0).then_some(digits)
}

#[test]
fn section_6_3_1_1_the_modulus_has_no_zero_octets_in_front() {
    let padded = [vec![0], decode(&member("n"))].concat();
    assert_eq!(reason_with_key(&json!({ "n": encode(padded) })), "unusable");
}

#[test]
fn section_6_3_1_1_the_modulus_is_base64url_and_present() {
    let n = member("n");
    for (case, n) in [
        ("absent", json!(null)),
        ("empty", json!("")),
        ("padded", json!(format!("{n}=="))),
        ("a line break", json!(format!("{n}\n"))),
        ("standard alphabet", json!(n.replace(['-', '_'], "+").replacen(|c: char| c.is_ascii_alphanumeric(), "/", 1))),
        ("a number", json!(5)),
    ] {
        assert_eq!(reason_with_key(&json!({ "n": n })), "unusable", "{case}");
    }
    let mut even = decode(&n);
    even[255] &= 0xfe;
    assert_eq!(reason_with_key(&json!({ "n": encode(even) })), "unusable", "even");
}

/// Stricter: Cognito's exponent is 65537. 1 would make forgery trivial.
#[test]
fn section_6_3_1_2_the_exponent_is_65537() {
    for (case, e) in [
        ("absent", json!(null)),
        ("empty", json!("")),
        ("0", json!("AA")),
        ("1", json!("AQ")),
        ("2", json!("Ag")),
        ("3", json!("Aw")),
        ("a zero in front", json!("AAEAAQ")),
        ("padded", json!("AQAB==")),
        ("2^32 + 1", json!("AQAAAAE")),
        ("a number", json!(65_537)),
    ] {
        assert_eq!(reason_with_key(&json!({ "e": e })), "unusable", "{case}");
    }
    assert_eq!(reason_with_key(&json!({ "e": "AQAB" })), "ok");
}
