//! `nginx_like [-c FILE]`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    nginx_like::main()
}
