//! The form of a line of the error log.

use std::fmt::{self, Write};
use std::io;

use rustix::process::getpid;
use rustix::thread::gettid;

use super::level::LogLevel;
use crate::local_time::with_error_log_time;

thread_local! {
    static THREAD: i32 = gettid().as_raw_nonzero().get();
}

/// A line as nginx writes it: `2026/11/29 17:02:46 [error] PID#TID: MESSAGE`. `message` must be one line.
pub(crate) fn line(level: LogLevel, message: fmt::Arguments<'_>) -> String {
    let mut line = String::with_capacity(256);
    // Writing to a string does not fail.
    let _ = begin(level, &mut line);
    let _ = writeln!(line, "{message}");
    line
}

/// Writes the part of a line before its message.
pub(crate) fn begin(level: LogLevel, line: &mut impl Write) -> fmt::Result {
    let level = level.name();
    let pid = getpid().as_raw_nonzero();
    let thread = THREAD.with(|thread| *thread);
    with_error_log_time(|time| write!(line, "{time} [{level}] {pid}#{thread}: "))
}

/// An error of the system as nginx writes it: `111: Connection refused`.
pub(crate) fn os_error(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => errno_text(errno),
        None => error.to_string(),
    }
}

/// The number of a system error and its text.
pub(crate) fn errno_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    // The standard library appends the number in brackets.
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("{errno}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_that_of_nginx() {
        let line = line(LogLevel::Warn, format_args!("*1 message"));
        let (time, rest) = line.split_at("2026/11/29 17:02:46".len());
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000/00/00 00:00:00");
        let pid = std::process::id();
        assert!(rest.starts_with(&format!(" [warn] {pid}#")), "{line}");
        assert!(rest.ends_with(": *1 message\n"), "{line}");
    }
}
