//! Tokens: nothing passes but what was minted here, and of that exactly what the rules say.
//!
//! The first byte of an input says what it is:
//!
//! - `c`: header fields that carry tokens, see `carrier`
//! - `m`: a minted token that is then tampered with, see `mutation`
//! - `s`: a JOSE header, a line break and claims, which are then signed as they are
//! - `v`: the claims of a minted token with some of them changed, which are then signed
//! - anything else: a token
//!
//! A signature takes a millisecond. So what is to be signed is first shown with a false signature: only where that is all
//! that is wrong with it, and now and then where it is not, a true one follows.

mod carrier;
mod claims;
mod minted;
mod mutation;

use cognigate_auth::{
    clock::UnixSeconds,
    policy::{Policy, TokenUseRule},
    rejection::Rejection,
};

use self::minted::{MINTED, Minted};
use crate::{
    gate::{Gate, NOW},
    input::Input,
};

/// One input in so many is signed although it is refused without.
const SAMPLE: usize = 16;

/// So many members of a token are changed at most.
const MAX_CHANGES: usize = 8;

/// When a verdict is asked for again: around the limits of the minted tokens and of the keys.
const MOMENTS: [UnixSeconds; 8] =
    [NOW, NOW - 1, NOW + 1, NOW + 3_599, NOW + 3_600, NOW + 3_660, NOW + 86_400, NOW + 86_401];

/// What a verdict depends on besides the token.
struct Setting {
    policy: Policy,
    moment: UnixSeconds,
}

impl Setting {
    fn read(input: &mut Input<'_>) -> Self {
        let choice = input.byte();
        let words = |bit: u8, words: &[&str]| -> Box<[Box<str>]> {
            let chosen = if choice & bit == 0 { &[] } else { words };
            chosen.iter().map(|word| Box::from(*word)).collect()
        };
        let policy = Policy {
            user_pools: if choice & 4 == 0 { ["main".into(), "lenient".into()].into() } else { ["main".into()].into() },
            token_use: match choice & 3 {
                1 => TokenUseRule::Access,
                2 => TokenUseRule::Id,
                _ => TokenUseRule::Any,
            },
            scopes_any: words(8, &["s", "t"]),
            groups_any: words(64, &["g", "h"]),
        };
        Self { policy, moment: *input.pick(&MOMENTS) }
    }
}

/// Checks one input.
///
/// # Panics
///
/// If a token passes that should not, does not pass that should, or passes on one way and not on another.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() {
        b'c' => carrier::check(input),
        b'm' => {
            let setting = Setting::read(&mut input);
            let original = input.pick(&MINTED);
            let token = mutation::mutated(original, &mut input, &MINTED);
            let origin = MINTED.iter().find(|minted| minted.token == token);
            judge(&setting, &token, origin, Some(original));
        }
        b's' => {
            let setting = Setting::read(&mut input);
            let signer = usize::from(input.byte() & 1);
            let rest = input.rest();
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (header, payload) = rest.split_at(end);
            sign_and_judge(&setting, header, payload.get(1..).unwrap_or_default(), signer);
        }
        b'v' => {
            let setting = Setting::read(&mut input);
            let origin = input.pick(&MINTED);
            let (header, payload) = varied(&mut input, origin);
            sign_and_judge(&setting, &header, &payload, origin.signer);
        }
        _ => judge(&Setting::read(&mut input), input.rest(), None, None),
    }
}

/// The header and claims of a token with some members set or, where the value is `null`, taken out.
fn varied(input: &mut Input<'_>, origin: &Minted) -> (Vec<u8>, Vec<u8>) {
    let (mut of_header, mut of_payload) = (Vec::new(), Vec::new());
    for _ in 0..MAX_CHANGES {
        if input.is_empty() {
            break;
        }
        let changes = if input.byte() & 7 == 7 { &mut of_header } else { &mut of_payload };
        changes.push(minted::change(input));
    }
    (minted::with_members(&origin.header, &of_header), minted::with_members(&origin.payload, &of_payload))
}

fn sign_and_judge(setting: &Setting, header: &[u8], payload: &[u8], signer: usize) {
    let forged = Minted::with_false_signature(header, payload);
    let Err(rejection) = verdict(&Gate::new(), setting, NOW, &forged) else { panic!("a false signature passed") };
    let is_due = rejection == Rejection::SignatureInvalid || (header.len() + payload.len()).is_multiple_of(SAMPLE);
    if !is_due {
        let lost = claims::read(header, payload, &setting.policy, NOW);
        assert!(lost.is_none_or(|claims| claims.is_odd), "{rejection} for claims that are good");
        return;
    }
    let minted = Minted::sign(header, payload, signer);
    if rejection != Rejection::SignatureInvalid {
        let signed = verdict(&Gate::new(), setting, NOW, &minted.token).err();
        assert_eq!(signed, Some(rejection), "the signature changes a reason that comes before it");
    }
    judge(setting, &minted.token, Some(&minted), None);
}

/// Compares the verdict on a token with what its origin deserves; without an origin, that is nothing. Another token may
/// have been shown before and be remembered.
fn judge(setting: &Setting, token: &[u8], origin: Option<&Minted>, before: Option<&Minted>) {
    let gate = Gate::new();
    if let Some(before) = before {
        drop(gate.verdict(&before.token, &setting.policy));
    }
    for now in [NOW, setting.moment, NOW] {
        let deserved = origin.and_then(|minted| minted.deserves(&setting.policy, now));
        match (verdict(&gate, setting, now, token), deserved) {
            (Ok(found), Some(claims)) => claims.assert_are_of(found.identity()),
            (Err(_), None) => {}
            (Err(_), Some(claims)) if claims.is_odd => {}
            (Ok(found), None) => panic!("passed at {now}: {found:?}"),
            (Err(rejection), Some(claims)) => panic!("{rejection} at {now}: {claims:?}"),
        }
    }
}

fn verdict(gate: &Gate, setting: &Setting, now: UnixSeconds, token: &[u8]) -> crate::gate::Verdict {
    gate.set_clock(now);
    gate.verdict(token, &setting.policy)
}
