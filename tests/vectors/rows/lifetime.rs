//! `exp`, `nbf` and `iat`: whole seconds (RFC 7519 sections 2 and 4.1), and times that Cognito issues. No leeway unless the
//! pool has one.

use crate::{
    mint::{Claims, NOW, id},
    table::{Vector, momentary_tokens, tokens},
    verdict::{EXPIRED, MALFORMED, NOT_YET, OK},
};

/// Cognito's longest token, a day, and five minutes for clocks that differ.
const LONGEST: u64 = 24 * 60 * 60 + 5 * 60;

pub(super) fn vectors() -> Vec<Vector> {
    [exp(), last_second(), exp_type(), nbf(), iat(), other_types(), skew(), last_second_with_skew()].concat()
}

fn exp_at(time: u64) -> Claims {
    id().set("exp", time)
}

fn exp() -> Vec<Vector> {
    let now = *NOW;
    let rows = [
        ("in five minutes", exp_at(now + 300), OK),
        ("in a day", exp_at(now + 86_400), OK),
        ("in a day and five minutes", exp_at(now + LONGEST), OK),
        ("in a day and fifteen minutes", exp_at(now + LONGEST + 600), MALFORMED),
        ("in a year", exp_at(now + 365 * 86_400), MALFORMED),
        ("in milliseconds", exp_at((now + 3600) * 1000), MALFORMED),
        ("now", exp_at(now), EXPIRED),
        ("a second ago", exp_at(now - 1), EXPIRED),
        ("a minute ago", exp_at(now - 60), EXPIRED),
        ("0", exp_at(0), EXPIRED),
        ("2^32 - 1", exp_at(u64::from(u32::MAX)), MALFORMED),
        ("2^63", exp_at(1 << 63), MALFORMED),
        ("2^64 - 1", exp_at(u64::MAX), MALFORMED),
        ("2^64", id().set("exp", "18446744073709551616"), MALFORMED),
    ];
    tokens("exp lies ahead, and not too far", "id", rows)
}

fn last_second() -> Vec<Vector> {
    let now = *NOW;
    let rows = [
        ("exp in a second", exp_at(now + 1), OK),
        ("exp in a day, five minutes and a second", exp_at(now + LONGEST + 1), MALFORMED),
        ("nbf now", id().set("nbf", now), OK),
        ("nbf in a second", id().set("nbf", now + 1), NOT_YET),
        ("iat in a second", id().set("iat", now + 1), OK),
        ("iat is exp", exp_at(now + 1).set("iat", now + 1), OK),
    ];
    momentary_tokens("times to the second", "id", rows)
}

fn exp_type() -> Vec<Vector> {
    let soon = *NOW + 3600;
    let wrong = [
        format!("\"{soon}\""),
        format!("{soon}.0"),
        format!("{soon}.5"),
        format!("{soon}e0"),
        format!("{soon}0E-1"),
        format!("[{soon}]"),
        format!("{{\"exp\":{soon}}}"),
        format!("0{soon}"),
        format!("+{soon}"),
        format!("-{soon}"),
        "9999999999.5".to_owned(),
        "1e10".to_owned(),
        "1e308".to_owned(),
        "1e999".to_owned(),
        "-1".to_owned(),
        "-0".to_owned(),
        "null".to_owned(),
        "true".to_owned(),
        "\"\"".to_owned(),
        "\"2099-01-01T00:00:00Z\"".to_owned(),
        "Infinity".to_owned(),
        String::new(),
    ];
    let rows = wrong.map(|json| (json.replace(&soon.to_string(), "N"), id().set("exp", json), MALFORMED));
    tokens("exp is a whole number", "id", rows)
}

fn nbf() -> Vec<Vector> {
    let now = *NOW;
    let rows = [
        ("a minute ago", id().set("nbf", now - 60), OK),
        ("0", id().set("nbf", 0), OK),
        ("in ten minutes", id().set("nbf", now + 600), NOT_YET),
        ("in a year", id().set("nbf", now + 365 * 86_400), NOT_YET),
        ("2^64 - 1", id().set("nbf", u64::MAX), NOT_YET),
        ("in ten minutes, and expired", exp_at(now - 1).set("nbf", now + 600), EXPIRED),
    ];
    tokens("nbf, where there is one, has passed", "id", rows)
}

/// It is not held against this machine's clock, which may be behind.
fn iat() -> Vec<Vector> {
    let now = *NOW;
    let rows = [
        ("in ten minutes", id().set("iat", now + 600), OK),
        ("a day ago", id().set("iat", now - 86_400), OK),
        ("after exp", id().set("iat", now + 3601), MALFORMED),
        ("2^64 - 1", id().set("iat", u64::MAX), MALFORMED),
    ];
    tokens("iat is not after exp", "id", rows)
}

fn other_types() -> Vec<Vector> {
    let wrong = ["null", "\"1\"", "1.5", "1e3", "-1", "[]", "false"];
    let rows = ["iat", "nbf"]
        .into_iter()
        .flat_map(|name| wrong.map(|json| (format!("{name} is {json}"), id().set(name, json), MALFORMED)));
    tokens("iat and nbf are whole numbers", "id", rows)
}

/// Of the pool whose clock may differ by five minutes, and issued an hour ago.
fn skewed() -> Claims {
    id().iss("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Skewed").set("iat", *NOW - 3600)
}

fn skew() -> Vec<Vector> {
    let now = *NOW;
    let rows = [
        ("exp a second ago", skewed().set("exp", now - 1), OK),
        ("exp a minute ago", skewed().set("exp", now - 60), OK),
        ("exp five minutes ago", skewed().set("exp", now - 300), EXPIRED),
        ("exp an hour ago", skewed().set("exp", now - 3600), EXPIRED),
        ("nbf in five minutes", skewed().set("nbf", now + 300), OK),
        ("nbf in ten minutes", skewed().set("nbf", now + 600), NOT_YET),
        ("exp in a day and ten minutes", skewed().set("exp", now + LONGEST + 300), OK),
        ("exp in a day and fifteen minutes", skewed().set("exp", now + LONGEST + 600), MALFORMED),
    ];
    tokens("clock_skew of five minutes", "skewed", rows)
}

fn last_second_with_skew() -> Vec<Vector> {
    let now = *NOW;
    let rows = [
        ("exp 299 s ago", skewed().set("exp", now - 299), OK),
        ("exp 300 s ago", skewed().set("exp", now - 300), EXPIRED),
        ("nbf in 300 s", skewed().set("nbf", now + 300), OK),
        ("nbf in 301 s", skewed().set("nbf", now + 301), NOT_YET),
        ("exp in a day and ten minutes", skewed().set("exp", now + LONGEST + 300), OK),
        ("exp in a day, ten minutes and a second", skewed().set("exp", now + LONGEST + 301), MALFORMED),
    ];
    momentary_tokens("clock_skew to the second", "skewed", rows)
}
