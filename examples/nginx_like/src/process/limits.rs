//! Limits of the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Sets the limit of open files to `wanted`, by default to the hard limit.
pub(crate) fn limit_files(wanted: Option<u64>) {
    let hard = getrlimit(Resource::Nofile).maximum;
    let limit = wanted.map_or(
        Rlimit {
            current: hard,
            maximum: hard,
        },
        |wanted| Rlimit {
            current: Some(wanted),
            maximum: Some(wanted),
        },
    );
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(?wanted, %error, "Limit of open files not changed");
    }
}
