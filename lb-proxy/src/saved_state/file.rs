//! The state in a file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;

use super::SavedState;
use super::json::SavedStateError;

/// The largest file that is read: some hundred thousand backends.
const LIMIT: u64 = 64 << 20;

impl SavedState {
    /// Writes the state to `path`: to a new file beside it, which is written to the disk and then takes its name, so that a crash
    /// leaves the old file or the new one. Only its user may read the file. Blocks.
    ///
    /// # Errors
    ///
    /// Those of the file system. The old file stays then. [`FileTooLarge`](io::ErrorKind::FileTooLarge) for a state that
    /// [`read_file`](Self::read_file) would refuse.
    pub fn write_file(&self, path: &Path) -> io::Result<()> {
        let json = self.to_json();
        if json.len() as u64 > LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let temporary = temporary(path)?;
        let _ = fs::remove_file(&temporary);
        let written = write_new(&temporary, &json).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written?;
        // The rename is on the disk once the directory is.
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }

    /// Reads what [`write_file`](Self::write_file) has written. `None` if there is no file. Blocks.
    ///
    /// # Errors
    ///
    /// [`SavedStateError`]: the file cannot be used, and the server starts without it.
    pub fn read_file(path: &Path, now: SystemTime) -> Result<Option<Self>, SavedStateError> {
        match read(path) {
            Ok(json) if json.len() as u64 > LIMIT => {
                Err(SavedStateError::TooLarge { limit: LIMIT })
            }
            Ok(json) => Self::from_json(&json, now).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SavedStateError::Io { source }),
        }
    }
}

/// At most one byte more than the limit.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    // A FIFO without a writer must not block the start.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = options.read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        let what = "it is no regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The name of a file in the same directory that no other process writes.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    Ok(path.with_file_name(hidden))
}
