//! Files that the process reads or opens again while it serves: the configuration, the logs and the pid file.

pub(crate) mod access;
pub(crate) mod changing_files;
pub(crate) mod conf_path;
pub(crate) mod file_threads;
pub(crate) mod open_log;
pub(crate) mod path_resolution;
pub(crate) mod pid;
pub(crate) mod pid_slot;
pub(crate) mod socket_file;
