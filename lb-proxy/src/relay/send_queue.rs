//! The kernel's send queue of a connection.

use std::io;
use std::time::Duration;

use nix::libc;
use nix::{getsockopt_impl, sockopt_impl};

use crate::net::stream::Stream;

/// The first words of the kernel's `struct tcp_info`, up to `tcpi_notsent_bytes`, which Linux has since 4.6.
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

/// The first words of the kernel's `struct mptcp_info`.
type MultipathWords = [u64; 4];

/// `mptcpi_write_seq`: the number of the next byte that is written.
const WRITE_SEQUENCE: usize = 2;
/// `mptcpi_snd_una`: the number of the first byte that is not acknowledged.
const UNACKNOWLEDGED: usize = 3;

sockopt_impl!(
    /// The state of a connection of multipath TCP.
    MultipathInfo,
    GetOnly,
    SOL_MPTCP,
    MPTCP_INFO,
    MultipathWords
);

/// From `linux/mptcp.h`.
const SOL_MPTCP: libc::c_int = 284;
const MPTCP_INFO: libc::c_int = 1;

/// The state of a send queue at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendQueue {
    /// Whether the peer's kernel has acknowledged everything, the end included.
    pub(super) is_empty: bool,
    /// How long ago the kernel last sent new bytes. `None` while it only retransmits, because the peer does not answer.
    pub(super) moved: Option<Duration>,
    /// Whether the peer's kernel answers: nothing is retransmitted, and at most one zero-window probe is unanswered.
    pub(super) is_answered: bool,
}

impl SendQueue {
    /// Reads the state of the send queue of `stream` by one system call. An error for a unix socket: what is written to it
    /// is in the peer's queue at once, and its close discards nothing.
    pub(super) fn of(stream: &Stream) -> io::Result<Self> {
        if stream.is_unix() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let words = nix::sys::socket::getsockopt(stream, TcpInfo)?;
        let [_, _, retransmits, probes] = words[STATES].to_ne_bytes();
        // Bytes wait in the connection before one of its paths has them.
        let is_forwarded = !stream.is_multipath()
            || nix::sys::socket::getsockopt(stream, MultipathInfo)
                .is_ok_and(|words| words[WRITE_SEQUENCE] == words[UNACKNOWLEDGED]);
        let moved = Duration::from_millis(words[LAST_DATA_SENT].into());
        Ok(Self {
            is_empty: words[UNACKED] == 0 && words[NOT_SENT] == 0 && is_forwarded,
            moved: (retransmits == 0).then_some(moved),
            is_answered: retransmits == 0 && probes < 2,
        })
    }
}
