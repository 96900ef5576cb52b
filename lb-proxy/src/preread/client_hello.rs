//! Reads the ClientHello of a listener's connections.

use std::time::Duration;

use super::{Preread, PrereadContext, PrereadError, PrereadStatus};
use crate::client_hello::{ClientHello, ClientHelloError, DEFAULT_LIMIT};
use crate::parse_status::ParseStatus;
use crate::server_names::ServerNames;
use crate::upstream::Upstream;

/// A [`Preread`] that chooses the upstream by the server name in the ClientHello. It consumes no bytes.
///
/// The listener's own upstream serves clients that request no name or a name that is not in the table, other protocols
/// than TLS, and ClientHellos that cannot be parsed: the backend is the one to answer them. A connection is refused if
/// its ClientHello is longer than the limit, not complete in time, or cut off. [Hooks](crate::Hooks) see the name and
/// the protocols.
///
/// The listener waits for the client's first byte, so a protocol in which the server speaks first needs a listener of
/// its own. Allocates a copy of the message only if it is spread over several records.
///
/// ```
/// use std::sync::Arc;
///
/// use lb_proxy::client_hello::ClientHelloReader;
/// use lb_proxy::server_names::ServerNames;
/// use lb_proxy::{Listener, Proxy, ProxyBuilder, Upstream};
///
/// # #[allow(dead_code)]
/// # fn example(web: &Upstream, default: &Upstream) -> Result<ProxyBuilder, Box<dyn std::error::Error>> {
/// let mut names = ServerNames::new();
/// names.insert("www.example.com", web.clone())?;
/// let listener = Listener::new("[::]:443".parse()?, default);
/// let listener = listener.preread(Arc::new(ClientHelloReader::new().upstreams(names)));
/// // No listener names `web`.
/// Ok(Proxy::builder().listener(listener).upstream(web))
/// # }
/// ```
#[doc(alias = "ssl_preread")]
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientHelloReader {
    upstreams: ServerNames<Upstream>,
    limit: usize,
    timeout: Duration,
}

impl ClientHelloReader {
    /// Reads the ClientHello for hooks only: the listener's own upstream serves every client.
    pub fn new() -> Self {
        Self {
            upstreams: ServerNames::new(),
            limit: DEFAULT_LIMIT,
            timeout: Duration::from_secs(30),
        }
    }

    /// Sets the upstreams by server name. Default: none.
    ///
    /// All of them must be [known to the proxy](crate::ProxyBuilder::upstream).
    pub fn upstreams(mut self, upstreams: ServerNames<Upstream>) -> Self {
        self.upstreams = upstreams;
        self
    }

    /// Sets how many bytes are read at most, record headers included. Default: [`DEFAULT_LIMIT`].
    #[doc(alias = "preread_buffer_size")]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Sets how long the listener waits for the message. Default: 30 s, nginx's `preread_timeout`.
    #[doc(alias = "preread_timeout")]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Default for ClientHelloReader {
    fn default() -> Self {
        Self::new()
    }
}

impl Preread for ClientHelloReader {
    fn read(
        &self,
        bytes: &[u8],
        context: &mut PrereadContext,
    ) -> Result<PrereadStatus, PrereadError> {
        match ClientHello::parse(bytes, self.limit) {
            Ok(ParseStatus::Complete(hello)) => {
                let name = hello.server_name();
                if let Some(upstream) = name.as_deref().and_then(|name| self.upstreams.find(name)) {
                    context.set_upstream(upstream);
                }
                context.keep_names(name.as_deref(), hello.alpn());
            }
            Ok(ParseStatus::Incomplete { .. }) => return Ok(PrereadStatus::More),
            Err(error @ ClientHelloError::TooLong { .. }) => return Err(PrereadError::new(error)),
            Err(ClientHelloError::Malformed { .. } | ClientHelloError::NotTls { .. }) => {}
        }
        Ok(PrereadStatus::Done { consumed: 0 })
    }

    fn limit(&self) -> usize {
        self.limit
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.timeout)
    }
}
