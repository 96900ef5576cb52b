//! Waiting for the end of a process.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a pidfd with the current runtime. It becomes readable when its process ends, and stays so.
#[expect(
    deprecated,
    reason = "deprecated because of types that do not own their descriptor, which this one does; the replacement is unsafe code"
)]
pub(crate) fn register(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}
