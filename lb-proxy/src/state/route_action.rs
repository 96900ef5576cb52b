//! The decision of a route function.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use super::split::Split;
use crate::upstream::Upstream;

/// Where a session goes, as the function of [`Listener::route`](crate::Listener::route) decides.
#[non_exhaustive]
pub enum RouteAction {
    /// To the upstream that the server names and the prereads choose, or else to that of the listener.
    Default,
    /// To the upstream that a future computes, for example one with the addresses of a name that is looked up now.
    ///
    /// The future runs on the session's task, and is dropped when the client goes away or the server is shut down. It has
    /// no time-out but its own. Its output may be another future.
    Later(Pin<Box<dyn Future<Output = Self> + Send>>),
    /// To another listener of the proxy.
    ///
    /// The session goes on as if that listener had accepted the connection: its limits, access rules, hooks, prereads
    /// and route apply, and its prereads get the bytes that the prereads before them have left. What the first bytes have
    /// contained so far, the client's address among it, stays known, and the permits of the listeners before stay acquired. The
    /// hooks of each listener are notified of the [acceptance](crate::Hooks::accept), those of the last one of the rest.
    ///
    /// A listener is found by its address, or if it listens on a wildcard address by its port and family. The client is
    /// refused if there is none, or after 10 passes.
    Pass(SocketAddr),
    /// Nowhere: the client is refused, for a reason that is [logged](crate::events::FAILURES_TARGET).
    Refuse(Cow<'static, str>),
    /// Nowhere: the client gets these bytes, and then the end of the stream.
    ///
    /// The session ends when the client's kernel has acknowledged them, or has accepted none for 5 s. What the client sends
    /// is discarded.
    Respond(Arc<[u8]>),
    /// To the target of a split that has the next turn: one of several upstreams by weight, or a refusal.
    Split(Arc<Split>),
    /// To this upstream.
    ///
    /// Backends that are known only when the session arrives are an upstream that is [built](crate::UpstreamBuilder::fixed)
    /// for it.
    Upstream(Upstream),
}

impl RouteAction {
    /// [`Later`](Self::Later) with this future.
    pub fn later<A: Into<Self>>(action: impl Future<Output = A> + Send + 'static) -> Self {
        Self::Later(Box::pin(async move { action.await.into() }))
    }
}

impl From<Upstream> for RouteAction {
    fn from(upstream: Upstream) -> Self {
        Self::Upstream(upstream)
    }
}

impl From<Option<Upstream>> for RouteAction {
    fn from(upstream: Option<Upstream>) -> Self {
        upstream.map_or(Self::Default, Self::Upstream)
    }
}

impl fmt::Debug for RouteAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            Self::Later(_) => f.write_str("Later"),
            Self::Pass(addr) => f.debug_tuple("Pass").field(addr).finish(),
            Self::Refuse(reason) => f.debug_tuple("Refuse").field(reason).finish(),
            Self::Respond(bytes) => f.debug_tuple("Respond").field(&bytes.len()).finish(),
            Self::Split(split) => f.debug_tuple("Split").field(split).finish(),
            Self::Upstream(upstream) => f.debug_tuple("Upstream").field(upstream).finish(),
        }
    }
}
