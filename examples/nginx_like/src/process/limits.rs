//! Limits of the process.

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
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

/// Sets the limit of the size of core files, which stays as it is by default.
pub(crate) fn limit_core(wanted: Option<u64>) {
    let Some(wanted) = wanted else { return };
    let limit = Rlimit {
        current: Some(wanted),
        maximum: Some(wanted),
    };
    if let Err(error) = setrlimit(Resource::Core, limit) {
        warn!(wanted, %error, "Limit of core files not changed");
    }
}

/// Sets the nice value of this thread and of those that it starts from now on.
pub(crate) fn set_priority(wanted: Option<i32>) {
    let Some(wanted) = wanted else { return };
    if let Err(error) = setpriority_process(None, wanted) {
        warn!(wanted, %error, "Priority not changed");
    }
}
