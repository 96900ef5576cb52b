//! The local time as logs write it.

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

/// Each thread formats a second once.
fn with_second<T>(read: impl FnOnce(&Second) -> T) -> T {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    SECOND.with_borrow_mut(|second| {
        if second.since_1970 != now || second.error_log.is_empty() {
            let time = Zoned::now();
            second.error_log = time.strftime("%Y/%m/%d %H:%M:%S").to_string();
            second.syslog = time.strftime("%b %e %H:%M:%S").to_string();
            second.since_1970 = now;
        }
        read(second)
    })
}
