//! `upgrade`: replaces a process that serves by one of a new binary.

use clap::Args;

use crate::console::print_line;
use crate::operator::error::Exit;
use crate::process::files::conf_path::ConfPath;
use crate::process::send_signal::SignalError;
use crate::process::upgrade::request::{self, UpgradeRequestError, Upgraded};

use super::print::print_error;

/// `upgrade`.
#[derive(Clone, Debug, Args)]
pub(super) struct UpgradeCommand {
    /// Lets the old process serve beside the new one, until an operator ends one of them by SIGQUIT
    #[arg(long)]
    keep_old: bool,
}

impl UpgradeCommand {
    /// Upgrades the process of the pid file of the configuration at `path`.
    pub(super) fn run(&self, path: &ConfPath) -> Exit {
        let config = match path.load() {
            Ok(config) => config,
            // The new process would refuse it, too.
            Err(error) => {
                print_error(&error);
                return Exit::NotAsAsked;
            }
        };
        match request::upgrade(&config.pid.path, config.lb_upgrade_timeout, self.keep_old) {
            Ok(Upgraded { old, new }) => {
                let fate = match self.keep_old {
                    true => "which serves, too, until one of them gets SIGQUIT",
                    false => "which ends with its last session",
                };
                print_line(&format!("process {new} has replaced process {old}, {fate}"));
                Exit::Success
            }
            Err(error) => {
                print_line(&error.to_string());
                exit_of(&error)
            }
        }
    }
}

fn exit_of(error: &UpgradeRequestError) -> Exit {
    match error {
        UpgradeRequestError::Signal { .. } => Exit::Refused,
        UpgradeRequestError::PidFile(SignalError::Open { source, .. })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Exit::Refused
        }
        UpgradeRequestError::PidFile(_)
        | UpgradeRequestError::NotRunning { .. }
        | UpgradeRequestError::Unhandled { .. } => Exit::Unreachable,
        _ => Exit::NotAsAsked,
    }
}
