//! The signature: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3) of what was sent, by the key that `kid` names.

use aws_lc_rs::{
    hmac,
    signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding},
};

use crate::{
    mint::{ACCESS_KEY, ID_KEY, ID_KID, OTHER_KEY, encode, header, id},
    table::{Vector, tokens},
    verdict::{ALG, OK, SIGNATURE},
};

pub(super) fn vectors() -> Vec<Vector> {
    [of_other_keys(), of_other_algorithms(), confused_algorithms(), of_other_bytes(), changed(), made_up()].concat()
}

/// What a good ID token signs.
fn input() -> String {
    format!("{}.{}", encode(header(ID_KID)), encode(id().json()))
}

fn of_other_keys() -> Vec<Vector> {
    let rows = [
        ("the key that kid names", id().by(&ID_KEY, ID_KID), OK),
        ("another key of the pool", id().by(&ACCESS_KEY, ID_KID), SIGNATURE),
        ("a key of nobody", id().by(&OTHER_KEY, ID_KID), SIGNATURE),
    ];
    tokens("signed by the key that kid names", "id", rows)
}

fn of_other_algorithms() -> Vec<Vector> {
    let token = |encoding: &'static dyn RsaEncoding| {
        let input = input();
        let signature = ID_KEY.sign(encoding, &input);
        format!("{input}.{}", encode(signature))
    };
    let rows = [
        ("RS256", token(&RSA_PKCS1_SHA256), OK),
        ("RS384", token(&RSA_PKCS1_SHA384), SIGNATURE),
        ("RS512", token(&RSA_PKCS1_SHA512), SIGNATURE),
        ("PS256", token(&RSA_PSS_SHA256), SIGNATURE),
    ];
    tokens("signed as RS256 says", "id", rows)
}

/// The public key is known to everybody: taken for the secret of an HMAC, it would let everybody sign.
fn confused_algorithms() -> Vec<Vector> {
    let token = |alg: &str, secret: &[u8]| {
        let input = format!("{}.{}", encode(format!(r#"{{"kid":"{ID_KID}","alg":"{alg}"}}"#)), encode(id().json()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        format!("{input}.{}", encode(tag))
    };
    let rows = [
        ("HS256 with the public key", token("HS256", ID_KEY.public_bytes()), ALG),
        ("HS256 with the modulus", token("HS256", &ID_KEY.modulus()), ALG),
        ("HS256 with the modulus as it is published", token("HS256", encode(ID_KEY.modulus()).as_bytes()), ALG),
        ("HS256 with nothing", token("HS256", b""), ALG),
        ("the same, called RS256", token("RS256", ID_KEY.public_bytes()), SIGNATURE),
    ];
    tokens("a public key is no secret", "id", rows)
}

fn of_other_bytes() -> Vec<Vector> {
    let token = id().mint();
    let [h, p, s] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let root = encode(id().text("sub", "root").json());
    let spaced = encode(format!("{} ", id().json()));
    let typed = encode(format!(r#"{{"kid":"{ID_KID}","alg":"RS256","typ":"JWT"}}"#));
    let elsewhere = id().text("sub", "other").mint();
    let other_signature = elsewhere.rsplit_once('.').unwrap().1;
    let of_payload_alone = encode(ID_KEY.sign(&RSA_PKCS1_SHA256, p));
    let of_json = encode(ID_KEY.sign(&RSA_PKCS1_SHA256, &format!("{}.{}", header(ID_KID), id().json())));
    let rows = [
        ("another payload", format!("{h}.{root}.{s}"), SIGNATURE),
        ("a space more in the payload", format!("{h}.{spaced}.{s}"), SIGNATURE),
        ("another header", format!("{typed}.{p}.{s}"), SIGNATURE),
        ("the signature of another token", format!("{h}.{p}.{other_signature}"), SIGNATURE),
        ("the payload alone was signed", format!("{h}.{p}.{of_payload_alone}"), SIGNATURE),
        ("the text was signed, not its encoding", format!("{h}.{p}.{of_json}"), SIGNATURE),
    ];
    tokens("what was signed is what was sent", "id", rows)
}

/// A good signature with something done to it.
fn changed() -> Vec<Vector> {
    let input = input();
    let good = ID_KEY.sign(&RSA_PKCS1_SHA256, &input);
    let flipped =
        |at: usize, bit: u8| good.iter().enumerate().map(|(i, b)| if i == at { b ^ bit } else { *b }).collect();
    let rows: [(_, Vec<u8>); 10] = [
        ("first bit flipped", flipped(0, 0x80)),
        ("a bit in the middle flipped", flipped(128, 0x10)),
        ("last bit flipped", flipped(255, 1)),
        ("a byte too few", good[1..].to_vec()),
        ("last byte missing", good[..255].to_vec()),
        ("a zero before", [&[0], &*good].concat()),
        ("a zero behind", [&*good, &[0]].concat()),
        ("twice", [&*good, &*good].concat()),
        ("half of it", good[..128].to_vec()),
        ("backwards", good.iter().rev().copied().collect()),
    ];
    tokens(
        "a signature is exact",
        "id",
        rows.map(|(name, signature)| (name, format!("{input}.{}", encode(signature)), SIGNATURE)),
    )
}

/// Numbers for which an RSA verification without care has nothing to compute.
fn made_up() -> Vec<Vector> {
    let number = |last: u8| [vec![0; 255], vec![last]].concat();
    let mut less_one = ID_KEY.modulus();
    less_one[255] ^= 1; // the modulus is odd
    let rows: [(_, Vec<u8>); 7] = [
        ("0", number(0)),
        ("1", number(1)),
        ("the modulus", ID_KEY.modulus()),
        ("the modulus less 1", less_one),
        ("the largest number", vec![0xff; 256]),
        ("one byte", vec![1]),
        ("a public key", ID_KEY.public_bytes().to_vec()),
    ];
    let input = input();
    tokens(
        "a signature is not made up",
        "id",
        rows.map(|(name, signature)| (name, format!("{input}.{}", encode(signature)), SIGNATURE)),
    )
}
