//! The readiness file, written in place of a server that cannot.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::SystemTime;

use lb_proxy::readiness_report::{ReadyFileSettings, replace_file};
use tokio::time::Instant;

use super::heartbeat::{FileState, Heartbeat};
use crate::console::print_line;

/// The readiness file, written in place of a server that cannot.
#[derive(Debug)]
pub(super) struct ReadyMark {
    config: ReadyFileSettings,
    heartbeat: Heartbeat,
    /// Whether the server has not renewed the file in time.
    is_late: bool,
    /// Whether the last write failed, which is said once.
    failed: bool,
}

impl ReadyMark {
    pub(super) fn new(config: ReadyFileSettings) -> Self {
        let heartbeat = Heartbeat::new(config.heartbeat, Instant::now());
        Self {
            config,
            heartbeat,
            is_late: false,
            failed: false,
        }
    }

    pub(super) const fn config(&self) -> &ReadyFileSettings {
        &self.config
    }

    pub(super) const fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// Writes that the server is not ready if there is no file, or that of a process that is gone: what reads the file may take a
    /// missing one for readiness.
    pub(super) fn begin(&mut self) {
        let changed = fs::metadata(&self.config.path).and_then(|found| found.modified());
        let age = changed.map(|changed| SystemTime::now().duration_since(changed));
        if !age.is_ok_and(|age| age.unwrap_or_default() <= 2 * self.config.heartbeat) {
            self.write();
        }
    }

    /// Writes that the server is not ready. An error is printed, and [`look`](Self::look) tries again.
    pub(super) fn write(&mut self) {
        let written = write_in_place(&self.config);
        if let Err(error) = &written
            && !self.failed
        {
            let path = self.config.path.display();
            print_line(&format!(
                "[error] supervise: readiness file \"{path}\" not written ({error})"
            ));
        }
        self.failed = written.is_err();
        self.heartbeat.accept(self.state());
    }

    /// Writes that the server is not ready if it has not renewed the file in time. A server that goes on writes it again.
    pub(super) fn look(&mut self) {
        let state = self.state();
        let was_late = self.is_late;
        self.is_late = self.heartbeat.is_late(state, Instant::now());
        match (was_late, self.is_late) {
            (false, true) => {
                self.write();
                print_line("[warn] supervise: no heartbeat of the server: not ready");
            }
            (true, true) if self.failed => self.write(),
            (true, false) => print_line("[notice] supervise: heartbeat of the server again"),
            _ => {}
        }
    }

    /// A server begins, which takes its time until the first heartbeat.
    pub(super) fn renew(&mut self) {
        self.heartbeat = Heartbeat::new(self.config.heartbeat, Instant::now());
        self.is_late = false;
    }

    fn state(&self) -> Option<FileState> {
        let found = fs::metadata(&self.config.path).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec()))
    }
}

/// Writes that the server is not ready into the file that exists, so that it stays the server's, or into a new one.
fn write_in_place(config: &ReadyFileSettings) -> io::Result<()> {
    let content = format!("{}\n", config.not_ready);
    let opened = OpenOptions::new().read(true).write(true).open(&config.path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return replace_file(&config.path, &content).map(drop);
        }
        Err(error) => return Err(error),
    };
    let mut found = vec![0; content.len() + 1];
    let length = file.read_at(&mut found, 0)?;
    if found[..length] == *content.as_bytes() {
        return Ok(());
    }
    // In this order no reader finds the file empty, which keepalived takes for 0; it ignores what follows the number.
    file.write_all_at(content.as_bytes(), 0)?;
    file.set_len(content.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_server_is_changed_in_place_and_a_missing_one_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready");
        let config = ReadyFileSettings::new(path.clone());
        let mut mark = ReadyMark::new(config);
        mark.begin();
        assert_eq!(fs::read_to_string(&path).unwrap(), "-254\n");
        for content in ["0\n", "-254", "1234567890\n", ""] {
            fs::write(&path, content).unwrap();
            let before = fs::metadata(&path).unwrap().ino();
            // One that is being written belongs to a server that runs.
            mark.begin();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            mark.write();
            assert_eq!(fs::read_to_string(&path).unwrap(), "-254\n");
            assert_eq!(fs::metadata(&path).unwrap().ino(), before);
        }
        fs::write(&path, "0\n").unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        mark.begin();
        assert_eq!(fs::read_to_string(&path).unwrap(), "-254\n");
    }
}
