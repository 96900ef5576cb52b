//! Gives the health checks of a server to the upstreams that it passes to.

use lb_proxy::health::ProbeHeader;
use lb_proxy::proxy_protocol::Version;

use super::upstreams::Upstreams;
use crate::config::health_check::{HealthCheck, ServerCheck};
use crate::config::match_block::Match;
use crate::config::proxy::BindAddress;
use crate::config::server::ServerBlock;
use crate::config::server_settings::ServerSettings;
use crate::syntax::error::ConfigError;
use crate::syntax::span::Warning;

/// Warns of `match` blocks that no check names. nginx Plus says nothing of them. A check that could not be read may name any.
pub(super) fn warn_of_unused(
    matches: &[Match],
    servers: &[ServerBlock],
    warnings: &mut Vec<Warning>,
) {
    if servers.iter().any(|server| server.has_mistaken_check) {
        return;
    }
    let checks = || servers.iter().flat_map(|server| &server.health_checks);
    for block in matches {
        if !checks().any(|check| check.names_match(&block.name)) {
            let text = format!("no \"health_check\" names the \"match\" \"{}\"", block.name);
            warnings.push(Warning::new(text, block.span.clone()));
        }
    }
}

/// `checked` are the indices of the upstreams. The probes have the PROXY header and the source address of the server's
/// sessions.
pub(super) fn add(
    checks: Vec<HealthCheck>,
    settings: &ServerSettings,
    matches: &[Match],
    checked: &[usize],
    upstreams: &mut Upstreams,
) -> Result<(), ConfigError> {
    for check in checks {
        if checked.is_empty() {
            return Err(check.without_upstream());
        }
        let check = check.resolve(matches)?;
        let header = match settings.proxy.protocol {
            _ if check.port.is_some() => ProbeHeader::Never,
            None => ProbeHeader::Never,
            Some(Version::V1) => ProbeHeader::V1,
            Some(_) => ProbeHeader::V2,
        };
        let source = settings.proxy.bind.as_ref().map(|bind| &bind.source);
        let check = ServerCheck {
            check,
            timeout: settings.health.timeout,
            header,
            source: match source {
                Some(BindAddress::Fixed(addr)) => Some(addr.ip()),
                _ => None,
            },
        };
        for &index in checked {
            upstreams.add_check(index, &check);
        }
    }
    Ok(())
}
