//! Reads the ClientHello of a listener's connections.

use std::time::Duration;

use super::{Preread, PrereadContext, PrereadError, PrereadStatus};
use crate::client_hello::{ClientHello, ClientHelloError, DEFAULT_LIMIT};
use crate::parse_status::ParseStatus;

/// A [`Preread`] that parses the ClientHello and consumes no bytes.
///
/// The server name in it (SNI) chooses the upstream by the listener's [server names](crate::Listener::server_names). Hash keys,
/// routes and [hooks](crate::Hooks) see the name and the protocols. The listener's own upstream serves connections that
/// request no name or a name that is not in the table, which need not be a host name, and all bytes that are not TLS or not a valid ClientHello: how to
/// answer those is up to the backend. A connection is refused if its ClientHello is longer than the limit, not complete
/// in time, or cut off.
///
/// The session waits for the client's first byte, so a protocol in which the server speaks first needs a listener of its
/// own. Allocates a copy of the message only if it is spread over several records.
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
/// let listener = listener.preread(Arc::new(ClientHelloReader::new())).server_names(names);
/// Ok(Proxy::builder().listener(listener))
/// # }
/// ```
#[doc(alias = "ssl_preread")]
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientHelloReader {
    limit: usize,
    timeout: Duration,
}

impl ClientHelloReader {
    /// A reader with the default limit and time-out.
    pub fn new() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            timeout: Duration::from_secs(30),
        }
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
        context: &mut PrereadContext<'_>,
    ) -> Result<PrereadStatus, PrereadError> {
        match ClientHello::parse(bytes, self.limit) {
            Ok(ParseStatus::Complete(hello)) => {
                context.set_hello(&hello);
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
