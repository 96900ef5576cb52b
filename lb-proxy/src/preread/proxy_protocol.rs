//! Headers that a listener receives.

use std::time::Duration;

use super::trusted_networks::TrustedNetworks;
use super::{Preread, PrereadContext, PrereadError, PrereadStatus};
use crate::parse_status::ParseStatus;
use crate::proxy_protocol::{
    Addresses, DEFAULT_LIMIT, HeaderError, HeaderErrorKind, MAX_LINE, ProxyHeader,
};

/// A [`Preread`] that takes the header from the beginning of a connection and believes what it says about the client.
///
/// Whoever may send a header may claim to be anybody, so it has to be said whose are believed. Any other peer is
/// refused where it could be mistaken for a client or its header for data:
///
/// | peer | header | [`required`](Self::required) | [`optional`](Self::optional) |
/// |---|---|---|---|
/// | trusted | valid | believed | believed |
/// | trusted | none | refused | served as it is |
/// | trusted | broken | refused | refused |
/// | other | none | refused unread | served as it is |
/// | other | any | refused unread | refused |
///
/// [`Untrusted::Disbelieve`] changes the last two lines. A header that names no client (`LOCAL`, `UNKNOWN`) leaves the
/// peer the client. To tell a header from none takes the first byte at the least: where it is optional, too, the client
/// has to speak first. Allocates only to keep the header, if there are hooks, or TLVs to be passed on.
///
/// ```
/// use std::sync::Arc;
///
/// use lb_proxy::Listener;
/// use lb_proxy::proxy_protocol::{ProxyProtocol, TrustedNetworks};
///
/// # #[allow(dead_code)]
/// # fn example(listener: Listener) -> Result<Listener, lb_proxy::proxy_protocol::NetworkError> {
/// let in_front = TrustedNetworks::parse(["10.0.0.0/24", "2001:db8::/64"])?;
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

/// What happens to peers that are not trusted.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Untrusted {
    /// Their headers are taken away unbelieved, as nginx does: the peer stays the client. They must send one where
    /// it is required.
    Disbelieve,
    /// They are refused if they send a header or should have sent one. The default.
    #[default]
    Refuse,
}

impl ProxyProtocol {
    /// Every connection must begin with a header.
    pub fn required(trusted: TrustedNetworks) -> Self {
        Self {
            trusted,
            required: true,
            untrusted: Untrusted::default(),
            limit: DEFAULT_LIMIT,
            timeout: Duration::from_secs(30),
        }
    }

    /// A connection may begin with a header. The specification advises against it: what the first bytes mean depends on
    /// who sends them.
    pub fn optional(trusted: TrustedNetworks) -> Self {
        Self {
            required: false,
            ..Self::required(trusted)
        }
    }

    /// Sets what happens to peers that are not trusted. Default: [`Untrusted::Refuse`].
    pub fn untrusted(mut self, untrusted: Untrusted) -> Self {
        self.untrusted = untrusted;
        self
    }

    /// Sets the longest header in bytes, all included. Default: [`DEFAULT_LIMIT`].
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Sets how long the header may take. Default: 30 s, nginx's `proxy_protocol_timeout`.
    #[doc(alias = "proxy_protocol_timeout")]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn accept(&self, header: &ProxyHeader<'_>, bytes: &[u8], context: &mut PrereadContext<'_>) {
        if let Some(Addresses {
            source,
            destination,
        }) = header.addresses
        {
            context.set_client(source);
            context.set_destination(destination);
        }
        context.keep_header(&bytes[..header.len]);
    }
}

impl Preread for ProxyProtocol {
    fn read(
        &self,
        bytes: &[u8],
        context: &mut PrereadContext<'_>,
    ) -> Result<PrereadStatus, PrereadError> {
        let trusts = self.trusted.contains(context.connection().peer.ip());
        let refuses = !trusts && self.untrusted == Untrusted::Refuse;
        if refuses && self.required {
            return Err(PrereadError::new(NotTrusted));
        }
        match ProxyHeader::parse(bytes, self.limit) {
            Ok(ParseStatus::Incomplete { .. }) => Ok(PrereadStatus::More),
            Err(HeaderError {
                kind: HeaderErrorKind::NotAHeader,
                ..
            }) if !self.required => Ok(PrereadStatus::Done { consumed: 0 }),
            _ if refuses => Err(PrereadError::new(NotTrusted)),
            Err(error) => Err(PrereadError::new(error)),
            Ok(ParseStatus::Complete(header)) => {
                if trusts {
                    self.accept(&header, bytes, context);
                }
                Ok(PrereadStatus::Done {
                    consumed: header.len,
                })
            }
        }
    }

    fn limit(&self) -> usize {
        // A line of version 1 has a limit of its own.
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
struct NotTrusted;
