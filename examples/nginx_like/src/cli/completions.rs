//! `completions`: scripts for shells.

use std::io::{self, Write};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::operator::error::Exit;

/// `completions`.
#[derive(Clone, Debug, Args)]
pub(super) struct CompletionsCommand {
    /// The shell that the script is for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl CompletionsCommand {
    /// Prints the script for the command line `command`.
    pub(super) fn run(&self, mut command: Command) -> Exit {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        // A closed output leaves no place to report that to.
        let _ = io::stdout().write_all(&script);
        Exit::Success
    }
}
