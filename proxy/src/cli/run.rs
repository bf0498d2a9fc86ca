//! `cognigate run`: serves.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{EXIT_BAD_CONFIG, EXIT_FAILURE, report, stop_signals, survive_hangups};
use crate::{
    app::{self, App, StartError},
    config::{self, Loaded},
};

/// Serves the configuration of a file until the process is asked to stop. Says with what status to exit.
#[must_use]
pub fn run(file: &Path) -> u8 {
    let loaded = match config::load(file) {
        Ok(loaded) => loaded,
        Err(errors) => {
            // There is nobody to tell if standard error is gone.
            let _ = writeln!(io::stderr(), "{errors}");
            return EXIT_BAD_CONFIG;
        }
    };
    match app::on_threads(loaded.config.server, serve(&loaded)) {
        Ok(()) => 0,
        Err(error) => {
            report(&error);
            EXIT_FAILURE
        }
    }
}

async fn serve(Loaded { config, files }: &Loaded) -> Result<(), StartError> {
    survive_hangups()?;
    App::bind(config, files)?.serve(stop_signals()?).await;
    Ok(())
}
