//! A service that connects.

use std::task::{Context, Poll};

use tower_service::Service;

use super::CallFuture;
use crate::connect::{Connect, Connected, NoConnection};

/// A service that connects to a backend: each call is an [`Upstream::connect`](crate::Upstream::connect) with the request as its
/// key.
///
/// For clients that take a connector, and for protocols of one's own. [`Connect::into_service`] makes one.
///
/// ```
/// use lb_proxy::Pool;
/// use tokio::io::AsyncReadExt;
/// use tower::{Service, ServiceExt};
/// # use tokio::io::AsyncWriteExt;
/// # use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let addr = listener.local_addr()?.to_string();
/// # tokio::spawn(async move {
/// #     let (mut stream, _) = listener.accept().await.unwrap();
/// #     stream.write_all(b"welcome").await.unwrap();
/// # });
/// let pool = Pool::fixed([addr.as_str()])?;
/// let connector = pool.upstream().connect(b"").into_service();
/// // A client that connects to users, not to keys.
/// let mut users = connector.map_request(|user: u64| user.to_be_bytes());
/// let mut connected = users.ready().await?.call(17).await?;
/// let mut welcome = String::new();
/// connected.read_to_string(&mut welcome).await?;
/// assert_eq!(welcome, "welcome");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connector(Connect);

impl Connect {
    /// A service whose calls connect with these settings, each with a key of its own. Available with the feature `tower`.
    pub const fn into_service(self) -> Connector {
        Connector(self)
    }
}

impl<K: AsRef<[u8]>> Service<K> for Connector {
    type Response = Connected;
    type Error = NoConnection;
    type Future = CallFuture<Connected, NoConnection>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, key: K) -> Self::Future {
        self.0.clone().key(key.as_ref()).into_future()
    }
}
