//! Opening the sockets of a listener.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How a socket is to listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listening {
    pub(crate) addr: SocketAddr,
    pub(super) backlog: u32,
    pub(crate) ipv6_only: bool,
    pub(crate) reuse_port: bool,
}

/// What [`Listening::open`] has opened.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) sockets: Vec<TcpListener>,
    /// Where several sockets share an address that is not to be shared with others: see [`share`](super::share).
    pub(super) guard: Option<Socket>,
}

impl Listening {
    /// Opens `count` sockets on one address, between which the kernel spreads connections.
    ///
    /// The first binds alone unless the address may be shared with others: that tells if another program listens there.
    /// `beside` says that sockets of this proxy are in the way and have been [relaxed](super::Held::relax).
    ///
    /// With several sockets, or `beside` others, [`settle`](super::share::settle) must follow.
    pub(super) fn open(mut self, count: usize, beside: bool) -> io::Result<Open> {
        let shares = beside || self.reuse_port;
        let guarded = count > 1 && !self.reuse_port;
        let mut noted = beside.then(|| self.note_as_ipv4());
        let mut guard = None;
        if guarded {
            let socket = self.guard(shares)?;
            self.addr = addr_of(&socket)?;
            guard = Some(socket);
            noted.get_or_insert_with(|| self.note_as_ipv4());
        }
        let mut sockets = Vec::with_capacity(count);
        for _ in 0..count {
            let socket = self.bind(shares || guarded)?;
            self.listen(&socket)?;
            // Where the kernel was to choose the port, it has done so.
            self.addr = addr_of(&socket)?;
            sockets.push(socket.into());
        }
        Ok(Open { sockets, guard })
    }

    /// A socket that holds the address and does not listen. Sockets without `SO_REUSEPORT` cannot bind there.
    pub(super) fn guard(&self, beside: bool) -> io::Result<Socket> {
        let socket = self.bind(beside)?;
        // With it, another program's socket may bind beside one that does not listen.
        socket.set_reuse_address(false)?;
        socket.set_reuse_port(true)?;
        Ok(socket)
    }

    /// For a socket of both families, binds its IPv4 half for as long as the result lives. The kernel then remembers
    /// that half and not the whole, which [`settle`](super::share::settle) could not make it forget: every address is part of the whole.
    fn note_as_ipv4(&self) -> Option<Socket> {
        let dual_stack = self.addr.ip().is_unspecified() && self.addr.is_ipv6() && !self.ipv6_only;
        let half = Self {
            addr: ([0, 0, 0, 0], self.addr.port()).into(),
            ..*self
        };
        // Without it the address is served as well, only not kept from other programs of the same user.
        dual_stack.then(|| half.bind(true).ok()).flatten()
    }

    fn bind(&self, reuse_port: bool) -> io::Result<Socket> {
        let domain = Domain::for_address(self.addr);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        if self.addr.is_ipv6() {
            socket.set_only_v6(self.ipv6_only)?;
        }
        if reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&self.addr.into())?;
        Ok(socket)
    }

    pub(super) fn listen(&self, socket: &Socket) -> io::Result<()> {
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))
    }

    /// Whether a connection could be meant for a socket of either, so that the kernel lets both be open only if they
    /// share.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let covers = |a: &Self, b: &Self| match (a.addr.ip(), b.addr.ip()) {
            (IpAddr::V6(a_ip), IpAddr::V4(_)) if a_ip.is_unspecified() => !a.ipv6_only,
            (a_ip, b_ip) if a_ip.is_ipv4() == b_ip.is_ipv4() => {
                a_ip.is_unspecified() || a_ip == b_ip
            }
            _ => false,
        };
        self.addr.port() == other.addr.port() && (covers(self, other) || covers(other, self))
    }
}

fn addr_of(socket: &Socket) -> io::Result<SocketAddr> {
    let addr = socket.local_addr()?.as_socket();
    addr.ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// The socket for each of `count` workers: they share the one there is.
pub(super) fn clones(socket: &TcpListener, count: usize) -> io::Result<Vec<TcpListener>> {
    (0..count).map(|_| socket.try_clone()).collect()
}

/// Applies options that accepted connections inherit.
pub(super) fn hand_down(
    sockets: &[TcpListener],
    options: &crate::net::options::SocketOptions,
) -> io::Result<()> {
    let mut sockets = sockets.iter();
    sockets.try_for_each(|socket| options.apply(&SockRef::from(socket)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_overlap_with_what_they_cover() {
        let listening = |text: &str, ipv6_only| Listening {
            addr: text.parse().unwrap(),
            backlog: 1,
            ipv6_only,
            reuse_port: false,
        };
        let dual = listening("[::]:1", false);
        let six = listening("[::]:1", true);
        let four = listening("0.0.0.0:1", false);
        let [a, b, c] = ["127.0.0.1:1", "127.0.0.2:1", "[::1]:1"].map(|t| listening(t, true));
        for (one, other, expected) in [
            (&dual, &six, true),
            (&dual, &four, true),
            (&dual, &a, true),
            (&dual, &c, true),
            (&six, &four, false),
            (&six, &a, false),
            (&six, &c, true),
            (&four, &a, true),
            (&four, &c, false),
            (&a, &a, true),
            (&a, &b, false),
            (&a, &listening("127.0.0.1:2", true), false),
        ] {
            assert_eq!(one.overlaps(other), expected, "{one:?} {other:?}");
            assert_eq!(other.overlaps(one), expected, "{other:?} {one:?}");
        }
    }
}
