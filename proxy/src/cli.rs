//! The command line: one file a command.

pub mod check;
pub mod demo;
pub mod explain;
pub mod run;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{app::StartError, telemetry};

/// A bad configuration: `EX_CONFIG` of sysexits.h.
pub const EXIT_BAD_CONFIG: u8 = 78;

/// Anything else that went wrong.
pub const EXIT_FAILURE: u8 = 1;

/// An edge proxy that verifies Amazon Cognito tokens in front of HTTP services.
#[derive(Debug, Parser)]
#[command(name = "cognigate", version = version(), propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks everything in a configuration that can be checked without the network
    Check(ConfigArgument),
    /// Shows the proxy at work on loopback, with a user pool and an upstream of its own
    Demo(demo::DemoArguments),
    /// Says what would be done with a request, and which rules its token meets
    Explain(explain::ExplainArguments),
    /// Serves; logs to standard error
    Run(ConfigArgument),
}

#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// The configuration, a YAML file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

const fn version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("COGNIGATE_COMMIT"), ")")
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return print(&answer),
    };
    let status = match cli.command {
        Command::Check(ConfigArgument { config }) => check::run(&config, &mut io::stdout(), &mut io::stderr()),
        Command::Demo(arguments) => with_runtime(|| demo::run(&arguments)),
        Command::Explain(arguments) => explain::run(&arguments, &mut io::stdout(), &mut io::stderr()),
        Command::Run(ConfigArgument { config }) => with_runtime(|| run::run(&config)),
    };
    ExitCode::from(status)
}

/// Prepares the process for serving.
fn with_runtime(command: impl FnOnce() -> u8) -> u8 {
    telemetry::log::init();
    // First of all, because Pingora would install another. Fails only if there is one, which was then installed on purpose.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    command()
}

/// Prints help, a version or a mistake in the arguments. `EXIT_FAILURE` only for the last.
fn print(answer: &clap::Error) -> ExitCode {
    let is_printed = answer.print().is_ok();
    if answer.use_stderr() || !is_printed { ExitCode::from(EXIT_FAILURE) } else { ExitCode::SUCCESS }
}

/// Prints an error and its causes, one line.
fn report(error: &dyn std::error::Error) {
    // There is nobody to tell if standard error is gone.
    let _ = writeln!(io::stderr(), "cognigate: {}", with_causes(error));
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// Keeps SIGHUP, by which an operator asks for a reload, from ending the process.
///
/// # Errors
///
/// [`StartError::Signals`].
fn survive_hangups() -> Result<(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup()).map_err(StartError::Signals)?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::warn!("SIGHUP: a changed configuration needs a restart");
        }
    });
    Ok(())
}

/// Done when the process is asked to stop, by SIGTERM or SIGINT. Each call waits for one more.
///
/// # Errors
///
/// [`StartError::Signals`].
fn stop_signals() -> Result<impl AsyncFnMut(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    Ok(async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
