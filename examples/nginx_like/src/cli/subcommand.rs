//! The subcommands, beside nginx's options.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Error, Parser, Subcommand};

use super::Arguments;
use super::completions::CompletionsCommand;
use super::man::ManCommand;
use super::supervise::SuperviseCommand;
use super::upgrade::UpgradeCommand;
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
    /// Starts a server, starts it again after a failure, and says in its readiness file when it cannot
    ///
    /// For machines and containers without systemd. A server that ends by a signal or with an error is started again; one that ends
    /// as asked ends the supervisor, with the same exit code. The file of lb_ready_file says that the server is not ready within
    /// milliseconds of the end of its process, and when a process that was stopped or hangs has not renewed it within the heartbeat and a
    /// quarter. Signals are passed on: SIGINT, SIGQUIT, SIGTERM and SIGUSR1 to all processes of the service, SIGHUP, SIGUSR2 and
    /// SIGWINCH to that of the pid file, as which a new binary after SIGUSR2 is followed.
    Supervise(SuperviseCommand),
    /// Replaces the process that serves by one of the new binary: no connection is refused, no session is cut
    ///
    /// Sends SIGUSR2 to the process of the pid file of the configuration, waits until the process of the new binary serves, and sends
    /// SIGQUIT to the old one, which ends with its last session or after worker_shutdown_timeout. A new binary that ends, or that
    /// is not ready within lb_upgrade_timeout, changes nothing: the exit code is 1, and the error log of the server has the
    /// reason.
    Upgrade(UpgradeCommand),
}

impl CliCommand {
    /// Runs the subcommand.
    pub(super) fn run(&self, arguments: &Arguments) -> ExitCode {
        let exit = match self {
            _ if arguments.has_option_of_server() => usage_error(),
            Self::Supervise(_) if arguments.conf.is_some() || arguments.prefix.is_some() => {
                usage_error_of("the options of the server stand behind \"--\"")
            }
            Self::Supervise(command) => return supervise(command),
            Self::Operator(command) => command.run(&arguments.path()),
            Self::Completions(command) => command.run(Arguments::command()),
            Self::Man(command) => command.run(Arguments::command()),
            Self::Upgrade(command) => command.run(&arguments.path()),
        };
        ExitCode::from(exit as u8)
    }
}

/// Runs `supervise` if its server is one that serves a configuration.
fn supervise(command: &SuperviseCommand) -> ExitCode {
    let words = [OsString::from("nginx_like")].into_iter();
    let words = words.chain(command.server().iter().cloned());
    let exit = match Arguments::try_parse_from(words) {
        Ok(server) if server.serves_configuration() => return command.run(server.path()),
        Ok(_) => {
            usage_error_of("behind \"--\" stand options of a server that serves a configuration")
        }
        Err(error) => usage_error_of(&error.to_string()),
    };
    ExitCode::from(exit as u8)
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
    usage_error_of("a subcommand takes -c and -p of nginx's options only")
}

fn usage_error_of(text: &str) -> Exit {
    let error: Error = Arguments::command().error(ErrorKind::ArgumentConflict, text);
    let _ = error.print();
    Exit::Usage
}
