//! Opens the logs of a configuration, and writes the messages about no session to its error logs.

pub(crate) mod configured;
mod event_line;
mod filter;
pub(crate) mod logging;
mod message_writer;
pub(crate) mod open_logs;
