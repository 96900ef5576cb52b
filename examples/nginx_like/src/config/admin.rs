//! `lb_admin`, ours: where operators ask and steer the server.

use std::net::SocketAddr;
use std::path::PathBuf;

use lb_core::Endpoint;
use lb_proxy::access::Network;

use super::listen::Listen;
use super::low_bits::warn_low_bits;
use crate::syntax::address::{AddressError, ListenAddress};
use crate::syntax::error::ConfigError;
use crate::syntax::include::ConfFiles;
use crate::syntax::reader::Reader;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;

/// The arguments of `lb_admin`. Whether its files and its group exist is not checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct AdminListen {
    pub(crate) address: AdminAddress,
    /// `token=`: the file with the token that lets requests change state.
    pub(crate) token: Option<PathBuf>,
    /// `allow=`: networks of clients besides loopback.
    pub(crate) allow: Vec<Network>,
    /// `host=`: names by which requests over TCP may call the server.
    pub(crate) hosts: Vec<String>,
    /// `group=`: the group of the unix socket.
    pub(crate) group: Option<String>,
    pub(crate) span: Span,
}

/// What it listens on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum AdminAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl AdminAddress {
    /// What a socket of this address listens on.
    pub(crate) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Tcp(addr) => Endpoint::Tcp(*addr),
            Self::Unix(path) => Endpoint::Unix(path.as_path().into()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum AdminListenError {
    #[error("{source} in \"{address}\" of the \"lb_admin\" directive")]
    Address {
        address: String,
        source: AddressError,
    },
    #[error("\"lb_admin\" takes one port, not the range of \"{address}\"")]
    Range { address: String },
    #[error(
        "\"group\" of \"lb_admin\" belongs to a unix socket, and \"allow\" and \"host\" to an IP address"
    )]
    OtherKind,
    #[error(
        "other machines reach \"{address}\" of \"lb_admin\": listen on 127.0.0.1 or a unix socket, or write \"allow=NETWORK\""
    )]
    NotLoopback { address: String },
    #[error(
        "\"lb_admin\" and the \"listen {listen}\" in {span} cannot share an address: give \"lb_admin\" another port or path"
    )]
    Overlap { listen: Endpoint, span: Span },
}

impl AdminListen {
    pub(super) fn read(
        statement: &Statement,
        reader: &mut Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let mut listen = Self {
            address: address(statement, reader.files())?,
            token: None,
            allow: Vec::new(),
            hosts: Vec::new(),
            group: None,
            span: statement.span.clone(),
        };
        for parameter in statement.parameters() {
            let invalid = || statement.invalid("parameter", parameter);
            let (name, value) = parameter.split_once('=').ok_or_else(invalid)?;
            match name {
                _ if value.is_empty() => return Err(invalid()),
                "allow" => {
                    let network = value.parse();
                    let network = network.map_err(|_| statement.invalid("network", value))?;
                    listen.allow.push(network);
                    warn_low_bits(value, statement, reader);
                }
                "group" if listen.group.is_none() => listen.group = Some(value.to_owned()),
                "host" => listen.hosts.push(value.to_owned()),
                "token" if listen.token.is_none() => {
                    listen.token = Some(reader.files().resolve(value));
                }
                _ => return Err(invalid()),
            }
        }
        listen.check(statement)?;
        Ok(listen)
    }

    /// Refuses an address that one of `listens` has.
    pub(super) fn check_overlap<'a>(
        &self,
        mut listens: impl Iterator<Item = &'a Listen>,
    ) -> Result<(), ConfigError> {
        let Some(listen) = listens.find(|listen| self.overlaps(listen)) else {
            return Ok(());
        };
        let overlap = AdminListenError::Overlap {
            listen: listen.endpoint(),
            span: listen.span.clone(),
        };
        Err(ConfigError::at(&self.span, overlap))
    }

    /// Whether the kernel refuses to let both listen.
    fn overlaps(&self, listen: &Listen) -> bool {
        match (&self.address, &listen.unix) {
            (AdminAddress::Tcp(addr), None) => {
                let (ours, other) = (addr.ip(), listen.addr.ip());
                let takes_both = other.is_ipv6() && other.is_unspecified() && !listen.ipv6only;
                let covers = ours == other || ours.is_unspecified() || other.is_unspecified();
                let same_family = ours.is_ipv4() == other.is_ipv4();
                addr.port() == listen.addr.port() && (takes_both || same_family && covers)
            }
            (AdminAddress::Unix(path), Some(other)) => path.as_path() == &**other,
            _ => false,
        }
    }

    fn check(&self, statement: &Statement) -> Result<(), ConfigError> {
        let is_for_tcp = !self.allow.is_empty() || !self.hosts.is_empty();
        match self.address {
            AdminAddress::Tcp(_) if self.group.is_some() => {
                Err(statement.error(AdminListenError::OtherKind))
            }
            AdminAddress::Unix(_) if is_for_tcp => {
                Err(statement.error(AdminListenError::OtherKind))
            }
            AdminAddress::Tcp(addr) if !addr.ip().is_loopback() && self.allow.is_empty() => {
                let address = statement.arg().to_owned();
                Err(statement.error(AdminListenError::NotLoopback { address }))
            }
            _ => Ok(()),
        }
    }
}

fn address(statement: &Statement, files: &ConfFiles) -> Result<AdminAddress, ConfigError> {
    let text = statement.arg();
    let error = |source| {
        statement.error(AdminListenError::Address {
            address: text.to_owned(),
            source,
        })
    };
    match ListenAddress::parse(text).map_err(error)? {
        ListenAddress::Ip(ip, ports) if ports.start() == ports.end() => {
            Ok(AdminAddress::Tcp((ip, *ports.start()).into()))
        }
        ListenAddress::Ip(..) => Err(statement.error(AdminListenError::Range {
            address: text.to_owned(),
        })),
        // A name may mean an address that other machines reach.
        ListenAddress::Name(..) => Err(error(AddressError::InvalidHost)),
        ListenAddress::Unix(path) => {
            let path = path.to_str().map(|path| files.resolve(path));
            path.map(AdminAddress::Unix)
                .ok_or_else(|| statement.invalid_value())
        }
    }
}
