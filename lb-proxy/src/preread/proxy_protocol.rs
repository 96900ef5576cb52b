//! Receives the header of a listener's connections.

use std::time::Duration;

use super::trusted_networks::TrustedNetworks;
use super::{Preread, PrereadContext, PrereadError, PrereadStatus};
use crate::parse_status::ParseStatus;
use crate::proxy_protocol::{
    Addresses, DEFAULT_LIMIT, HeaderError, HeaderErrorKind, MAX_LINE, ProxyHeader,
};

/// A [`Preread`] that consumes the header at the beginning of a connection and takes the client's address from it.
///
/// A sender can claim any client address, so only headers of trusted networks are believed. A peer of another network
/// is refused where the listener could mistake the peer for a client or its header for data:
///
/// | peer | header | [`required`](Self::required) | [`optional`](Self::optional) |
/// |---|---|---|---|
/// | trusted | valid | believed | believed |
/// | trusted | none | refused | served as the client |
/// | trusted | invalid | refused | refused |
/// | untrusted | none | refused unread | served as the client |
/// | untrusted | any | refused unread | refused |
///
/// [`Untrusted::Disbelieve`] changes the last two rows. After a header that names no client (`LOCAL`, `UNKNOWN`) the
/// peer counts as the client. The listener needs at least the first byte to distinguish a header from data, so the client has
/// to speak first even where the header is optional. Allocates only to keep the header for hooks or for TLVs to forward.
///
/// ```
/// use std::sync::Arc;
///
/// use lb_proxy::Listener;
/// use lb_proxy::proxy_protocol::{ProxyProtocol, TrustedNetworks};
///
/// # #[allow(dead_code)]
/// # fn example(listener: Listener) -> Result<Listener, lb_proxy::access::NetworkError> {
/// let in_front = TrustedNetworks::try_new(["10.0.0.0/24", "2001:db8::/64"])?;
/// Ok(listener.preread(Arc::new(ProxyProtocol::required(in_front))))
/// # }
/// ```
#[doc(alias = "accept-proxy")]
#[derive(Clone, Debug)]
#[must_use]
pub struct ProxyProtocol {
    trusted: TrustedNetworks,
    required: bool,
    untrusted: Untrusted,
    limit: usize,
    timeout: Duration,
}

/// What the listener does with peers that are not trusted.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Untrusted {
    /// Drops their headers unbelieved, as nginx does: the peer counts as the client. A missing header is refused where
    /// one is required.
    Disbelieve,
    /// Refuses them if they send a header or should have sent one. The default.
    #[default]
    Refuse,
}

impl ProxyProtocol {
    /// Requires a header at the beginning of every connection.
    pub fn required(trusted: TrustedNetworks) -> Self {
        Self {
            trusted,
            required: true,
            untrusted: Untrusted::default(),
            limit: DEFAULT_LIMIT,
            timeout: Duration::from_secs(30),
        }
    }

    /// Allows a header at the beginning of a connection.
    ///
    /// The specification advises against it, because the meaning of the first bytes then depends on the sender.
    pub fn optional(trusted: TrustedNetworks) -> Self {
        Self {
            required: false,
            ..Self::required(trusted)
        }
    }

    /// Sets what the listener does with peers that are not trusted. Default: [`Untrusted::Refuse`].
    pub fn untrusted(mut self, untrusted: Untrusted) -> Self {
        self.untrusted = untrusted;
        self
    }

    /// Sets the length of the longest header in bytes. Default: [`DEFAULT_LIMIT`].
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Sets how long the listener waits for the header. Default: 30 s, nginx's `proxy_protocol_timeout`.
    #[doc(alias = "proxy_protocol_timeout")]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn believe(header: &ProxyHeader<'_>, context: &mut PrereadContext<'_>) {
        if let Some(Addresses {
            source,
            destination,
        }) = header.addresses
        {
            context.set_client(source);
            context.set_destination(destination);
        }
    }
}

impl Preread for ProxyProtocol {
    fn read(
        &self,
        bytes: &[u8],
        context: &mut PrereadContext<'_>,
    ) -> Result<PrereadStatus, PrereadError> {
        let is_trusted = self.trusted.contains_peer(context.connection().peer);
        let is_refused = !is_trusted && self.untrusted == Untrusted::Refuse;
        if is_refused && self.required {
            return Err(PrereadError::new(UntrustedPeer));
        }
        match ProxyHeader::parse(bytes, self.limit) {
            Ok(ParseStatus::Incomplete { .. }) => Ok(PrereadStatus::More),
            Err(HeaderError {
                kind: HeaderErrorKind::NotAHeader,
                ..
            }) if !self.required => Ok(PrereadStatus::Done { consumed: 0 }),
            _ if is_refused => Err(PrereadError::new(UntrustedPeer)),
            Err(error) => Err(PrereadError::new(error)),
            Ok(ParseStatus::Complete(header)) => {
                if is_trusted {
                    Self::believe(&header, context);
                }
                context.keep_header(&bytes[..header.len], is_trusted);
                Ok(PrereadStatus::Done {
                    consumed: header.len,
                })
            }
        }
    }

    fn limit(&self) -> usize {
        // A version 1 line has its own limit.
        self.limit.max(MAX_LINE)
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.timeout)
    }

    fn names_client(&self) -> bool {
        true
    }
}

#[derive(Debug, thiserror::Error)]
#[error("PROXY protocol headers of this peer are not trusted")]
struct UntrustedPeer;
