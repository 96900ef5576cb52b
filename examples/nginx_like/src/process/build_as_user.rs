//! Builds the proxy with the rights of the user that the process will switch to.

use lb_proxy::Proxy;

use super::credentials::Credentials;
use super::error::StartError;
use crate::build::inherited::InheritedSockets;
use crate::build::proxy::proxy;
use crate::build::reload_state::ReloadState;
use crate::config::main::Config;
use crate::logs::sinks::Sinks;

/// The proxy that `config` describes, built with the rights of the user that the process will switch to: a file that
/// this user cannot read is an error now, and not after the start.
pub(crate) fn build_as_user(
    config: &Config,
    credentials: Option<&Credentials>,
    state: &mut ReloadState,
    sinks: &Sinks,
) -> Result<Proxy, StartError> {
    let inherited = InheritedSockets::take();
    let Some(credentials) = credentials else {
        return Ok(proxy(config, state, inherited, sinks)?);
    };
    let built = credentials.run_as(|| proxy(config, state, inherited, sinks))?;
    built.map_err(|error| {
        // Other errors do not depend on the user.
        if !error.may_lack_file_rights() || credentials.unprivileged_user().is_none() {
            return error.into();
        }
        // If the superuser can build it, the user lacks rights.
        let again = proxy(
            config,
            &mut ReloadState::default(),
            InheritedSockets::default(),
            sinks,
        );
        match again {
            Ok(_) => credentials.lacks_rights(error.into()),
            Err(_) => error.into(),
        }
    })
}
