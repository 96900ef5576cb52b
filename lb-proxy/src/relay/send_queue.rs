//! The kernel's send queue of a connection.

use std::io;
use std::time::Duration;

use nix::libc;
use nix::{getsockopt_impl, sockopt_impl};

use crate::net::stream::Stream;
use crate::net::tcp_info::TcpInfo;

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
        let info = TcpInfo::of(stream)?;
        // Bytes wait in the connection before one of its paths has them.
        let is_forwarded = !stream.is_multipath()
            || nix::sys::socket::getsockopt(stream, MultipathInfo)
                .is_ok_and(|words| words[WRITE_SEQUENCE] == words[UNACKNOWLEDGED]);
        Ok(Self {
            is_empty: info.unacknowledged == 0 && info.unsent == 0 && is_forwarded,
            moved: (info.timeouts == 0).then_some(info.last_sent),
            is_answered: info.timeouts == 0 && info.probes < 2,
        })
    }
}
