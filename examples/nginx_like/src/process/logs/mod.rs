//! Opens the logs of a configuration, and writes the messages about no session to its error logs.

mod event_line;
pub(crate) mod logging;
