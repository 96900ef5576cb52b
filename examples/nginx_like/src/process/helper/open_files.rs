//! The files that the helper removes at its end.

use std::path::Path;
use std::time::Duration;

use crate::process::files::changing_files::ChangingFiles;
use crate::process::files::pid::PidFile;
use crate::process::files::socket_file::SocketFile;

/// How long the end waits for changes of files that are under way. Shorter than the server waits for the helper.
const LAST_CHANGE: Duration = Duration::from_millis(500);

/// The files that the helper removes at its end, for all threads.
pub(super) type SharedFiles = ChangingFiles<OpenFiles>;

/// Files that are removed when they are dropped.
#[derive(Default)]
pub(super) struct OpenFiles {
    pub(super) pids: Vec<PidFile>,
    pub(super) sockets: Vec<SocketFile>,
}

impl SharedFiles {
    /// Removes all files, at the end of the process. Waits for changes that are under way, but not for a file that hangs.
    pub(super) fn remove_all(&self) {
        let mut files = self.lock_unchanging(LAST_CHANGE);
        drop(std::mem::take(&mut files.pids));
        drop(std::mem::take(&mut files.sockets));
    }
}

impl OpenFiles {
    pub(super) fn keep_sockets(&mut self, keeps: bool) {
        for file in &mut self.sockets {
            file.keep(keeps);
        }
    }

    /// Takes the pid file that was opened at `path` out.
    pub(super) fn take_pid(&mut self, path: &Path) -> Option<PidFile> {
        let mut files = self.pids.iter();
        let found = files.position(|file| file.opened_at() == path)?;
        Some(self.pids.swap_remove(found))
    }

    pub(super) fn take_socket(&mut self, path: &Path) -> Option<SocketFile> {
        let mut files = self.sockets.iter();
        let found = files.position(|file| file.path() == path)?;
        Some(self.sockets.swap_remove(found))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn the_end_waits_for_a_change_and_removes_the_file_under_its_new_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.pid");
        let files = Arc::new(SharedFiles::default());
        let mut file = PidFile::open(&path, None).unwrap();
        file.write(17).unwrap();
        let change = files.begin_change();
        file.retire().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| files.remove_all());
            files.lock().pids.push(file);
            drop(change);
        });
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
        // One that hangs does not keep the process.
        let _hangs = files.begin_change();
        files.remove_all();
    }
}
