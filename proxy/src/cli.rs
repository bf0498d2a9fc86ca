//! The command line: one file a command.

pub mod check;
mod completions;
pub mod demo;
pub mod explain;
pub mod run;
pub mod schema;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    telemetry::{self, log::with_causes},
    tls::load::TlsErrors,
};

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
    /// Prints what a shell completes the arguments with
    Completions(completions::CompletionsArguments),
    /// Shows the proxy at work on loopback, with a user pool and an upstream of its own
    Demo(demo::DemoArguments),
    /// Says what would be done with a request, and which rules its token meets
    Explain(explain::ExplainArguments),
    /// Serves; logs to standard error
    Run(ConfigArgument),
    /// Prints the JSON Schema of the configuration, for editors
    Schema,
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
        Command::Completions(arguments) => completions::run(&arguments, &mut io::stdout()),
        Command::Demo(arguments) => with_runtime(|| demo::run(&arguments)),
        Command::Explain(arguments) => explain::run(&arguments, &mut io::stdout(), &mut io::stderr()),
        Command::Run(ConfigArgument { config }) => with_runtime(|| run::run(&config)),
        Command::Schema => schema::run(&mut io::stdout()),
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

/// Prints what is wrong with the files that a configuration names, one line each.
fn report_files(file: &Path, errors: &TlsErrors, err: &mut dyn Write) {
    for line in errors.lines() {
        // There is nobody to tell if standard error is gone.
        let _ = writeln!(err, "{}: {line}", file.display());
    }
}

/// Prints an error and its causes, one line.
fn report(error: &dyn std::error::Error) {
    // There is nobody to tell if standard error is gone.
    let _ = writeln!(io::stderr(), "cognigate: {}", with_causes(error));
}
