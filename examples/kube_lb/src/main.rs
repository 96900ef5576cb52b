//! The binary: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    kube_lb::cli::main()
}
