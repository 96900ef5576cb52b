//! `-t`: tests a configuration without serving it.

use super::build_as_user::build_as_user;
use super::credentials::Credentials;
use super::error::StartError;
use super::files::access::FileAccess;
use super::logs::logging::Logs;
use crate::build::loops;
use crate::build::reload_state::ReloadState;
use crate::config::main::Config;

/// Does all that a start does before it listens. Opens logs and the pid file, as nginx does.
pub(crate) fn test(config: &Config) -> Result<(), StartError> {
    let credentials = Credentials::look_up(config.user.as_ref())?;
    let built = build_as_user(config, credentials.as_ref(), &mut ReloadState::default());
    built.map(drop)?;
    loops::find(config).map_or(Ok(()), Err)?;
    Logs::test(config, credentials.as_ref())?;
    if let Some(path) = &config.pid {
        let tested = FileAccess::test_pid(path, credentials.as_ref());
        tested.map_err(StartError::open(path))?;
    }
    Ok(())
}
