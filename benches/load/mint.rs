//! Mints the tokens that the proxies are measured with: one key, a pool's worth of users, and tokens to be refused.
//!
//! Writes into a directory: `jwks.json` and `public.pem`, the same key twice; `good`, `expired`, `forged` and `foreign`,
//! one token a line. They are ID tokens of some 1.2 KB, which every proxy that knows JWTs can judge, good for a day.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    thread,
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    error::Unspecified,
    rsa::PublicKeyComponents,
};
use base64::{
    DecodeError, Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use clap::Parser;
use cognigate_auth::{
    clock::{Clock, SystemClock, UnixSeconds},
    local_pool::{LocalPoolError, SigningKey, claims, jwks, with},
    policy::TokenUse,
};
use serde_json::{Value, json};
use thiserror::Error;

/// How long a good token is good: the longest that Cognito gives.
const LIFETIME: UnixSeconds = 24 * 60 * 60;

/// How many tokens of each kind that is to be refused.
const REFUSED: usize = 1_000;

#[derive(Parser)]
#[command(about = "Mints tokens for a comparison of proxies")]
struct Arguments {
    /// How many good tokens
    #[arg(long)]
    count: usize,
    /// The `iss` of every token
    #[arg(long)]
    issuer: String,
    /// The `aud` of every token but the foreign ones
    #[arg(long)]
    client: String,
    /// The directory to write into
    directory: PathBuf,
}

#[derive(Debug, Error)]
enum MintError {
    #[error("the key is not in its document")]
    Document(#[from] DecodeError),
    #[error("cannot write a file")]
    Write(#[from] io::Error),
    #[error("cannot write the key as X.509 has it")]
    PublicKey(#[from] Unspecified),
    #[error("cannot make a key or sign")]
    Sign(#[from] LocalPoolError),
    #[error("a thread that signs is gone")]
    Thread,
}

/// What all tokens have in common.
struct Mint<'a> {
    key: SigningKey,
    issuer: &'a str,
    client: &'a str,
    now: UnixSeconds,
}

fn main() -> Result<(), MintError> {
    let Arguments { count, issuer, client, directory } = Arguments::parse();
    let key = SigningKey::generate("k3yB7qPz0mVw5uTnXr2cLh9sDf4gJa6eKi8oEbRtYxU=")?;
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("jwks.json"), jwks([&key]))?;
    fs::write(directory.join("public.pem"), pem(&key)?)?;

    let mint = Mint { key, issuer: &issuer, client: &client, now: SystemClock.now() };
    write(&directory.join("good"), &mint.many(count, |serial| mint.good(serial))?)?;
    write(&directory.join("expired"), &mint.many(REFUSED, |serial| mint.expired(serial))?)?;
    write(&directory.join("forged"), &mint.many(REFUSED, |serial| mint.forged(serial))?)?;
    write(&directory.join("foreign"), &mint.many(REFUSED, |serial| mint.foreign(serial))?)
}

impl Mint<'_> {
    /// The tokens that `one` makes of the numbers below `count`, signed on two threads.
    fn many<F>(&self, count: usize, one: F) -> Result<Vec<String>, MintError>
    where
        F: Fn(usize) -> Result<String, LocalPoolError> + Sync,
    {
        let (one, half) = (&one, count / 2);
        thread::scope(|scope| {
            let second = scope.spawn(move || (half..count).map(one).collect::<Result<Vec<_>, _>>());
            let mut tokens = (0..half).map(one).collect::<Result<Vec<_>, _>>()?;
            tokens.extend(second.join().map_err(|_| MintError::Thread)??);
            Ok(tokens)
        })
    }

    fn good(&self, serial: usize) -> Result<String, LocalPoolError> {
        self.key.mint(&self.claims(serial))
    }

    /// One whose time is over.
    fn expired(&self, serial: usize) -> Result<String, LocalPoolError> {
        let past = self.now - LIFETIME;
        self.key.mint(&changed(self.claims(serial), &json!({ "auth_time": past, "iat": past, "exp": past + 3_600 })))
    }

    /// One for another app client.
    fn foreign(&self, serial: usize) -> Result<String, LocalPoolError> {
        self.key.mint(&changed(self.claims(serial), &json!({ "aud": "6another9client12id34efgh" })))
    }

    /// One whose claims are of another user than the one that was signed for.
    fn forged(&self, serial: usize) -> Result<String, LocalPoolError> {
        let (own, other) = (self.good(serial)?, self.good(serial + 1)?);
        let signature = other.rsplit('.').next().unwrap_or_default();
        Ok(own.rsplit_once('.').map(|(signed, _)| format!("{signed}.{signature}")).unwrap_or_default())
    }

    /// An ID token of a user with the attributes that applications commonly ask for.
    fn claims(&self, serial: usize) -> Value {
        let own = json!({
            "sub": format!("{serial:08x}-93e8-4f6d-8c5b-2a1f0e9d8c7b"),
            "jti": format!("{serial:08x}-1c2d-4e3f-9a8b-7c6d5e4f3a2b"),
            "origin_jti": format!("{serial:08x}-6f0b-4a53-9d3e-1f6a2b7c8d9e"),
            "cognito:groups": ["readers", "writers"],
            "cognito:username": format!("user-{serial:08}"),
            "email": format!("user-{serial:08}@example.com"),
            "custom:tenant": "example-tenant",
            "exp": self.now + LIFETIME,
        });
        changed(claims(self.issuer, self.client, TokenUse::Id, self.now), &own)
    }
}

fn changed(mut claims: Value, changes: &Value) -> Value {
    with(&mut claims, changes);
    claims
}

fn write(path: &Path, tokens: &[String]) -> Result<(), MintError> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    for token in tokens {
        writeln!(file, "{token}")?;
    }
    Ok(file.flush()?)
}

/// The public key as those want it who read no JWKS document.
fn pem(key: &SigningKey) -> Result<String, MintError> {
    let jwk = key.jwk();
    let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name).and_then(Value::as_str).unwrap_or_default());
    let der: PublicKeyX509Der<'_> = PublicKeyComponents { n: number("n")?, e: number("e")? }.as_der()?;
    let text = STANDARD.encode(der.as_ref());
    let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PUBLIC KEY-----\n");
    Ok(pem)
}
