//! The states of one direction of a relay.

/// How far a direction has got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// The source has ended and the sink has everything but the end.
    AtEnd,
    /// The source's end was passed on.
    Done,
    /// The source has ended; what is held goes first.
    Ending,
    /// Bytes may come.
    Open,
    /// The sink takes no more, but had ended its own stream before.
    SinkClosed,
    /// The sink was reset.
    SinkReset,
    /// The source was reset, and the sink has all that came before.
    SourceReset,
    /// The session was cut, and the sink has all that had been acknowledged to the source by then.
    Stopped,
}

impl State {
    /// Whether nothing moves in this direction any more.
    pub(super) const fn is_final(self) -> bool {
        !matches!(self, Self::Ending | Self::Open)
    }

    /// Whether the sink takes no more.
    pub(super) const fn is_sink_broken(self) -> bool {
        matches!(self, Self::SinkClosed | Self::SinkReset)
    }

    /// Whether the sink has all that the source sent.
    pub(super) const fn is_complete(self) -> bool {
        matches!(self, Self::AtEnd | Self::Done)
    }
}

/// What is known of a source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Source {
    Alive,
    /// Broken, but its stream had ended before, so that reading leads to that end.
    Ended,
    /// Broken in the middle of its stream. The kernel reports that once, so that reading may lead to an end that is none.
    Reset,
}
