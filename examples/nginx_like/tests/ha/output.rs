//! Lines for the person that runs the tests.

use std::io::{self, Write};

/// Prints a line also if the test passes: the harness captures only what the macros print.
pub(crate) fn show(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
