//! `cognigate check`: whether a configuration can be served, without the network.

use std::{io::Write, path::Path};

use super::{EXIT_BAD_CONFIG, report_files};
use crate::{
    config::{self, Loaded, model::Config},
    tls,
};

/// Checks a file: `ok: N routes, N upstreams, N user pools` on `out`, or the errors on `err`, one a line. Returns the exit
/// status, which says the same: where nobody reads what is written, the file is no better or worse.
#[must_use]
pub fn run(file: &Path, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match config::load(file) {
        Ok(Loaded { config, files: _ }) => {
            if let Err(errors) = tls::load::load(&config, |_| None) {
                report_files(file, &errors, err);
                return EXIT_BAD_CONFIG;
            }
            let Config { routes, upstreams, user_pools, .. } = config;
            let (routes, upstreams, user_pools) = (routes.len(), upstreams.len(), user_pools.len());
            let _ = writeln!(out, "ok: {routes} routes, {upstreams} upstreams, {user_pools} user pools");
            0
        }
        Err(errors) => {
            let _ = writeln!(err, "{errors}");
            EXIT_BAD_CONFIG
        }
    }
}
