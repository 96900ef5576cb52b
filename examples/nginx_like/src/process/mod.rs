//! The server as a process: its start, reload and end, user, files, logs and signals.

mod admin;
mod build_as_user;
mod control;
mod credentials;
pub(crate) mod daemon;
pub(crate) mod error;
pub(crate) mod files;
pub(crate) mod framing;
pub(crate) mod handled_signals;
pub(crate) mod helper;
mod limits;
pub(crate) mod logs;
pub(crate) mod metrics;
mod missing_command;
pub(crate) mod pidfd;
mod reload;
pub(crate) mod run;
pub(crate) mod send_signal;
pub(crate) mod signals;
pub(crate) mod start_warnings;
mod state_file;
mod task;
pub(crate) mod test_config;
mod unwritable;
pub(crate) mod upgrade;
