//! The state in a file.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;
use tempfile::Builder;

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
        // Beside it, readable by its user alone, with a name that no other process or container chooses.
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new("."));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut new = Builder::new()
            .prefix(&prefix)
            .make_in(directory, |path| options.open(path))?;
        new.write_all(json.as_ref())?;
        new.as_file().sync_all()?;
        new.persist(path)?;
        // The rename is on the disk once the directory is.
        File::open(directory)?.sync_all()
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
