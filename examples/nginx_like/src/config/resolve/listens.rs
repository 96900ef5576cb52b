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
    /// Ours: nginx listens on the wildcard only and sorts the connections by their local address.
    #[error("\"{addr}\" overlaps \"{other}\", which is not supported yet")]
    Overlap { addr: Endpoint, other: Endpoint },
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

/// Adds an error for each listener that would get the connections of another, and for settings of one address that
/// contradict each other. Sets which `listen` of an address is the default server's, and gives it the settings of the
/// socket. Returns all addresses.
pub(crate) fn join(
    servers: &mut [ServerBlock],
    warnings: &mut Vec<Warning>,
    errors: &mut Vec<ConfigError>,
) -> Vec<JoinedAddress> {
    let mut addresses: Vec<AddressDraft> = Vec::new();
    let mut by_addr: HashMap<SocketAddr, usize> = HashMap::new();
    let mut by_port: HashMap<u16, PortListens<'_>> = HashMap::new();
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
            let before = by_port.entry(listen.addr.port()).or_default();
            if let Some(other) = before.add(listen) {
                let (addr, other) = (listen.endpoint(), other.endpoint());
                let conflict = ListenConflict::Overlap { addr, other };
                errors.push(ConfigError::at(&listen.span, conflict));
            }
        }
    }
    for (number, server) in servers.iter_mut().enumerate() {
        for listen in &mut server.listens {
            let address = &addresses[by_addr[&listen.addr]];
            if address.default == number {
                listen.clone_from(&address.options);
            }
            listen.is_default = address.default == number;
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

/// Of the different addresses of one port, those that another one can overlap: the wildcards and the first of each
/// family, in the order of the text. At most four.
#[derive(Default)]
struct PortListens<'a>(Vec<&'a Listen>);

impl<'a> PortListens<'a> {
    /// Adds an address. Returns the first one before that overlaps it.
    fn add(&mut self, listen: &'a Listen) -> Option<&'a Listen> {
        let mut before = self.0.iter().copied();
        let found = before.find(|other| covers(listen, other) || covers(other, listen));
        let is_ipv4 = listen.addr.is_ipv4();
        let is_wildcard = listen.addr.ip().is_unspecified();
        if is_wildcard || !self.0.iter().any(|other| other.addr.is_ipv4() == is_ipv4) {
            self.0.push(listen);
        }
        found
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

#[cfg(test)]
mod tests;
