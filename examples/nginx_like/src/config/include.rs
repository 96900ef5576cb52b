//! Opens the files that make up a configuration.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{ErrorKind, Os},
    glob,
};

/// How deep includes may be nested. Each level takes some stack.
pub(crate) const MAX_DEPTH: usize = 32;

/// How many bytes all files may have together. Without a limit, a device such as `/dev/zero` would fill the memory.
const MAX_BYTES: u64 = 64 << 20;

/// The directories that relative names start from, and the files that are being read.
#[derive(Debug)]
pub(crate) struct Files {
    prefix: PathBuf,
    conf_dir: PathBuf,
    open: Vec<Arc<Path>>,
    bytes_left: u64,
}

impl Files {
    /// Starts with the main file, which is not opened here.
    pub(crate) fn new(main: Arc<Path>, prefix: &Path) -> Self {
        Self {
            prefix: prefix.to_owned(),
            conf_dir: main.parent().map(Path::to_owned).unwrap_or_default(),
            open: vec![main],
            bytes_left: MAX_BYTES,
        }
    }

    /// Returns the path of a file that the running server uses, such as a log.
    pub(crate) fn resolve(&self, name: &str) -> PathBuf {
        self.prefix.join(name)
    }

    /// Returns the paths that an `include` means, sorted if it has wildcards.
    ///
    /// Relative names start from the directory of the main file, even inside an included file.
    pub(crate) fn find(&self, name: &str) -> Result<Vec<PathBuf>, ErrorKind> {
        if !glob::is_pattern(name) {
            return Ok(vec![self.conf_dir.join(name)]);
        }
        glob::find(&self.conf_dir, name).map_err(|error| ErrorKind::Glob {
            pattern: self.conf_dir.join(name).display().to_string(),
            reason: Os(&error).to_string(),
        })
    }

    /// Reads an included file; it counts as open until [`close`](Self::close).
    pub(crate) fn open(&mut self, path: &Arc<Path>) -> Result<Vec<u8>, ErrorKind> {
        if self.open.contains(path) {
            let path = path.to_path_buf();
            return Err(ErrorKind::IncludeCycle { path });
        }
        if self.open.len() > MAX_DEPTH {
            return Err(ErrorKind::IncludeDepth);
        }
        let bytes = self.read(path)?;
        self.open.push(Arc::clone(path));
        Ok(bytes)
    }

    /// Ends the file that was opened last.
    pub(crate) fn close(&mut self) {
        self.open.pop();
    }

    /// Reads a whole file.
    pub(crate) fn read(&mut self, path: &Path) -> Result<Vec<u8>, ErrorKind> {
        let file = File::open(path).map_err(|source| ErrorKind::Open {
            path: path.to_owned(),
            source,
        })?;
        let mut bytes = Vec::new();
        let limit = self.bytes_left + 1;
        let length =
            file.take(limit)
                .read_to_end(&mut bytes)
                .map_err(|source| ErrorKind::Read {
                    path: path.to_owned(),
                    source,
                })?;
        let left = self.bytes_left.checked_sub(length as u64);
        self.bytes_left = left.ok_or_else(|| ErrorKind::TooLarge {
            path: path.to_owned(),
        })?;
        Ok(bytes)
    }
}
