//! `supervise`: starts a server again after a failure.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::console::print_line;
use crate::process::files::conf_path::ConfPath;
use crate::process::upgrade::invocation::Invocation;
use crate::supervisor::{self, ReadyFileOptions, SupervisionPlan};
use crate::syntax::units;

/// `supervise`.
#[derive(Clone, Debug, Args)]
pub(super) struct SuperviseCommand {
    /// The delay of the first start after a failure; each further delay is twice as long, until the server has run for 10 s
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = time)]
    restart_delay: Duration,

    /// The longest delay
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    max_restart_delay: Duration,

    /// The readiness file [default: that of lb_ready_file]
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,

    /// The number in the readiness file of a server that is not ready [default: that of lb_ready_file, or -254]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    not_ready: Option<i32>,

    /// The age of the readiness file from which the server counts as frozen [default: that of lb_ready_file, or 1s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    heartbeat: Option<Duration>,

    /// The arguments of the server
    #[arg(last = true, value_name = "ARGUMENTS")]
    server: Vec<OsString>,
}

impl SuperviseCommand {
    /// The arguments of the server.
    pub(super) fn server(&self) -> &[OsString] {
        &self.server
    }

    /// Supervises until the server ends as asked. `path` is the configuration that the arguments of the server name.
    pub(super) fn run(&self, path: ConfPath) -> ExitCode {
        let plan = SupervisionPlan {
            program: Invocation::of_process().program,
            arguments: self.server.clone(),
            path,
            ready_file: ReadyFileOptions {
                path: self.ready_file.clone(),
                not_ready: self.not_ready,
                heartbeat: self.heartbeat,
            },
            restart_delay: self.restart_delay,
            longest_delay: self.max_restart_delay,
        };
        supervisor::run(plan).unwrap_or_else(|error| {
            print_line(&format!("[{}] {error}", error.level()));
            ExitCode::FAILURE
        })
    }
}

/// A time as the configuration writes it, of at least 1 ms.
fn time(text: &str) -> Result<Duration, &'static str> {
    let time = units::milliseconds(text).filter(|time| !time.is_zero());
    time.ok_or("write a time such as 500ms or 10s")
}
