//! The process around the proxy: user, files, logs, signals, and the start, reload and end of the server.

pub(crate) mod control;
pub(crate) mod files;
pub(crate) mod helper;
pub(crate) mod logs;
pub(crate) mod reload;
pub(crate) mod run;
pub(crate) mod send_signal;
pub(crate) mod user;
