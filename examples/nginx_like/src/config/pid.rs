//! `pid`: the file with the process id.

use std::path::PathBuf;

/// Where nginx keeps it, below the prefix.
pub(crate) const DEFAULT: &str = "logs/nginx.pid";

/// The file with the process id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PidPath {
    pub(crate) path: PathBuf,
    /// The configuration has no `pid`. A file that cannot be opened then is done without.
    pub(crate) is_default: bool,
}
