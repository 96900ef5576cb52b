//! Reads a configuration from files, from a recording of files, or from memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lb_proxy::readiness_report::ReadyFileSettings;

use super::admin::AdminListen;
use super::known::misplaced;
use super::main::{Config, MainBlock};
use super::overrides::Overrides;
use super::pid;
use super::{resolve, secrets};
use crate::syntax::error::ConfigError;
use crate::syntax::include::{ConfFiles, KeptFile};
use crate::syntax::reader::{Mistake, ReadContext, Reader};
use crate::syntax::recording::{FileSource, Recording};
use crate::syntax::span::Warning;

/// Directives that define what directives elsewhere name.
const DEFINITIONS: &[&str] = &[
    "geo",
    "include",
    "limit_conn_zone",
    "log_format",
    "map",
    "set",
    "split_clients",
    "upstream",
];

/// Where the process says what it is and whether it is ready.
#[derive(Clone, Debug)]
pub(crate) struct ProcessFiles {
    pub(crate) pid: PathBuf,
    pub(crate) ready_file: Option<ReadyFileSettings>,
}

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
        Self::load_all(path, prefix, &Overrides::default(), false)
            .2
            .map_err(first)
    }

    /// Reads as [`load_recorded`](Self::load_recorded), and returns every mistake, the warnings about a configuration with
    /// mistakes, and the files that it read if `keeps` says so. There is at least one mistake if there is no configuration.
    pub(crate) fn load_all(
        path: &Path,
        prefix: &Path,
        overrides: &Overrides,
        keeps: bool,
    ) -> (Vec<KeptFile>, Vec<Warning>, Result<Self, Vec<ConfigError>>) {
        let path: Arc<Path> = prefix.join(path).into();
        let mut context = context(&path, prefix, FileSource::Disk);
        if keeps {
            context.files.keep();
        }
        context.finds_all = true;
        let config = Self::read_file(path, overrides, &mut context);
        (context.files.into_kept(), context.warnings, config)
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

    /// Reads the `lb_admin` of a file, whatever mistakes the rest of it has.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or split into statements, or if the `lb_admin` is wrong.
    pub(crate) fn find_admin(
        path: &Path,
        prefix: &Path,
        overrides: &Overrides,
    ) -> Result<Option<AdminListen>, ConfigError> {
        let path: Arc<Path> = prefix.join(path).into();
        let mut context = context(&path, prefix, FileSource::Disk);
        context.finds_all = true;
        let mut main = MainBlock::default();
        let read = Self::read_main(path, overrides, &mut main, &mut context);
        let found = main.stream.and_then(|stream| stream.admin);
        let mut mistakes = context.mistakes.into_iter();
        match mistakes.find(|mistake| mistake.name == "lb_admin") {
            Some(mistake) if found.is_none() => Err(mistake.error),
            _ => read.map(|()| found),
        }
    }

    /// Reads where the process says what it is and whether it is ready, whatever mistakes the rest of the file has.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or split into statements, or if `lb_ready_file` or `pid` is wrong.
    pub(crate) fn find_process_files(
        path: &Path,
        prefix: &Path,
        overrides: &Overrides,
    ) -> Result<ProcessFiles, ConfigError> {
        let path: Arc<Path> = prefix.join(path).into();
        let mut context = context(&path, prefix, FileSource::Disk);
        context.finds_all = true;
        let mut main = MainBlock::default();
        Self::read_main(path, overrides, &mut main, &mut context)?;
        let mut mistakes = context.mistakes.into_iter();
        let is_ours = |mistake: &Mistake| ["lb_ready_file", "pid"].contains(&&*mistake.name);
        if let Some(mistake) = mistakes.find(is_ours) {
            return Err(mistake.error);
        }
        let default_pid = || match &overrides.default_pid {
            Some(path) => path.clone(),
            None => context.files.resolve(pid::DEFAULT),
        };
        Ok(ProcessFiles {
            pid: main.pid.unwrap_or_else(default_pid),
            ready_file: main.ready_file,
        })
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
        (context.files.into_recording(), config.map_err(first))
    }

    fn read_file(
        path: Arc<Path>,
        overrides: &Overrides,
        context: &mut ReadContext,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut main = MainBlock::default();
        let read = Self::read_main(Arc::clone(&path), overrides, &mut main, context);
        overrides.add_error_log(&mut main, context);
        overrides.add_daemon(&mut main);
        let pid = overrides.default_pid.as_deref();
        Self::resolve(path, main, read, pid, context)
    }

    /// Reads the main level of the command line and of a file.
    fn read_main(
        path: Arc<Path>,
        overrides: &Overrides,
        main: &mut MainBlock,
        context: &mut ReadContext,
    ) -> Result<(), ConfigError> {
        overrides.read_directives(main, context)?;
        let bytes = context.files.read(&path);
        let bytes = bytes.map_err(|error| ConfigError::new(error, None))?;
        Reader::new(path, &bytes, context).read_file(main)
    }

    /// Checks what was read from `file`. `read` says how reading ended.
    fn resolve(
        file: Arc<Path>,
        main: MainBlock,
        read: Result<(), ConfigError>,
        default_pid: Option<&Path>,
        context: &mut ReadContext,
    ) -> Result<Self, Vec<ConfigError>> {
        let defines = |mistake: &Mistake| DEFINITIONS.contains(&mistake.name.as_str());
        let mistakes = std::mem::take(&mut context.mistakes);
        let knows_all = !mistakes.iter().any(defines);
        let mut errors: Vec<_> = mistakes.into_iter().map(|mistake| mistake.error).collect();
        if let Err(error) = read {
            // The text after the place where a file stops making sense is unknown.
            errors.push(error);
            return Err(errors);
        }
        let warnings = std::mem::take(&mut context.warnings);
        let names = std::mem::take(&mut context.names);
        let default_pid = || match default_pid {
            Some(path) => path.to_owned(),
            None => context.files.resolve(pid::DEFAULT),
        };
        let mut config = resolve::main::config(
            file,
            main,
            names,
            default_pid,
            knows_all,
            warnings,
            &mut errors,
        );
        let listing = std::mem::take(&mut context.listing);
        config.listing = config.admin().map(|_| Arc::new(listing));
        if errors.is_empty() {
            Ok(config)
        } else {
            context.warnings = config.warnings;
            Err(errors)
        }
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
        let read = Reader::new(Arc::clone(&path), bytes, &mut context).read_file(&mut main);
        Self::resolve(path, main, read, None, &mut context).map_err(first)
    }
}

/// The mistake that a start or a reload reports.
fn first(mut errors: Vec<ConfigError>) -> ConfigError {
    errors.swap_remove(0)
}

fn context(path: &Arc<Path>, prefix: &Path, source: FileSource) -> ReadContext {
    let files = ConfFiles::new(Arc::clone(path), prefix, source);
    ReadContext::new(files, misplaced, secrets::shown)
}
