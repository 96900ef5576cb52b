//! Lines of the logs about sessions: those of the access log and of the error log, as nginx writes them.
//!
//! [`hooks`] observes the sessions of one server and writes the lines; [`messages`], [`attempts`] and [`refusals`] have the texts of
//! the error log.

mod access;
mod attempts;
mod error_logs;
mod escape;
pub(crate) mod hooks;
mod messages;
mod place;
mod refusals;
pub(crate) mod shutdown;
