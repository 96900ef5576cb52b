//! The binary: see the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// As in nginx_like, and without the fragmentation that plans and sets of backends leave behind, which are built and dropped as a whole.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    kube_lb::cli::main()
}
