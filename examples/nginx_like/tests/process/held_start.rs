//! A start that waits where the configuration is read.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::proxy::NginxLike;
use crate::sockets::eventually;

/// A process that reads the configuration while this exists waits for it, in the middle of its start: that of a new binary has
/// received the sockets then, and handles no signal yet.
pub(crate) struct HeldStart {
    /// The file of the configuration, a FIFO for now.
    path: PathBuf,
    text: String,
}

impl HeldStart {
    /// Holds the next process that reads the configuration of `proxy`.
    pub(crate) fn of(proxy: &NginxLike) -> Self {
        let path = proxy.dir().join("test.conf");
        let text = fs::read_to_string(&path).unwrap();
        let held = Self { path, text };
        held.hold();
        held
    }

    fn hold(&self) {
        let fifo = self.path.with_extension("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o644), 0).unwrap();
        fs::rename(fifo, &self.path).unwrap();
    }

    /// Whether a process waits.
    pub(crate) fn is_reached(&self) -> bool {
        self.open().is_some()
    }

    /// Waits until a process waits. It goes on waiting.
    pub(crate) async fn reached(&self) -> File {
        let mut open = None;
        eventually("a process that reads the configuration", || {
            open = self.open();
            open.is_some()
        })
        .await;
        open.expect("one that was just opened")
    }

    /// Lets the process that waits go on with the configuration, and holds the next one.
    pub(crate) fn hold_next(&self, mut waiting: File) {
        self.hold();
        waiting.write_all(self.text.as_bytes()).unwrap();
    }

    /// Lets the process that waits go on with the configuration.
    pub(crate) fn go_on(self, mut waiting: File) {
        let file = self.path.with_extension("file");
        fs::write(&file, &self.text).unwrap();
        fs::rename(file, &self.path).unwrap();
        waiting.write_all(self.text.as_bytes()).unwrap();
    }

    /// The writing end of the FIFO, if a process reads it.
    fn open(&self) -> Option<File> {
        let mut options = File::options();
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        options
            .write(true)
            .custom_flags(flags)
            .open(&self.path)
            .ok()
    }
}
