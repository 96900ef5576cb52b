//! `policy_lab [SCENARIO|FILE]`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    policy_lab::main()
}
