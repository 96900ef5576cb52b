//! What the kernel still holds for the peer of a connection.

use std::io;
use std::time::Duration;

use nix::libc;
use nix::{getsockopt_impl, sockopt_impl};

use crate::net::stream::Stream;

/// As many words of the kernel's `struct tcp_info` as are needed: up to `tcpi_notsent_bytes`, which Linux has since 4.6.
type Words = [u32; 37];

/// `tcpi_state`, `tcpi_ca_state`, `tcpi_retransmits` and `tcpi_probes`, a byte each.
const STATES: usize = 0;
/// `tcpi_unacked`, in segments; a FIN counts.
const UNACKED: usize = 6;
/// `tcpi_last_data_sent`, in milliseconds before now.
const LAST_DATA_SENT: usize = 11;
/// `tcpi_notsent_bytes`.
const NOT_SENT: usize = 36;

sockopt_impl!(
    /// The state of a TCP connection.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    Words
);

/// The kernel's send queue of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendQueue {
    /// Whether the peer's kernel has acknowledged all that it was sent.
    pub(super) is_empty: bool,
    /// How long ago bytes were last sent. `None` while they are only repeated, because the peer does not answer.
    pub(super) moved: Option<Duration>,
    /// Whether the peer's kernel answers: nothing is being repeated, and no two probes of a closed window in a row are
    /// without an answer.
    pub(super) is_answered: bool,
}

impl SendQueue {
    /// Asks the kernel, by one system call.
    pub(super) fn of(stream: &Stream) -> io::Result<Self> {
        let words = nix::sys::socket::getsockopt(stream, TcpInfo)?;
        let [_, _, retransmits, probes] = words[STATES].to_ne_bytes();
        let moved = Duration::from_millis(words[LAST_DATA_SENT].into());
        Ok(Self {
            is_empty: words[UNACKED] == 0 && words[NOT_SENT] == 0,
            moved: (retransmits == 0).then_some(moved),
            is_answered: retransmits == 0 && probes < 2,
        })
    }
}
