//! `revocation`, as written.

use serde::Deserialize;

use super::{Period, Scalar};

/// `revocation`
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct RevocationSection {
    pub(in crate::config) file: Option<Scalar<String>>,
    pub(in crate::config) state_file: Option<Scalar<String>>,
    pub(in crate::config) max_entries: Scalar<u64>,
    pub(in crate::config) redis: Option<RedisSection>,
}

impl Default for RevocationSection {
    fn default() -> Self {
        Self { file: None, state_file: None, max_entries: Scalar(1_000_000), redis: None }
    }
}

/// `revocation.redis`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct RedisSection {
    pub(in crate::config) url: Scalar<String>,
    pub(in crate::config) ca: Option<Scalar<String>>,
    pub(in crate::config) username: Option<Scalar<String>>,
    pub(in crate::config) password_file: Option<Scalar<String>>,
    #[serde(default = "revocations")]
    pub(in crate::config) key: Scalar<String>,
    #[serde(default = "one_second")]
    pub(in crate::config) timeout: Scalar<Period>,
}

fn revocations() -> Scalar<String> {
    Scalar("cognigate:revocations".to_owned())
}

const fn one_second() -> Scalar<Period> {
    Scalar(Period::seconds(1))
}
