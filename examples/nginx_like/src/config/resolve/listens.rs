//! Checks the `listen` directives of all servers against each other, and joins those of one address.

use std::collections::HashMap;
use std::net::SocketAddr;

use lb_core::Endpoint;

use super::protocol_options::ProtocolOptions;
use crate::config::listen::Listen;
use crate::config::server::ServerBlock;
use crate::syntax::error::ConfigError;
use crate::syntax::span::Warning;

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum ListenConflict {
    #[error("a duplicate listen {addr}")]
    Duplicate { addr: Endpoint },
    #[error("a duplicate default server for {addr}")]
    DuplicateDefault { addr: Endpoint },
    #[error("duplicate listen options for {addr}")]
    DuplicateOptions { addr: Endpoint },
}

/// An address, and its servers by their indices, the default server first.
pub(crate) struct JoinedAddress {
    pub(crate) addr: SocketAddr,
    pub(crate) endpoint: Endpoint,
    pub(crate) servers: Vec<usize>,
}

/// The `listen` directives of one address.
struct AddressDraft {
    /// The settings of the socket.
    options: Listen,
    protocols: ProtocolOptions,
    /// The indices of the servers, in the order of the text.
    servers: Vec<usize>,
    /// The index of the default server: the marked one, or else the first.
    default: usize,
    has_marked: bool,
}

/// Adds an error for settings of one address that contradict each other. Sets which `listen` of an address is the default
/// server's, gives it the settings of the socket, and sets which addresses have a socket of their own. Returns all
/// addresses.
pub(crate) fn join(
    servers: &mut [ServerBlock],
    warnings: &mut Vec<Warning>,
    errors: &mut Vec<ConfigError>,
) -> Vec<JoinedAddress> {
    let mut addresses: Vec<AddressDraft> = Vec::new();
    let mut by_addr: HashMap<SocketAddr, usize> = HashMap::new();
    for (number, server) in servers.iter().enumerate() {
        for listen in &server.listens {
            if let Some(&known) = by_addr.get(&listen.addr) {
                if let Err(conflict) = addresses[known].add(number, listen, warnings) {
                    errors.push(ConfigError::at(&listen.span, conflict));
                }
                continue;
            }
            by_addr.insert(listen.addr, addresses.len());
            addresses.push(AddressDraft::new(number, listen));
        }
    }
    let wildcards = Wildcards::of(&addresses);
    let covered: Vec<bool> = addresses
        .iter()
        .map(|address| wildcards.accept_for(&address.options))
        .collect();
    for (number, server) in servers.iter_mut().enumerate() {
        for listen in &mut server.listens {
            let known = by_addr[&listen.addr];
            let address = &addresses[known];
            if address.default == number {
                listen.clone_from(&address.options);
            }
            listen.is_default = address.default == number;
            listen.has_socket = !covered[known];
        }
    }
    addresses
        .into_iter()
        .map(AddressDraft::into_servers)
        .collect()
}

impl AddressDraft {
    fn new(server: usize, listen: &Listen) -> Self {
        Self {
            options: listen.clone(),
            protocols: ProtocolOptions::new(listen.proxy_protocol),
            servers: vec![server],
            default: server,
            has_marked: listen.default_server,
        }
    }

    /// Adds the `listen` of another server.
    fn add(
        &mut self,
        server: usize,
        listen: &Listen,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), ListenConflict> {
        let addr = listen.endpoint();
        // The directives of one server follow each other.
        if self.servers.last() == Some(&server) {
            return Err(ListenConflict::Duplicate { addr });
        }
        self.servers.push(server);
        let had_set = self.options.sets_options;
        if listen.sets_options {
            if had_set {
                return Err(ListenConflict::DuplicateOptions { addr });
            }
            let proxy_protocol = self.options.proxy_protocol;
            self.options.clone_from(listen);
            self.options.proxy_protocol |= proxy_protocol;
        }
        if listen.default_server {
            if self.has_marked {
                return Err(ListenConflict::DuplicateDefault { addr });
            }
            self.has_marked = true;
            self.default = server;
        }
        let own = listen.proxy_protocol;
        // nginx looks at the options as they are after those of this `listen` were taken over.
        let is_set = had_set || listen.sets_options;
        if self.protocols.add(own, listen.sets_options, is_set) {
            let text = format!("protocol options redefined for {addr}");
            warnings.push(Warning::new(text, listen.span.clone()));
        }
        self.options.proxy_protocol |= own;
        Ok(())
    }

    fn into_servers(self) -> JoinedAddress {
        let others = self.servers.iter().copied();
        let others = others.filter(|server| *server != self.default);
        JoinedAddress {
            addr: self.options.addr,
            endpoint: self.options.endpoint(),
            servers: std::iter::once(self.default).chain(others).collect(),
        }
    }
}

/// The wildcards by their ports. nginx listens on the wildcard alone and sorts the connections by their local address, except
/// for addresses whose `listen` has options of the socket.
struct Wildcards<'a>(HashMap<u16, Vec<&'a Listen>>);

impl<'a> Wildcards<'a> {
    fn of(addresses: &'a [AddressDraft]) -> Self {
        let mut wildcards: HashMap<u16, Vec<&Listen>> = HashMap::new();
        for AddressDraft { options, .. } in addresses {
            if options.unix.is_none() && options.addr.ip().is_unspecified() {
                let of_port = wildcards.entry(options.addr.port()).or_default();
                of_port.push(options);
            }
        }
        Self(wildcards)
    }

    /// Whether the socket of a wildcard accepts the connections of `listen`.
    fn accept_for(&self, listen: &Listen) -> bool {
        let wildcards = self.0.get(&listen.addr.port());
        let mut wildcards = wildcards.into_iter().flatten();
        listen.unix.is_none()
            && !listen.sets_options
            && wildcards.any(|wildcard| covers(wildcard, listen))
    }
}

/// Whether a wildcard includes another address.
fn covers(wildcard: &Listen, other: &Listen) -> bool {
    let same_family = wildcard.addr.is_ipv4() == other.addr.is_ipv4();
    let dual_stack = wildcard.addr.is_ipv6() && !wildcard.ipv6only;
    wildcard.addr != other.addr && (same_family || dual_stack)
}

#[cfg(test)]
mod tests;
