//! `-t`: tests a configuration without serving it.

use super::admin;
use super::build_as_user::build_all_as_user;
use super::credentials::Credentials;
use super::error::StartError;
use super::files::access::FileAccess;
use super::logs::configured::paths_of;
use crate::build::inherited::ClaimedSocket;
use crate::build::loops;
use crate::config::main::Config;

/// What a test found.
#[derive(Debug, Default)]
pub(crate) struct Tested {
    pub(crate) errors: Vec<StartError>,
    /// The inherited sockets that a `listen` has claimed.
    pub(crate) claimed: Vec<ClaimedSocket>,
}

/// Does all that a start does before it listens. Opens logs and the pid file, as nginx does. Without the user, nothing is
/// tried.
pub(crate) fn test(config: &Config) -> Tested {
    let credentials = match Credentials::look_up(config.user.as_ref()) {
        Ok(credentials) => credentials,
        Err(error) => {
            return Tested {
                errors: vec![error],
                ..Tested::default()
            };
        }
    };
    let credentials = credentials.as_ref();
    let (mut errors, claimed) = match build_all_as_user(config, credentials) {
        Ok(claimed) => (Vec::new(), claimed),
        Err(errors) => (errors, Vec::new()),
    };
    errors.extend(loops::find(config).into_iter().map(StartError::from));
    errors.extend(admin::test(config).err());
    for path in paths_of(config) {
        let tested = FileAccess::test_log(&path, credentials);
        errors.extend(tested.map_err(StartError::open(&path)).err());
    }
    let tested = FileAccess::test_pid(&config.pid, credentials);
    errors.extend(tested.map_err(StartError::open(&config.pid.path)).err());
    Tested { errors, claimed }
}
