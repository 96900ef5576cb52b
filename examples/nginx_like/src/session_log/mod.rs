//! What the logs tell of sessions: the lines of the access log and of the error log, as nginx writes them.
//!
//! [`hooks`] observes the sessions of one server and writes the lines; [`messages`] has the texts of the error log.

mod access;
mod error_logs;
mod escape;
pub(crate) mod hooks;
mod messages;
pub(crate) mod shutdown;
