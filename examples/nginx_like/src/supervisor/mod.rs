//! `supervise`: starts a server as a child process, starts it again after a failure, and keeps its readiness file true while the
//! server cannot.
//!
//! It is one thread that waits for four things: the end of a process, by a pidfd; signals; a clock; the time of the next start.
//! The pidfd of a process that ends wakes it at once, so the file says "not ready" before the status is read.
//!
//! The processes of the service are the child and, after SIGUSR2, the process of the new binary. The supervisor is a *child
//! subreaper*, so the new process becomes its child when the old one ends, as does a daemon of `daemon on`. Other orphans, such as
//! helper processes, are reaped and mean nothing. The pid file names the main process, as it does for `-s`.

mod descent;
mod heartbeat;
mod plan;
mod ready_mark;
mod restart_delay;
mod service_processes;
mod supervised_signals;
mod watch_loop;

use std::process::ExitCode;

use rustix::process::set_child_subreaper;
use tokio::runtime::Builder;

use crate::process::error::StartError;

pub(crate) use plan::{ReadyFileOptions, SupervisionPlan};

/// Supervises a server until it ends as asked. Returns its exit code; that of a signal is 128 and the number of the signal.
///
/// # Errors
///
/// If the system refuses what supervision needs. A server that cannot be started is no error: it is started again.
pub(crate) fn run(plan: SupervisionPlan) -> Result<ExitCode, StartError> {
    let system = |call: &str| {
        let call = call.to_owned();
        |source| StartError::System { call, source }
    };
    let own = Some(rustix::process::getpid());
    set_child_subreaper(own)
        .map_err(|errno| system("prctl(PR_SET_CHILD_SUBREAPER)")(errno.into()))?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::Runtime)?;
    let ended = runtime.block_on(watch_loop::run(plan));
    ended.map_err(system("waiting for the server"))
}
