//! The settings of PROXY protocol headers that backends receive.

use crate::proxy_protocol::{SendProxy, Version};

/// The PROXY protocol header that backends receive: [`SendProxy`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SendProxySettings {
    /// The version: `v1`, a line of text, or `v2`, binary.
    pub version: Version,
    /// Fields of every header of version 2. Default: none.
    #[serde(default)]
    pub tlvs: Vec<TlvSettings>,
    /// Whether the TLVs of a received and believed header are forwarded. Default: false.
    #[serde(default)]
    pub pass_tlvs: bool,
    /// Whether a header of version 2 has a checksum. Default: false.
    #[serde(default)]
    pub checksum: bool,
    /// Whether the destination is always the address of our socket, as in nginx. Default: false.
    #[serde(default)]
    pub local_destination: bool,
    /// Whether IPv4-mapped IPv6 addresses are written as nginx writes them. Default: false, as IPv4.
    #[serde(default)]
    pub mapped_as_nginx: bool,
}

/// A field of a header of version 2.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TlvSettings {
    /// The type, such as 224 (PP2_TYPE_MIN_CUSTOM).
    pub kind: u8,
    /// The value.
    pub value: Box<str>,
}

impl TlvSettings {
    /// The field `kind` with a text.
    pub fn new(kind: u8, value: impl Into<Box<str>>) -> Self {
        Self {
            kind,
            value: value.into(),
        }
    }
}

impl SendProxySettings {
    /// A header of `version`, everything else at its default.
    pub fn new(version: Version) -> Self {
        Self {
            version,
            tlvs: Vec::new(),
            pass_tlvs: false,
            checksum: false,
            local_destination: false,
            mapped_as_nginx: false,
        }
    }

    pub(super) fn build(&self) -> SendProxy {
        let send = match self.version {
            Version::V1 => SendProxy::v1(),
            Version::V2 => SendProxy::v2(),
        };
        let send = send
            .pass_tlvs(self.pass_tlvs)
            .checksum(self.checksum)
            .local_destination(self.local_destination)
            .mapped_as_nginx(self.mapped_as_nginx);
        let tlvs = self.tlvs.iter();
        tlvs.fold(send, |send, tlv| send.tlv(tlv.kind, tlv.value.as_bytes()))
    }
}
