//! Opens the files that make up a configuration.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{Os, SyntaxError},
    glob,
    recording::{FileSource, ReadStep, Recording},
};

/// How deep includes may be nested. Each level takes some stack.
const MAX_DEPTH: usize = 32;

/// How many bytes all files may have together. Without a limit, a device such as `/dev/zero` would fill the memory.
const MAX_BYTES: u64 = 64 << 20;

/// The directories that relative names start from, and the files that are being read.
#[derive(Debug)]
pub(crate) struct ConfFiles {
    prefix: PathBuf,
    conf_dir: PathBuf,
    open: Vec<Arc<Path>>,
    bytes_left: u64,
    source: FileSource,
    /// The files that were read, each once, if they are kept.
    kept: Option<Vec<KeptFile>>,
}

/// A file of a configuration, as it was read.
#[derive(Debug)]
pub(crate) struct KeptFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl ConfFiles {
    /// Starts with the main file, which is not opened here.
    pub(crate) fn new(main: Arc<Path>, prefix: &Path, source: FileSource) -> Self {
        Self {
            prefix: prefix.to_owned(),
            conf_dir: main.parent().map(Path::to_owned).unwrap_or_default(),
            open: vec![main],
            bytes_left: MAX_BYTES,
            source,
            kept: None,
        }
    }

    /// Keeps the files that are read from now on.
    pub(crate) fn keep(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// The files that were kept, in the order in which they were read first.
    pub(crate) fn into_kept(self) -> Vec<KeptFile> {
        self.kept.unwrap_or_default()
    }

    /// What was recorded while the files were read.
    pub(crate) fn into_recording(self) -> Recording {
        self.source.into_recording()
    }

    /// The path of a file that the running server uses, such as a log.
    pub(crate) fn resolve(&self, name: &str) -> PathBuf {
        self.prefix.join(name)
    }

    /// The paths that an `include` names, sorted if it has wildcards.
    ///
    /// Relative names start from the directory of the main file, even inside an included file.
    pub(crate) fn find(&mut self, name: &str) -> Result<Vec<PathBuf>, SyntaxError> {
        if !glob::is_pattern(name) {
            return Ok(vec![self.conf_dir.join(name)]);
        }
        let conf_dir = &self.conf_dir;
        let find = || glob::find(conf_dir, name).map_err(|error| Os(&error).to_string());
        self.source.find(find).map_err(|reason| SyntaxError::Glob {
            pattern: conf_dir.join(name).display().to_string(),
            reason,
        })
    }

    /// Reads an included file; it counts as open until [`close`](Self::close).
    pub(crate) fn open(&mut self, path: &Arc<Path>) -> Result<Vec<u8>, SyntaxError> {
        if self.open.contains(path) {
            let path = path.to_path_buf();
            return Err(SyntaxError::IncludeCycle { path });
        }
        if self.open.len() > MAX_DEPTH {
            return Err(SyntaxError::IncludeDepth { max: MAX_DEPTH });
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
    pub(crate) fn read(&mut self, path: &Path) -> Result<Vec<u8>, SyntaxError> {
        let limit = self.bytes_left + 1;
        let bytes = self.source.read(path, limit).map_err(|failure| {
            let (path, source) = (path.to_owned(), failure.into_source());
            match failure.step {
                ReadStep::Open => SyntaxError::Open { path, source },
                ReadStep::Read => SyntaxError::Read { path, source },
            }
        })?;
        let left = self.bytes_left.checked_sub(bytes.len() as u64);
        self.bytes_left = left.ok_or_else(|| SyntaxError::too_large(path))?;
        if let Some(kept) = &mut self.kept
            && kept.iter().all(|file| file.path != path)
        {
            kept.push(KeptFile {
                path: path.to_owned(),
                bytes: bytes.clone(),
            });
        }
        Ok(bytes)
    }
}
