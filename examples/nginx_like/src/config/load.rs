//! Reads a configuration from files, from a recording of files, or from memory.

use std::path::Path;
use std::sync::Arc;

use super::known::misplaced;
use super::main::{Config, MainBlock};
use super::overrides::Overrides;
use super::resolve;
use crate::syntax::error::ConfigError;
use crate::syntax::include::{ConfFiles, KeptFile};
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
    #[cfg(test)]
    pub(crate) fn load(path: &Path, prefix: &Path) -> Result<Self, ConfigError> {
        Self::load_kept(path, prefix, &Overrides::default(), false).1
    }

    /// Reads as [`load_recorded`](Self::load_recorded), and returns the files that it read if `keeps` says so.
    pub(crate) fn load_kept(
        path: &Path,
        prefix: &Path,
        overrides: &Overrides,
        keeps: bool,
    ) -> (Vec<KeptFile>, Result<Self, ConfigError>) {
        let path: Arc<Path> = prefix.join(path).into();
        let mut context = context(&path, prefix, FileSource::Disk);
        if keeps {
            context.files.keep();
        }
        let config = Self::read_file(path, overrides, &mut context);
        (context.files.into_kept(), config)
    }

    /// Reads a file, and returns what it read from the disk, up to the first mistake.
    ///
    /// As in nginx, relative names start from `prefix`, but those of `include` from the directory of the file. An empty
    /// prefix means the current directory.
    pub(crate) fn load_recorded(
        path: &Path,
        prefix: &Path,
        overrides: &Overrides,
    ) -> (Recording, Result<Self, ConfigError>) {
        let source = FileSource::Recorded(Recording::default());
        Self::load_from(source, path, prefix, overrides)
    }

    /// Reads what another process has recorded, and no file.
    pub(crate) fn replay(
        recording: Recording,
        path: &Path,
        prefix: &Path,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        Self::load_from(FileSource::Replayed(recording), path, prefix, overrides).1
    }

    fn load_from(
        source: FileSource,
        path: &Path,
        prefix: &Path,
        overrides: &Overrides,
    ) -> (Recording, Result<Self, ConfigError>) {
        let path: Arc<Path> = prefix.join(path).into();
        let mut context = context(&path, prefix, source);
        let config = Self::read_file(path, overrides, &mut context);
        (context.files.into_recording(), config)
    }

    fn read_file(
        path: Arc<Path>,
        overrides: &Overrides,
        context: &mut ReadContext,
    ) -> Result<Self, ConfigError> {
        let mut main = MainBlock::default();
        overrides.read_directives(&mut main, context)?;
        let bytes = context.files.read(&path);
        let bytes = bytes.map_err(|error| ConfigError::new(error, None))?;
        Reader::new(path, &bytes, context).read_file(&mut main)?;
        overrides.add_error_log(&mut main, context);
        resolve::main::config(main, std::mem::take(&mut context.warnings))
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
        let mut main = MainBlock::default();
        Reader::new(path, bytes, &mut context).read_file(&mut main)?;
        resolve::main::config(main, std::mem::take(&mut context.warnings))
    }
}

fn context(path: &Arc<Path>, prefix: &Path, source: FileSource) -> ReadContext {
    let files = ConfFiles::new(Arc::clone(path), prefix, source);
    ReadContext::new(files, misplaced)
}
