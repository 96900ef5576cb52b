//! The local time as logs and variables write it.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Zoned;

/// The texts of one second.
#[derive(Debug, Default)]
struct Second {
    since_1970: u64,
    /// `2026/11/29 17:02:46`
    error_log: String,
    /// `Nov 29 17:02:46`
    syslog: String,
    /// `29/Nov/2026:17:02:46 +0000`
    access_log: String,
    /// `2026-11-29T17:02:46+00:00`
    iso8601: String,
}

thread_local! {
    static SECOND: RefCell<Second> = RefCell::default();
}

/// Calls `write` with the time as the error log has it: `2026/11/29 17:02:46`.
pub(crate) fn with_error_log_time<T>(write: impl FnOnce(&str) -> T) -> T {
    with_second(|second| write(&second.error_log))
}

/// Calls `write` with the time as syslog has it: `Nov 29 17:02:46`.
pub(crate) fn with_syslog_time<T>(write: impl FnOnce(&str) -> T) -> T {
    with_second(|second| write(&second.syslog))
}

/// Calls `write` with the time as `$time_local` has it: `29/Nov/2026:17:02:46 +0000`.
pub(crate) fn with_access_log_time<T>(write: impl FnOnce(&str) -> T) -> T {
    with_second(|second| write(&second.access_log))
}

/// Calls `write` with the time as `$time_iso8601` has it: `2026-11-29T17:02:46+00:00`.
pub(crate) fn with_iso8601_time<T>(write: impl FnOnce(&str) -> T) -> T {
    with_second(|second| write(&second.iso8601))
}

/// Calls `read` with the texts of the current second. Each thread formats a second once, so most sessions that end compute no
/// calendar.
fn with_second<T>(read: impl FnOnce(&Second) -> T) -> T {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    SECOND.with_borrow_mut(|second| {
        if second.since_1970 != now || second.error_log.is_empty() {
            let time = Zoned::now();
            second.error_log = time.strftime("%Y/%m/%d %H:%M:%S").to_string();
            second.syslog = time.strftime("%b %e %H:%M:%S").to_string();
            second.access_log = time.strftime("%d/%b/%Y:%H:%M:%S %z").to_string();
            second.iso8601 = time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
            second.since_1970 = now;
        }
        read(second)
    })
}
