//! The phases of a session.

/// How far a session has come.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SessionPhase {
    /// Its first bytes are read, and its upstream is chosen. Sessions without a preread are in it for a moment.
    #[default]
    Preread,
    /// It waits for a backend: in the upstream's wait queue, or for the first membership.
    Queued,
    /// It connects to a backend.
    Connecting,
    /// It relays bytes.
    Relaying,
    /// It sends its client a fixed response.
    Responding,
    /// It is about to end: it delivers the bytes that were acknowledged before.
    Closing,
}

crate::names::names!(SessionPhase {
    Preread = "preread",
    Queued = "queued",
    Connecting = "connecting",
    Relaying = "relaying",
    Responding = "responding",
    Closing = "closing",
});
crate::names::from_name!(SessionPhase);

impl SessionPhase {
    /// Whether a session in this phase has an upstream.
    pub(crate) const fn has_upstream(self) -> bool {
        matches!(
            self,
            Self::Queued | Self::Connecting | Self::Relaying | Self::Closing
        )
    }

    /// The phase with this discriminant.
    pub(super) fn from_number(number: u8) -> Self {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Closing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back_to_their_phase() {
        for phase in SessionPhase::ALL.iter().copied() {
            assert_eq!(SessionPhase::from_number(phase as u8), phase);
            assert_eq!(SessionPhase::from_name(&phase.to_string()), Some(phase));
        }
        assert_eq!(SessionPhase::from_name("Relaying"), None);
    }
}
