//! The file with the process id.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use crate::helper::Helper;

/// A pid file that there is. Dropping this removes the file.
#[derive(Debug)]
pub(crate) enum PidGuard {
    Own(PidFile),
    ByHelper(HelperPid),
}

impl PidGuard {
    /// One that `helper` has written.
    pub(crate) fn by_helper(path: &Path, helper: &Arc<Helper>) -> Self {
        Self::ByHelper(HelperPid {
            path: path.to_owned(),
            helper: Arc::clone(helper),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Own(file) => file.path(),
            Self::ByHelper(file) => &file.path,
        }
    }
}

/// A pid file that the helper has written and removes.
#[derive(Debug)]
pub(crate) struct HelperPid {
    path: PathBuf,
    helper: Arc<Helper>,
}

impl Drop for HelperPid {
    fn drop(&mut self) {
        // A helper that has ended has removed it.
        let _ = self.helper.remove_pid(&self.path);
    }
}

/// The file with the process id. Dropping this removes the file, unless another process has written its own id to it.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    content: String,
    file: File,
}

impl PidFile {
    /// Writes the id `pid` to `path`.
    pub(crate) fn write(path: &Path, pid: u32) -> io::Result<Self> {
        let content = format!("{pid}\n");
        let mut file = File::create(path)?;
        file.write_all(content.as_bytes())?;
        Ok(Self {
            path: path.to_owned(),
            content,
            file,
        })
    }

    /// Whether one could be written at `path`. As with nginx an empty one may stay there; what one says is left alone.
    pub(crate) fn check(path: &Path) -> io::Result<()> {
        let opened = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        opened.map(drop)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn remove(&self) -> io::Result<()> {
        // A successor that has started already has written its own id, or its own file.
        if fs::read(&self.path)? != self.content.as_bytes() {
            return Ok(());
        }
        // A user that may not remove the file can empty it at least, so that it names no process.
        fs::remove_file(&self.path).or_else(|_| self.file.set_len(0))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        match self.remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(path = %self.path.display(), %error, "The pid file stays behind");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_content_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.pid");
        drop(PidFile::write(&path, 17).unwrap());
        assert!(!path.exists());
        // The successor writes into the same file, or replaces it.
        let replace: [fn(&Path); 2] = [
            |path| fs::write(path, "18\n").unwrap(),
            |path| {
                let new = path.with_extension("new");
                fs::write(&new, "18\n").unwrap();
                fs::rename(new, path).unwrap();
            },
        ];
        for replace in replace {
            let file = PidFile::write(&path, 17).unwrap();
            replace(&path);
            drop(file);
            assert_eq!(fs::read_to_string(&path).unwrap(), "18\n");
        }
        // One that is gone already is no reason for a warning.
        let file = PidFile::write(&path, 17).unwrap();
        fs::remove_file(&path).unwrap();
        file.remove().unwrap_err();
        drop(file);
    }
}
