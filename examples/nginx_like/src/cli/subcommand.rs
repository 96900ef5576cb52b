//! The subcommands, which stand beside nginx's options.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Error, Subcommand};

use super::Arguments;
use super::completions::CompletionsCommand;
use super::man::ManCommand;
use crate::operator::commands::OperatorCommand;
use crate::operator::error::Exit;

/// A subcommand.
#[derive(Debug, Subcommand)]
pub(super) enum CliCommand {
    #[command(flatten)]
    Operator(Box<OperatorCommand>),
    /// Prints a script that completes this command line in a shell
    Completions(CompletionsCommand),
    /// Prints or writes the man pages
    Man(ManCommand),
}

impl CliCommand {
    /// Runs the subcommand.
    pub(super) fn run(&self, arguments: &Arguments) -> ExitCode {
        let exit = match self {
            _ if arguments.has_option_of_server() => usage_error(),
            Self::Operator(command) => command.run(&arguments.path()),
            Self::Completions(command) => command.run(Arguments::command()),
            Self::Man(command) => command.run(Arguments::command()),
        };
        ExitCode::from(exit as u8)
    }
}

/// The exit code of a command line with the mistake `error`: nginx's without a subcommand.
pub(super) fn usage_exit(line: &[OsString], error: &Error) -> ExitCode {
    // A mistyped name.
    if error.kind() == ErrorKind::InvalidSubcommand {
        return ExitCode::from(Exit::Usage as u8);
    }
    let lenient = Arguments::command().ignore_errors(true);
    let matches = lenient.try_get_matches_from(line);
    match matches.is_ok_and(|matches| matches.subcommand_name().is_some()) {
        true => ExitCode::from(Exit::Usage as u8),
        false => ExitCode::FAILURE,
    }
}

fn usage_error() -> Exit {
    let text = "a subcommand takes -c and -p of nginx's options only";
    let error: Error = Arguments::command().error(ErrorKind::ArgumentConflict, text);
    let _ = error.print();
    Exit::Usage
}
