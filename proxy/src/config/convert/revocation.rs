//! `revocation`: which tokens are refused although they are valid.

use std::ops::RangeInclusive;

use super::{NamedFiles, printable, where_given};
use crate::config::{
    file::{Period, RedisSection, RevocationSection, Scalar},
    finding::At,
    model::{RedisConfig, RevocationConfig},
    redis::RedisAddress,
    rule::BrokenRule,
};

/// `max_entries`. More than this is a typing mistake: a gigabyte and a half.
const MAX_ENTRIES: RangeInclusive<u64> = 1..=16_777_216;

/// `redis.timeout`: what a connection to another machine needs, and what somebody who revokes will wait.
const TIMEOUT: RangeInclusive<Period> = Period::milliseconds(100)..=Period::seconds(10);

pub(super) fn revocation(section: RevocationSection, files: &mut NamedFiles, at: &At<'_>) -> Option<RevocationConfig> {
    let RevocationSection { file, state_file, max_entries: Scalar(max_entries), redis: redis_section } = section;
    let file = files.read_where_given(file, &at.field("file"));
    let state_file = files.write_where_given(state_file, &at.field("state_file"));
    let max_entries = at.field("max_entries").within(max_entries, &MAX_ENTRIES);
    let redis = redis_section.map(|section| redis(section, files, &at.field("redis")));
    Some(RevocationConfig {
        file: file?,
        state_file: state_file?,
        max_entries: usize::try_from(max_entries?).ok()?,
        redis: where_given(redis)?,
    })
}

fn redis(section: RedisSection, files: &mut NamedFiles, at: &At<'_>) -> Option<RedisConfig> {
    let RedisSection { url: Scalar(url), ca, username, password_file, key: Scalar(key), timeout: Scalar(timeout) } =
        section;
    let address = at.field("url").accept(url.parse::<RedisAddress>());
    if ca.is_some() && address.as_ref().is_some_and(|address| !address.is_tls) {
        at.field("ca").report(BrokenRule::AuthorityWithoutTls);
    }
    if username.is_some() && password_file.is_none() {
        at.field("username").report(BrokenRule::UserWithoutPassword);
    }
    let ca = files.read_where_given(ca, &at.field("ca"));
    let username = match username {
        Some(Scalar(username)) => printable(username, &at.field("username")).map(Some),
        None => Some(None),
    };
    let password_file = files.read_where_given(password_file, &at.field("password_file"));
    let key = printable(key, &at.field("key"));
    let timeout = at.field("timeout").within(timeout, &TIMEOUT);
    Some(RedisConfig {
        address: address?,
        ca: ca?,
        username: username?,
        password_file: password_file?,
        key: key?,
        timeout: timeout?.0,
    })
}
