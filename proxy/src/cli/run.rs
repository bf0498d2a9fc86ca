//! `cognigate run`: serves.

use std::{
    env,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use thiserror::Error;

use super::{EXIT_BAD_CONFIG, EXIT_FAILURE, report, report_files};
use crate::{
    app::{self, App, Circumstances, StartError},
    config::{self, Loaded},
    lifecycle::{handover::Program, inherited::Inherited, notify::Notifier, signal::Signals},
    runtime::BuildError,
    telemetry::access_log::LogWriters,
    watch::{self, Watch},
};

/// How long the last lines of the access log may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Nobody reads the access log any more.
#[derive(Debug, Error)]
#[error("the end of the access log cannot be written")]
struct UnwrittenLog;

/// Serves the configuration of a file until the process is asked to stop. Says with what status to exit.
#[must_use]
pub fn run(file: &Path) -> u8 {
    // Before there is a second thread, and before the configuration says how many.
    let circumstances = match circumstances(file) {
        Ok(circumstances) => circumstances,
        Err(error) => {
            report(&error);
            return EXIT_FAILURE;
        }
    };
    let loaded = match config::load(file) {
        Ok(loaded) => loaded,
        Err(errors) => {
            // There is nobody to tell if standard error is gone.
            let _ = writeln!(io::stderr(), "{errors}");
            return EXIT_BAD_CONFIG;
        }
    };
    let log_writers = circumstances.log_writers.clone();
    let served = app::on_threads(loaded.config.server, serve(loaded, circumstances));
    // Also the lines of requests that were cut off as the threads ended.
    if !log_writers.flush(FLUSH_TIMEOUT) {
        report(&UnwrittenLog);
    }
    match served {
        Ok(()) => 0,
        Err(StartError::Tls(errors)) => {
            report_files(file, &errors, &mut io::stderr());
            EXIT_BAD_CONFIG
        }
        Err(StartError::Config(BuildError::AccessLog(error))) => {
            report(&error);
            EXIT_BAD_CONFIG
        }
        Err(error) => {
            report(&error);
            EXIT_FAILURE
        }
    }
}

fn circumstances(file: &Path) -> Result<Circumstances, StartError> {
    Ok(Circumstances {
        file: Some(Watch::before_reading(file.to_owned(), watch::INTERVAL)),
        inherited: Inherited::receive()?,
        program: Some(Program::current().map_err(StartError::Program)?),
        notifier: Notifier::find(|name| env::var_os(name)),
        log_writers: LogWriters::default(),
    })
}

async fn serve(loaded: Loaded, circumstances: Circumstances) -> Result<(), StartError> {
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    App::bind(loaded, circumstances)?.serve(async || signals.next().await).await
}
