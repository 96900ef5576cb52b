//! `-t`: tests a configuration without serving it.

use super::build_as_user::build_as_user;
use super::credentials::Credentials;
use super::error::StartError;
use super::files::access::FileAccess;
use super::logs::logging::Logs;
use crate::build::loops;
use crate::build::reload_state::ReloadState;
use crate::config::main::Config;
use crate::logs::sinks::Sinks;

/// Does all that a start does before it listens. Opens logs and the pid file, as nginx does.
///
/// # Errors
///
/// Every error, at least one. Without the user, nothing is tried.
pub(crate) fn test(config: &Config) -> Result<(), Vec<StartError>> {
    let credentials = Credentials::look_up(config.user.as_ref()).map_err(|error| vec![error])?;
    let credentials = credentials.as_ref();
    let built = build_as_user(
        config,
        credentials,
        &mut ReloadState::default(),
        &Sinks::default(),
    );
    let mut errors: Vec<_> = built.err().into_iter().collect();
    errors.extend(loops::find(config).map(StartError::from));
    errors.extend(Logs::test(config, credentials).err());
    if let Some(path) = &config.pid {
        let tested = FileAccess::test_pid(path, credentials);
        errors.extend(tested.map_err(StartError::open(path)).err());
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}
