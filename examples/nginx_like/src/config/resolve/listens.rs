//! Checks the `listen` directives of all servers against each other.

use std::collections::HashMap;

use lb_core::Endpoint;

use crate::config::listen::Listen;
use crate::config::server::ServerBlock;
use crate::syntax::error::ConfigError;

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum ListenConflict {
    #[error("duplicate \"{addr}\" address and port pair")]
    Duplicate { addr: Endpoint },
    /// Ours: nginx listens on the wildcard only and sorts the connections by their local address.
    #[error("\"{addr}\" overlaps \"{other}\", which is not supported yet")]
    Overlap { addr: Endpoint, other: Endpoint },
}

/// Adds an error for each listener that would get the connections of another.
pub(crate) fn check(servers: &[ServerBlock], errors: &mut Vec<ConfigError>) {
    let mut by_port: HashMap<u16, Vec<&Listen>> = HashMap::new();
    for listen in servers.iter().flat_map(|server| &server.listens) {
        let before = by_port.entry(listen.addr.port()).or_default();
        for other in &*before {
            let addr = listen.endpoint();
            let conflict = if listen.addr == other.addr {
                ListenConflict::Duplicate { addr }
            } else if covers(listen, other) || covers(other, listen) {
                let other = other.endpoint();
                ListenConflict::Overlap { addr, other }
            } else {
                continue;
            };
            errors.push(ConfigError::at(&listen.span, conflict));
            break;
        }
        before.push(listen);
    }
}

/// Whether a wildcard includes another address: the system would refuse to bind both.
fn covers(wildcard: &Listen, other: &Listen) -> bool {
    let same_family = wildcard.addr.is_ipv4() == other.addr.is_ipv4();
    let dual_stack = wildcard.addr.is_ipv6() && !wildcard.ipv6only;
    wildcard.addr.ip().is_unspecified()
        && wildcard.addr.port() == other.addr.port()
        && (same_family || dual_stack)
}
