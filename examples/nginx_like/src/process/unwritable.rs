//! Files of `lb_ready_file` and `lb_state` that the user of the process cannot write. `-t` warns of them.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::credentials::Credentials;
use crate::config::main::Config;
use crate::syntax::error::Os;
use crate::syntax::span::{Span, Warning};

/// A file that the server replaces, and what happens if it cannot.
struct ReplacedFile<'a> {
    directive: &'static str,
    path: &'a Path,
    span: &'a Span,
    effect: &'static str,
}

/// The warnings about `lb_ready_file` and `lb_state`. Creates nothing.
pub(crate) fn warnings(config: &Config) -> Vec<Warning> {
    let outputs = outputs(config);
    let denied = |output: ReplacedFile<'_>| {
        let directory = directory(output.path);
        let tried = Credentials::try_as(config.user.as_ref(), || try_directory(&directory))?;
        let error = tried.err()?;
        let text = format!(
            "\"{}\": the directory \"{}\" is missing or cannot be written by the user of the process ({}): {}",
            output.directive,
            directory.display(),
            Os(&error),
            output.effect
        );
        Some(Warning::new(text, output.span.clone()))
    };
    outputs.filter_map(denied).collect()
}

fn outputs(config: &Config) -> impl Iterator<Item = ReplacedFile<'_>> {
    let ready = config.ready_file.iter().zip(&config.ready_file_span);
    let state = config.state.iter().zip(&config.state_span);
    let ready = ready.map(|(file, span)| ReplacedFile {
        directive: "lb_ready_file",
        path: &file.path,
        span,
        effect: "the server will not start",
    });
    ready.chain(state.map(|(file, span)| ReplacedFile {
        directive: "lb_state",
        path: &file.path,
        span,
        effect: "the next process will know nothing",
    }))
}

/// The directory of a file.
fn directory(path: &Path) -> PathBuf {
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    directory.unwrap_or_else(|| Path::new(".")).to_owned()
}

/// Whether files can be created in the directory with the rights of the thread. A file system that is read-only is an error.
fn try_directory(directory: &Path) -> io::Result<()> {
    let rights = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, directory, rights, AtFlags::EACCESS)?;
    match directory.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}
