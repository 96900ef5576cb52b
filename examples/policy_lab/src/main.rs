//! The binary `policy_lab [SCENARIO|FILE]`; the library does the work.

use std::process::ExitCode;

fn main() -> ExitCode {
    policy_lab::main()
}
