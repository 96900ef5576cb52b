//! The settings of readers of first bytes.

use std::time::Duration;

use lb_core::serde_form::DurationForm;
use lb_discovery::Network;

use crate::client_hello::{self, ClientHelloReader};
use crate::proxy_protocol::{self, ProxyProtocol, TrustedNetworks, Untrusted};

/// The PROXY protocol headers that clients send: [`ProxyProtocol`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ProxyProtocolSettings {
    /// The networks whose headers are believed. Default: none.
    pub trusted: Vec<Network>,
    /// Whether peers on unix sockets are trusted, too. Default: false.
    pub trust_unix: bool,
    /// Whether every connection must have a header. Default: true.
    pub required: bool,
    /// What happens to peers that are not trusted. Default: `refuse`.
    pub untrusted: Untrusted,
    /// The length of the longest header. Default: 4KiB.
    #[serde(with = "crate::byte_form::ByteSize")]
    pub limit: usize,
    /// How long the listener waits for the header. Default: 30s.
    #[serde(with = "DurationForm")]
    pub timeout: Duration,
}

impl Default for ProxyProtocolSettings {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            trust_unix: false,
            required: true,
            untrusted: Untrusted::default(),
            limit: proxy_protocol::DEFAULT_LIMIT,
            timeout: Duration::from_secs(30),
        }
    }
}

impl ProxyProtocolSettings {
    pub(super) fn build(&self) -> ProxyProtocol {
        let mut trusted: TrustedNetworks = self.trusted.iter().copied().collect();
        if self.trust_unix {
            trusted = trusted.trust_unix();
        }
        let reader = match self.required {
            true => ProxyProtocol::required(trusted),
            false => ProxyProtocol::optional(trusted),
        };
        reader
            .untrusted(self.untrusted)
            .limit(self.limit)
            .timeout(self.timeout)
    }
}

/// The reader of server names in TLS (SNI): [`ClientHelloReader`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ClientHelloSettings {
    /// How many bytes are read at most. Default: 16KiB.
    #[serde(with = "crate::byte_form::ByteSize")]
    pub limit: usize,
    /// How long the listener waits for the message. Default: 30s.
    #[serde(with = "DurationForm")]
    pub timeout: Duration,
}

impl Default for ClientHelloSettings {
    fn default() -> Self {
        Self {
            limit: client_hello::DEFAULT_LIMIT,
            timeout: Duration::from_secs(30),
        }
    }
}

impl ClientHelloSettings {
    pub(super) fn build(&self) -> ClientHelloReader {
        ClientHelloReader::new()
            .limit(self.limit)
            .timeout(self.timeout)
    }
}
