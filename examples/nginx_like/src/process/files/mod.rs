//! Files that the process reads or opens again while it serves: the configuration, the logs and the pid file.

pub(crate) mod access;
pub(crate) mod log;
pub(crate) mod patience;
pub(crate) mod pid;
pub(crate) mod walk;
