//! Causes for which sessions get no backend.

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a session found no backend.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum NoBackendCause {
            $($(#[$doc])* $name,)*
        }

        impl NoBackendCause {
            /// All causes, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The cause in metrics and access events, in snake case. Never changes.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }

        crate::names::text!(NoBackendCause);
    };
}

causes! {
    /// The time for all attempts was over: [`Retry::deadline`](crate::Retry::deadline).
    Deadline = "deadline",
    /// Every backend is draining or has the weight 0.
    Draining = "draining",
    /// Every backend that takes connections is ejected.
    Ejected = "ejected",
    /// The set has no backend.
    Empty = "empty",
    /// Every backend that takes connections has as many as its `max_conns` allows.
    Full = "full",
    /// No backend can be picked, for different reasons: some are full, others ejected, unhealthy, unchecked or tried.
    NoneEligible = "none_eligible",
    /// The sources have not reported any set of backends in time.
    NotReady = "not_ready",
    /// The upstream's wait queue had no room, or its time-out passed. The session's end is then
    /// [`QueueFull`](crate::events::CloseReason::QueueFull) or [`QueueTimeout`](crate::events::CloseReason::QueueTimeout).
    Queue = "queue",
    /// The session has failed on every backend that takes connections.
    Tried = "tried",
    /// As many attempts failed as [`Retry::tries`](crate::Retry::tries) allows.
    Tries = "tries",
    /// Every backend that takes connections waits for its first active check.
    Unchecked = "unchecked",
    /// Every backend that takes connections is unhealthy.
    Unhealthy = "unhealthy",
}

impl NoBackendCause {
    /// Whether the set was known and no backend of it could be picked.
    pub const fn is_none_eligible(self) -> bool {
        match self {
            Self::Draining
            | Self::Ejected
            | Self::Empty
            | Self::Full
            | Self::NoneEligible
            | Self::Tried
            | Self::Unchecked
            | Self::Unhealthy => true,
            Self::Deadline | Self::NotReady | Self::Queue | Self::Tries => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_the_index_of_itself_in_the_list_of_all() {
        for (i, &cause) in NoBackendCause::ALL.iter().enumerate() {
            assert_eq!(cause as usize, i);
        }
        assert!(NoBackendCause::ALL.is_sorted_by_key(|cause| cause.as_str()));
    }
}
