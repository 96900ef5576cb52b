//! The settings of the readiness file.

use std::path::PathBuf;
use std::time::Duration;

/// Where the readiness file is, and what it says.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadyFileSettings {
    /// The file. Its directory must exist, be writable by the process, and had better be in memory, such as `/run`.
    pub path: PathBuf,
    /// See [`ready`](Self::ready).
    pub ready: i32,
    /// See [`not_ready`](Self::not_ready).
    pub not_ready: i32,
    /// See [`leaving`](Self::leaving).
    pub leaving: i32,
    /// See [`heartbeat`](Self::heartbeat).
    pub heartbeat: Duration,
}

impl ReadyFileSettings {
    /// The file at `path` with the defaults.
    pub const fn new(path: PathBuf) -> Self {
        Self {
            path,
            ready: 0,
            not_ready: -254,
            leaving: -254,
            heartbeat: Duration::from_secs(1),
        }
    }

    /// Sets the number while the server is ready. Default: 0.
    #[must_use]
    pub const fn ready(mut self, number: i32) -> Self {
        self.ready = number;
        self
    }

    /// Sets the number while the server is not ready, which must differ from that of [`ready`](Self::ready). Default: -254, which
    /// takes a VRRP instance of keepalived out with a weight of 0 as well as with one of 1.
    #[must_use]
    pub const fn not_ready(mut self, number: i32) -> Self {
        self.not_ready = number;
        self
    }

    /// Sets the number once the shutdown has begun. Default: -254.
    #[must_use]
    pub const fn leaving(mut self, number: i32) -> Self {
        self.leaving = number;
        self
    }

    /// Sets the heartbeat: the file is never older than this while the process is alive. Default: 1 s.
    #[must_use]
    pub const fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }
}
