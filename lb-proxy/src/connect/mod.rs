//! Connections to an upstream without a server: [`Upstream::connect`].

mod connected;
mod error;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use lb_core::{Endpoint, Tried};
use tokio::time::Instant;

use crate::config::{Retry, Timeouts};
use crate::connection::Connection;
use crate::lazy_timer::LazyTimer;
use crate::net::bind_source::BindSource;
use crate::net::options::SocketOptions;
use crate::session::connect::Dialed;
use crate::session::pick::Dial;
use crate::upstream::Upstream;
use crate::upstream::hash_key::HashKey;
use crate::upstream::send_proxy::HeaderSetting;

pub use connected::Connected;
pub use error::NoConnection;

impl Upstream {
    /// Connects to a backend, as a session of a [`Server`](crate::Server) does: waits for the first membership, lets the policy
    /// pick by `key`, tries other backends after failures, waits in the [queue](crate::UpstreamBuilder::queue), reports
    /// failures to the backend's state and to the sources, and sends the upstream's
    /// [PROXY header](crate::UpstreamBuilder::send_proxy). An empty key is none.
    ///
    /// For programs that speak with clients themselves: they end TLS, speak SOCKS or HTTP, or have no clients. The upstream
    /// must be followed: by a server, or by a [`Pool`](crate::Pool) of it. [`Relay::run_to`](crate::Relay::run_to) relays to
    /// the connection as fast as a session. Needs a Tokio runtime with I/O and time. Cancel-safe: dropping the future gives
    /// the pick back.
    ///
    /// ```
    /// use lb_proxy::Pool;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// # use tokio::net::TcpListener;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let addr = listener.local_addr()?.to_string();
    /// # tokio::spawn(async move {
    /// #     let (mut stream, _) = listener.accept().await.unwrap();
    /// #     let (mut read, mut write) = stream.split();
    /// #     tokio::io::copy(&mut read, &mut write).await.unwrap();
    /// # });
    /// let pool = Pool::fixed([addr.as_str()])?;
    /// let mut connected = pool.upstream().connect(b"user-17").await?;
    /// connected.write_all(b"hello").await?;
    /// let mut answer = [0; 5];
    /// connected.read_exact(&mut answer).await?;
    /// assert_eq!(&answer, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(&self, key: impl AsRef<[u8]>) -> Connect {
        Connect {
            upstream: self.clone(),
            key: HashKey::from_bytes(key.as_ref()),
            retry: Retry::default(),
            timeout: Timeouts::default().connect,
            bind_source: BindSource::any(),
            options: SocketOptions::default(),
            ends: None,
        }
    }
}

/// A connection to be made, of [`Upstream::connect`]. Awaiting it connects.
#[derive(Clone)]
#[must_use = "nothing connects before this is awaited"]
pub struct Connect {
    upstream: Upstream,
    key: HashKey,
    retry: Retry,
    timeout: Duration,
    bind_source: BindSource,
    options: SocketOptions,
    ends: Option<(SocketAddr, SocketAddr)>,
}

impl Connect {
    /// Sets how many backends are tried, and for how long. Default: [`Retry::default`], 15 s.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the time-out of one attempt. Default: 5 s, as of [`Timeouts::connect`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the address that the connection comes from. Default: the kernel chooses.
    pub fn bind_source(mut self, source: BindSource) -> Self {
        self.bind_source = source;
        self
    }

    /// Sets the options of the socket. Default: [`SocketOptions::default`].
    pub fn options(mut self, options: SocketOptions) -> Self {
        self.options = options;
        self
    }

    /// Names the client that the connection is made for, and the address that it connected to: for the upstream's PROXY
    /// header and a [computed](BindSource::computed) source address. Default: none. Then a header has no addresses: `LOCAL`,
    /// or `UNKNOWN` in version 1.
    pub fn client(mut self, client: SocketAddr, destination: SocketAddr) -> Self {
        self.ends = Some((client, destination));
        self
    }

    #[cfg(feature = "tower")]
    pub(crate) fn key(mut self, key: &[u8]) -> Self {
        self.key = HashKey::from_bytes(key);
        self
    }

    /// The connection as functions and headers see it.
    fn connection(&self) -> Connection {
        // A header about a unix socket has no addresses.
        let unnamed = Endpoint::unix_key(Path::new(""));
        let (client, destination) = self.ends.unwrap_or((unnamed, unnamed));
        Connection::new(client, destination)
    }

    /// The header that the backend gets first.
    fn header(&self) -> Vec<u8> {
        match self.upstream.header() {
            HeaderSetting::Own(Some(send)) => send.header(&self.connection()),
            HeaderSetting::OfListener | HeaderSetting::Own(None) => Vec::new(),
        }
    }

    async fn connect(self) -> Result<Connected, NoConnection> {
        let upstream = self.upstream.clone();
        let mut attempts = 0;
        let dialed = self.dial(&mut attempts);
        let caught = upstream.catch_future("Upstream::connect", dialed).await;
        caught.unwrap_or_else(|panicked| {
            let name = Arc::clone(upstream.shared_name());
            Err(NoConnection::of_panic(name, attempts, &panicked))
        })
    }

    async fn dial(self, attempts: &mut u32) -> Result<Connected, NoConnection> {
        let computed = self.bind_source.of(|| self.connection());
        let mut dial = Dial {
            upstream: &self.upstream,
            key: self.key.clone(),
            retry: &self.retry,
            connect_timeout: self.timeout,
            bind_source: computed.as_ref().unwrap_or(&self.bind_source),
            options: &self.options,
            attempts,
            timer: pin!(LazyTimer::new(Instant::now())),
            deadline: None,
            tried: Tried::new(),
            session: None,
            failure: None,
            last_error: None,
        };
        let dialed = dial.run().await;
        let (failure, last_error) = (dial.failure.take(), dial.last_error.take());
        match dialed {
            Ok(Dialed { lease, stream, .. }) => {
                let header = self.header();
                Ok(Connected::new(self.upstream, lease, stream, header))
            }
            Err(_) => {
                let name = Arc::clone(self.upstream.shared_name());
                Err(NoConnection::new(name, *attempts, failure, last_error))
            }
        }
    }
}

impl IntoFuture for Connect {
    type Output = Result<Connected, NoConnection>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("upstream", &self.upstream.name())
            .field("retry", &self.retry)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The futures of callers can be sent to other threads.
#[expect(dead_code, reason = "checked by the compiler")]
fn assert_send(connect: Connect) -> impl Future + Send {
    connect.connect()
}
