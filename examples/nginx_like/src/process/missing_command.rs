//! The program of `lb_withdraw_command` that the user of the process cannot execute. `-t` warns of it.

use std::env;
use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::credentials::Credentials;
use crate::config::main::Config;
use crate::syntax::error::Os;
use crate::syntax::span::Warning;

/// The warning, if there is one.
pub(crate) fn warning(config: &Config) -> Option<Warning> {
    let command = config.shutdown.withdraw_command.as_ref()?;
    let program = &command.program;
    let tried = Credentials::try_as(config.user.as_ref(), || try_program(program))?;
    let error = tried.err()?;
    let text = format!(
        "\"lb_withdraw_command\": the user of the process cannot execute \"{}\" ({}): a shutdown will not wait for it",
        program.display(),
        Os(&error)
    );
    Some(Warning::new(text, command.span.clone()))
}

/// Searches as execvp(3) does.
fn try_program(program: &Path) -> io::Result<()> {
    if program.components().count() > 1 || program.is_absolute() {
        return try_file(program);
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut found = Err(Errno::NOENT.into());
    for directory in env::split_paths(&path) {
        match try_file(&directory.join(program)) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => found = Err(error),
            Err(_) => {}
        }
    }
    found
}

fn try_file(path: &Path) -> io::Result<()> {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?;
    match path.is_file() {
        true => Ok(()),
        false => Err(Errno::ACCESS.into()),
    }
}
