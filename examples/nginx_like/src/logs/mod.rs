//! Logs as files, pipes and syslog servers: bounded queues, the threads that write them, and the form of lines.
//!
//! A thread that logs never waits: what does not fit into a queue is dropped and counted. A log has a thread only while it
//! has lines to write.

mod chunk;
mod flush_timer;
pub(crate) mod level;
pub(crate) mod line;
pub(crate) mod path_cache;
mod queue;
pub(crate) mod rate;
pub(crate) mod sink;
pub(crate) mod sinks;
pub(crate) mod syslog;
mod writer;
