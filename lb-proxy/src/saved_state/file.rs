//! The state in a file.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;
use tempfile::Builder;

use super::SavedState;
use super::json::SavedStateError;

/// The largest file that is read, unless another limit is set: some hundred thousand backends.
const LIMIT: u64 = 64 << 20;

/// A file that one process replaces as a whole, and from which the next one begins. For a program that keeps more than a
/// [`SavedState`], with the same care.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
    limit: u64,
}

impl StateFile {
    /// The file at `path`, of at most 64 MiB.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            limit: LIMIT,
        }
    }

    /// Sets the most bytes that are written and read. Default: 64 MiB.
    #[must_use]
    pub const fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `content` to a new file beside it, which is written to the disk and then takes its name, so that a crash
    /// leaves the old file or the new one. Only its user may read the file. Blocks.
    ///
    /// # Errors
    ///
    /// Those of the file system. The old file stays then. [`FileTooLarge`](io::ErrorKind::FileTooLarge) for more than the limit.
    pub fn write(&self, content: &[u8]) -> io::Result<()> {
        if content.len() as u64 > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // Beside it, readable by its user alone, with a name that no other process or container chooses.
        let name = self.path.file_name();
        let name = name.ok_or(io::ErrorKind::InvalidInput)?;
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let directory = self.path.parent();
        let directory = directory.filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new("."));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut new = Builder::new()
            .prefix(&prefix)
            .make_in(directory, |path| options.open(path))?;
        new.write_all(content)?;
        new.as_file().sync_all()?;
        new.persist(&self.path)?;
        // The rename is on the disk once the directory is.
        File::open(directory)?.sync_all()
    }

    /// Reads what [`write`](Self::write) has written. `None` if there is no file. Blocks.
    ///
    /// # Errors
    ///
    /// [`SavedStateError::Io`] and [`SavedStateError::TooLarge`].
    pub fn read(&self) -> Result<Option<Vec<u8>>, SavedStateError> {
        let limit = self.limit;
        match self.read_some() {
            Ok(content) if content.len() as u64 > limit => Err(SavedStateError::TooLarge { limit }),
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SavedStateError::Io { source }),
        }
    }

    /// At most one byte more than the limit.
    fn read_some(&self) -> io::Result<Vec<u8>> {
        let mut options = OpenOptions::new();
        // A FIFO without a writer must not block the start.
        let flags = OFlags::NONBLOCK.bits() as i32;
        let file = options.read(true).custom_flags(flags).open(&self.path)?;
        if !file.metadata()?.is_file() {
            let what = "it is no regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let mut bytes = Vec::new();
        file.take(self.limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl SavedState {
    /// Writes the state to `path`, as [`StateFile::write`] does. Blocks.
    ///
    /// # Errors
    ///
    /// Those of [`StateFile::write`].
    pub fn write_file(&self, path: &Path) -> io::Result<()> {
        StateFile::new(path).write(&self.to_json())
    }

    /// Reads what [`write_file`](Self::write_file) has written. `None` if there is no file. Blocks.
    ///
    /// # Errors
    ///
    /// [`SavedStateError`]: the file cannot be used, and the server starts without it.
    pub fn read_file(path: &Path, now: SystemTime) -> Result<Option<Self>, SavedStateError> {
        let json = StateFile::new(path).read()?;
        json.map(|json| Self::from_json(&json, now)).transpose()
    }
}
