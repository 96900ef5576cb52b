//! The read limit of a session that was cut.

use super::socket::readable;
use crate::net::stream::Stream;

/// How much a direction still reads after the cut: the bytes that the kernel had acknowledged by then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReadLimit {
    /// This many bytes, as the kernel counted them. The count stops at an urgent byte; with `behind` the bytes behind it
    /// are counted once more.
    Bytes { left: usize, behind: bool },
    /// One more read, for an end or an urgent byte in front of more bytes.
    Look,
    /// No limit: the session is not cut.
    None,
    /// No more reads.
    Spent,
}

impl ReadLimit {
    /// Limits a direction to the bytes that `source` can be read now.
    pub(super) fn now(source: &Stream) -> Self {
        match readable(source) {
            0 => Self::Look,
            left => Self::Bytes { left, behind: true },
        }
    }

    /// The most bytes that the next read may take.
    pub(super) const fn most(self) -> usize {
        match self {
            Self::Bytes { left, .. } => left,
            Self::Look | Self::None => usize::MAX,
            Self::Spent => 0,
        }
    }

    /// The limit after a read of `n` bytes from `source`.
    pub(super) fn after(self, n: usize, source: &Stream) -> Self {
        match self {
            Self::Bytes { left, behind } if n < left => Self::Bytes {
                left: left - n,
                behind,
            },
            Self::Bytes { behind: true, .. } => Self::Look,
            Self::Look if source.may_be_urgent() => match readable(source) {
                0 => Self::Spent,
                left => Self::Bytes {
                    left,
                    behind: false,
                },
            },
            Self::None => Self::None,
            _ => Self::Spent,
        }
    }
}
