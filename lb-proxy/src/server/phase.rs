//! The phases of a server.

/// The phase of a [`Server`](crate::Server). A server passes through the phases in this order.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// The sockets are open, and connections wait in the kernel's queue.
    Starting,
    /// Connections are accepted.
    Serving,
    /// Connections are still accepted, but the server is not ready any more: time for load balancers in front and for DNS
    /// to notice.
    Leaving,
    /// No connections are accepted. Open sessions may end by themselves.
    Draining,
    /// The remaining sessions are reset.
    Closing,
    /// No session is left.
    Ended,
}

crate::names::names!(Phase {
    Starting = "starting",
    Serving = "serving",
    Leaving = "leaving",
    Draining = "draining",
    Closing = "closing",
    Ended = "ended",
});
