//! Lines on the standard error stream, for what happens outside of the logs.

use std::io::{self, Write};

use lb_core::Escaped;

/// Prints a line to the standard error stream under the program's name.
pub(crate) fn print_line(message: &str) {
    // A closed stream leaves no place to report that to.
    let _ = writeln!(io::stderr(), "nginx_like: {}", Escaped(message));
}
