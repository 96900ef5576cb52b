//! Reads a configuration from files, from a recording of files, or from memory.

use std::path::Path;
use std::sync::Arc;

use super::known::misplaced;
use super::main::{Config, MainBlock};
use super::resolve;
use crate::syntax::error::ConfigError;
use crate::syntax::include::ConfFiles;
use crate::syntax::reader::{ReadContext, Reader};
use crate::syntax::recording::{FileSource, Recording};

impl Config {
    /// Reads a configuration from a file.
    ///
    /// As in nginx, relative names start from `prefix`, but those of `include` from the directory of the file. An empty
    /// prefix means the current directory.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or the first mistake in the text.
    pub(crate) fn load(path: &Path, prefix: &Path) -> Result<Self, ConfigError> {
        Self::load_from(FileSource::Disk, path, prefix).1
    }

    /// Reads as [`load`](Self::load), and returns what it read from the disk, up to the first mistake.
    pub(crate) fn load_recorded(
        path: &Path,
        prefix: &Path,
    ) -> (Recording, Result<Self, ConfigError>) {
        Self::load_from(FileSource::Recorded(Recording::default()), path, prefix)
    }

    /// Reads what another process has recorded, and no file.
    pub(crate) fn replay(
        recording: Recording,
        path: &Path,
        prefix: &Path,
    ) -> Result<Self, ConfigError> {
        Self::load_from(FileSource::Replayed(recording), path, prefix).1
    }

    fn load_from(
        source: FileSource,
        path: &Path,
        prefix: &Path,
    ) -> (Recording, Result<Self, ConfigError>) {
        let path: Arc<Path> = prefix.join(path).into();
        let mut context = context(&path, prefix, source);
        let bytes = context.files.read(&path);
        let config = bytes
            .map_err(|error| ConfigError::new(error, None))
            .and_then(|bytes| Self::read(path, &bytes, &mut context));
        (context.files.into_recording(), config)
    }

    /// Reads a configuration from memory, as if it were in the file `path`. Includes are read from real files.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    #[cfg(test)]
    pub(crate) fn parse(path: &Path, bytes: &[u8], prefix: &Path) -> Result<Self, ConfigError> {
        let path: Arc<Path> = prefix.join(path).into();
        let mut context = context(&path, prefix, FileSource::Disk);
        Self::read(path, bytes, &mut context)
    }

    fn read(path: Arc<Path>, bytes: &[u8], context: &mut ReadContext) -> Result<Self, ConfigError> {
        let mut main = MainBlock::default();
        Reader::new(path, bytes, context).read_file(&mut main)?;
        resolve::main::config(main, std::mem::take(&mut context.warnings))
    }
}

fn context(path: &Arc<Path>, prefix: &Path, source: FileSource) -> ReadContext {
    let files = ConfFiles::new(Arc::clone(path), prefix, source);
    ReadContext::new(files, misplaced)
}
