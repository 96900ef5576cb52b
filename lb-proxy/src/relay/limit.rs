//! How much a direction that was cut still reads.

use super::socket::readable;
use crate::net::stream::Stream;

/// Bytes that the kernel had acknowledged when the session was cut are still relayed. What arrives later is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Limit {
    /// As many bytes as the kernel says. The count stops at an urgent byte; `behind` tells to count once more there.
    Bytes { left: usize, behind: bool },
    /// One more read: the end may stand there, or an urgent byte in front of more bytes.
    Look,
    /// The session is not cut.
    None,
    /// Nothing more.
    Spent,
}

impl Limit {
    /// What `source` can be read now.
    pub(super) fn now(source: &Stream) -> Self {
        match readable(source) {
            0 => Self::Look,
            left => Self::Bytes { left, behind: true },
        }
    }

    /// How much the next read may take.
    pub(super) const fn most(self) -> usize {
        match self {
            Self::Bytes { left, .. } => left,
            Self::Look | Self::None => usize::MAX,
            Self::Spent => 0,
        }
    }

    /// What is left after a read of `n` bytes of `source`.
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
