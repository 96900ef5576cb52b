//! Builds the proxy with the rights of the user that the process will switch to.

use lb_proxy::Proxy;

use super::credentials::Credentials;
use super::error::StartError;
use crate::build::error::BuildError;
use crate::build::inherited::{ClaimedSocket, InheritedSockets};
use crate::build::proxy::proxy;
use crate::build::reload_state::ReloadState;
use crate::build::upstream::errors_of_upstreams;
use crate::config::main::Config;
use crate::logs::sinks::Sinks;

/// The proxy that `config` describes, with the `inherited` sockets, built with the rights of the user that the process will switch to: a file that
/// this user cannot read is an error now, and not after the start.
pub(crate) fn build_as_user(
    config: &Config,
    credentials: Option<&Credentials>,
    state: &mut ReloadState,
    inherited: InheritedSockets,
    sinks: &Sinks,
) -> Result<Proxy, StartError> {
    let Some(credentials) = credentials else {
        return Ok(proxy(config, state, inherited, sinks)?);
    };
    let built = credentials.run_as(|| proxy(config, state, inherited, sinks))?;
    built.map_err(|error| {
        // If the superuser can build it, the user lacks rights.
        let again = || {
            let state = &mut ReloadState::default();
            proxy(config, state, InheritedSockets::default(), sinks).is_ok()
        };
        blame(error, credentials, again)
    })
}

/// Builds as [`build_as_user`] does, and returns the inherited sockets that a `listen` has claimed.
///
/// # Errors
///
/// Those of all upstreams, at least one.
pub(crate) fn build_all_as_user(
    config: &Config,
    credentials: Option<&Credentials>,
) -> Result<Vec<ClaimedSocket>, Vec<StartError>> {
    let mut state = ReloadState::default();
    let (inherited, sinks) = (InheritedSockets::take(), Sinks::default());
    let Err(error) = build_as_user(config, credentials, &mut state, inherited, &sinks) else {
        return Ok(state.inherited);
    };
    let one_by_one = || config.stream.iter().flat_map(errors_of_upstreams);
    let errors: Vec<_> = match credentials {
        None => one_by_one().map(StartError::from).collect(),
        Some(credentials) => {
            let found = credentials.run_as(|| one_by_one().collect::<Vec<_>>());
            let found = found.map_err(|error| vec![error])?;
            let rights = one_by_one().next().is_none();
            let found = found.into_iter();
            found
                .map(|error| blame(error, credentials, || rights))
                .collect()
        }
    };
    match errors.is_empty() {
        true => Err(vec![error]),
        false => Err(errors),
    }
}

/// Says that the user lacks rights, if `works_for_root` says that the superuser has them.
fn blame(
    error: BuildError,
    credentials: &Credentials,
    works_for_root: impl FnOnce() -> bool,
) -> StartError {
    // Other errors do not depend on the user.
    let depends = error.may_lack_file_rights() && credentials.unprivileged_user().is_some();
    if depends && works_for_root() {
        credentials.lacks_rights(error.into())
    } else {
        error.into()
    }
}
