//! The name of this machine, in small letters: `$hostname`, and in lines to syslog.

use std::sync::OnceLock;

use rustix::system::uname;

/// Asked of the system once.
pub(crate) fn host_name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| uname().nodename().to_string_lossy().to_ascii_lowercase())
}
