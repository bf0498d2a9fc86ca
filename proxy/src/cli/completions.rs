//! `cognigate completions SHELL`: what a shell completes the arguments with.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{Cli, EXIT_FAILURE};

/// What to complete for.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArguments {
    /// Whose completions
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Writes a script for the shell to `out`. Returns the exit status: not 0 if it cannot be written.
pub(super) fn run(arguments: &CompletionsArguments, out: &mut dyn Write) -> u8 {
    let mut script = Vec::new();
    generate(arguments.shell, &mut Cli::command(), "cognigate", &mut script);
    let written = out.write_all(&script).and_then(|()| out.flush());
    if written.is_ok() { 0 } else { EXIT_FAILURE }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_completes_every_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            assert_eq!(run(&CompletionsArguments { shell: *shell }, &mut script), 0);
            let script = String::from_utf8(script).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
