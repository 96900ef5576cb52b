//! Describes the header that backends receive.

use std::sync::Arc;

use lb_core::Endpoint;

use crate::connection::Connection;
use crate::error::BuildError;
use crate::proxy_protocol::{
    Addresses, HeaderError, MappedAddresses, Tlv, Version, write_v1_with, write_v2_with,
};

/// The header that backends receive first, in one write with the bytes that the client has sent by then.
///
/// It names [the client](Connection::client) and [its destination](Connection::destination). Where a proxy in front sent
/// a header that is believed, these are the addresses of that header. If one of them is a unix socket, the header has no
/// addresses: `UNKNOWN` in version 1, `LOCAL` in version 2, as in nginx. See
/// [`Listener::send_proxy`](crate::Listener::send_proxy) and
/// [`UpstreamBuilder::send_proxy`](crate::UpstreamBuilder::send_proxy).
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct SendProxy {
    version: Version,
    tlvs: Vec<(u8, Box<[u8]>)>,
    pass_tlvs: bool,
    checksum: bool,
    local_destination: bool,
    mapped: MappedAddresses,
}

impl SendProxy {
    /// A header of version 1, a line of text.
    #[doc(alias = "send-proxy")]
    pub fn v1() -> Self {
        Self {
            version: Version::V1,
            tlvs: Vec::new(),
            pass_tlvs: false,
            checksum: false,
            local_destination: false,
            mapped: MappedAddresses::AsIpv4,
        }
    }

    /// A header of version 2, binary.
    #[doc(alias = "send-proxy-v2")]
    pub fn v2() -> Self {
        Self {
            version: Version::V2,
            ..Self::v1()
        }
    }

    /// Adds a TLV to every header of version 2. Version 1 has no TLVs.
    pub fn tlv(mut self, kind: u8, value: &[u8]) -> Self {
        self.tlvs.push((kind, value.into()));
        self
    }

    /// Sets whether the TLVs of a received and believed header are forwarded. Default: no.
    ///
    /// TLVs of a type that [`tlv`](Self::tlv) sets are dropped. If the header became too long with them, all are dropped.
    pub fn pass_tlvs(mut self, pass: bool) -> Self {
        self.pass_tlvs = pass;
        self
    }

    /// Sets whether a header of version 2 has a checksum (CRC32C). Default: no.
    #[doc(alias = "crc32c")]
    pub fn checksum(mut self, checksum: bool) -> Self {
        self.checksum = checksum;
        self
    }

    /// Sets whether the destination is always [the address of our socket](Connection::local), as in nginx. Default: no.
    ///
    /// Otherwise it is the destination that a proxy in front sent, if any.
    pub fn local_destination(mut self, local: bool) -> Self {
        self.local_destination = local;
        self
    }

    /// Sets whether IPv4-mapped IPv6 addresses are written as nginx writes them. Default: no, they are written as IPv4.
    ///
    /// In version 1, two IPv6 addresses stay IPv6 though they are mapped, in the dotted form: a client of IPv4 on a
    /// dual-stack listener is `TCP6 ::ffff:192.0.2.1 …`. In version 2, one mapped address beside one of IPv4 makes both
    /// IPv6. Where nginx writes a line of version 1 with two families, which no receiver accepts, both are written as the
    /// same family here.
    pub fn mapped_as_nginx(mut self, as_nginx: bool) -> Self {
        self.mapped = match as_nginx {
            true => MappedAddresses::AsNginx,
            false => MappedAddresses::AsIpv4,
        };
        self
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn passes_tlvs(&self) -> bool {
        self.pass_tlvs
    }

    /// Checks that the header can be written. `of` names the listener or upstream for the error.
    pub(crate) fn check(&self, of: impl FnOnce() -> String) -> Result<(), BuildError> {
        let ends = Addresses::new(([0; 16], 0).into(), ([0; 16], 0).into());
        let written = self.write_v2(Some(ends), [], &mut Vec::new());
        written.map_err(|source| BuildError::SendProxy {
            of: of().into(),
            source,
        })
    }

    pub(crate) fn header(&self, connection: &Connection) -> Vec<u8> {
        let destination = match self.local_destination {
            true => connection.local,
            false => connection.destination(),
        };
        // Unix sockets have no addresses that the header could have.
        let is_tcp = ![connection.client, destination]
            .map(Endpoint::is_unix_key)
            .contains(&true);
        let ends = is_tcp.then(|| Addresses::new(connection.client, destination));
        let mut header = Vec::with_capacity(128);
        if self.version == Version::V1 {
            write_v1_with(ends, self.mapped, &mut header);
            return header;
        }
        let received = connection.proxy_header().filter(|_| self.pass_tlvs);
        let received = received.iter().flat_map(|header| header.tlvs());
        let is_set = |tlv: &Tlv<'_>| self.tlvs.iter().any(|(kind, _)| *kind == tlv.kind);
        let forwarded = received.filter(|tlv| !is_set(tlv));
        if self.write_v2(ends, forwarded, &mut header).is_err() {
            let written = self.write_v2(ends, [], &mut header);
            written.expect("`check` wrote the same TLVs");
        }
        header
    }

    fn write_v2<'a>(
        &'a self,
        ends: Option<Addresses>,
        forwarded: impl IntoIterator<Item = Tlv<'a>>,
        header: &mut Vec<u8>,
    ) -> Result<(), HeaderError> {
        let own = self.tlvs.iter();
        let own = own.map(|(kind, value)| Tlv::new(*kind, value));
        let tlvs = own.chain(forwarded);
        write_v2_with(ends, self.mapped, tlvs, self.checksum, header)
    }
}

/// Which PROXY protocol header the backends of an upstream get.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum HeaderSetting {
    /// What the listener sends.
    #[default]
    OfListener,
    /// This one, or none.
    Own(Option<Arc<SendProxy>>),
}
