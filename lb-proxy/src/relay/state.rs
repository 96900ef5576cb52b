//! The states of one direction of a relay, and of its source.

/// The state of a direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DirectionState {
    /// The source has ended, and the sink has everything except the end.
    AtEnd,
    /// The sink was sent the source's end.
    Done,
    /// The source has ended, and the held bytes go first.
    Ending,
    /// The source may send bytes.
    Open,
    /// The sink accepts no more bytes, and had ended its own stream before.
    SinkClosed,
    /// The sink was reset.
    SinkReset,
    /// The source was reset, and the sink has all bytes from before.
    SourceReset,
    /// The session was cut, and the sink has all bytes that had been acknowledged to the source by then.
    Stopped,
}

impl DirectionState {
    /// Whether this direction moves no more bytes.
    pub(super) const fn is_final(self) -> bool {
        !matches!(self, Self::Ending | Self::Open)
    }

    /// Whether the sink accepts no more bytes.
    pub(super) const fn is_sink_broken(self) -> bool {
        matches!(self, Self::SinkClosed | Self::SinkReset)
    }

    /// Whether the sink has all bytes of the source, which has ended.
    pub(super) const fn is_complete(self) -> bool {
        matches!(self, Self::AtEnd | Self::Done)
    }
}

/// The state of a source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReadState {
    Alive,
    /// Broken after its stream had ended: reads lead to that end.
    Ended,
    /// Broken in the middle of its stream. The kernel reports that once, so a read may return an end that is none.
    Reset,
}
