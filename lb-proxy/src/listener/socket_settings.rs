//! The settings of a listener's sockets.

use super::description::Listener;
use crate::into_shared::IntoShared;
use crate::net::unix::UnixSocketOpener;

/// Settings of the listening sockets.
impl Listener {
    /// Sets the permissions of the file that [`unix`](Self::unix) makes. Default: 0o666, as in nginx: the permissions of the
    /// directory decide which programs reach it.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Sets what opens the socket of [`unix`](Self::unix) and removes its file. Default: this process.
    pub fn opener(mut self, opener: impl IntoShared<dyn UnixSocketOpener>) -> Self {
        self.opener = Some(opener.into_shared());
        self
    }

    /// Sets whether it opens a socket of its own. Default: yes.
    ///
    /// Without, another listener of the proxy must be on the wildcard of the port. The wildcard's socket accepts the
    /// connections of both, and the local address of each connection says which listener serves it. An address that is
    /// added or removed by a reload then opens and closes no socket. `[::]` without [`ipv6_only`](Self::ipv6_only) covers IPv4
    /// addresses, too, among them `0.0.0.0`.
    ///
    /// The [`client_options`](Self::client_options) are set on each connection if they differ from the wildcard's; all that
    /// belongs to the socket, such as the [`backlog`](Self::backlog), is the wildcard's. While accepting pauses for a limit
    /// of one of the listeners, it pauses for all of the socket. A connection to the wildcard's socket costs one more system
    /// call.
    #[doc(alias = "bind", alias = "use_original_dst")]
    pub fn bind_to_port(mut self, binds: bool) -> Self {
        self.binds = binds;
        self
    }

    /// Sets how many connections the kernel queues while they wait to be accepted. Default: 4096, which the kernel
    /// lowers to `net.core.somaxconn`. With workers, for each of them.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.bind.backlog = backlog;
        self
    }

    /// Sets whether an IPv6 wildcard leaves IPv4 alone. Default: no, `[::]` takes both.
    pub fn ipv6_only(mut self, ipv6_only: bool) -> Self {
        self.bind.ipv6_only = ipv6_only;
        self
    }

    /// Sets whether its address may be one that no interface has (`IP_FREEBIND`, `IPV6_FREEBIND`). Default: no, then binding fails.
    ///
    /// Such an address gets connections once it is local: when another machine hands it over, or by a local route, as in
    /// `ip route add local 192.0.2.0/24 dev lo`. For IPv4 such a route is enough to bind; IPv6 needs this setting besides, or
    /// `net.ipv6.ip_nonlocal_bind`. Linux alone has it. It counts when sockets are opened: a reload that changes it keeps them.
    #[doc(alias = "transparent")]
    pub fn freebind(mut self, freebind: bool) -> Self {
        self.bind.freebind = freebind;
        self
    }

    /// Sets whether other processes may listen on the same address (`SO_REUSEPORT`). Default: no. Workers of one proxy
    /// share an address in any case; without this setting that costs one more descriptor, which keeps the address from
    /// other processes of the same user.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.bind.reuse_port = reuse_port;
        self
    }

    /// Sets whether clients may use several paths at a time (multipath TCP, RFC 8684). Default: no. Other clients are
    /// served as with TCP. Linux alone has it, if it is built in and `net.mptcp.enabled` is 1; otherwise binding fails. A
    /// reload that changes it opens other sockets.
    #[doc(alias = "MPTCP")]
    pub fn multipath(mut self, multipath: bool) -> Self {
        self.bind.multipath = multipath;
        self
    }

    /// Sets how many connections with data in their first packet may wait for the end of their handshake (TCP fast open,
    /// RFC 7413). Default: the system's, on Linux none. The backends must tolerate the same request twice.
    #[doc(alias = "fastopen")]
    pub fn fast_open(mut self, queue: Option<u32>) -> Self {
        self.bind.fast_open = queue;
        self
    }
}
