//! The settings of the source of connections to backends.

use std::net::{IpAddr, SocketAddr};

use crate::net::bind_source::BindSource;

/// The source addresses and the interface of connections to backends: [`BindSource`].
#[non_exhaustive]
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BindSourceSettings {
    /// Addresses of this machine, as `IP` or `IP:PORT`, used in turn for backends of their family. Default: any.
    pub addrs: Vec<SourceAddress>,
    /// The network interface. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Box<str>>,
    /// Whether the addresses may be those of other machines. Default: false.
    pub transparent: bool,
}

/// A source address, with a port or without.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(expecting = "IP, IP:PORT or [IPv6]:PORT", untagged)]
#[allow(clippy::exhaustive_enums, reason = "with a port or without")]
pub enum SourceAddress {
    /// The kernel chooses the port.
    Ip(IpAddr),
    /// One connection at a time can have it for each backend.
    WithPort(#[cfg_attr(feature = "schema", schemars(with = "String"))] SocketAddr),
}

impl BindSourceSettings {
    pub(super) fn build(&self) -> BindSource {
        let source = BindSource::any().transparent(self.transparent);
        let source = match &self.interface {
            Some(name) => source.interface(&**name),
            None => source,
        };
        self.addrs.iter().fold(source, |source, addr| match *addr {
            SourceAddress::Ip(ip) => source.addr(ip),
            SourceAddress::WithPort(addr) => source.addr_and_port(addr),
        })
    }
}
