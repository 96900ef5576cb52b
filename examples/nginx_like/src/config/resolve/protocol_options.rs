//! Checks that the servers of one address agree on its protocols.

/// What nginx remembers of the `proxy_protocol` parameters of one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProtocolOptions {
    /// Of all servers so far.
    any: bool,
    /// Of the server that decided last.
    decided: Option<bool>,
    has_changed: bool,
}

impl ProtocolOptions {
    pub(super) const fn new(proxy_protocol: bool) -> Self {
        Self {
            any: proxy_protocol,
            decided: None,
            has_changed: false,
        }
    }

    /// Adds those of another server. `sets` is whether its `listen` has options of the socket, `is_set` whether any has.
    /// Returns whether nginx warns that they differ.
    pub(super) fn add(&mut self, own: bool, sets: bool, is_set: bool) -> bool {
        let before = self.any;
        let differs_from_decided = self.decided.is_some_and(|decided| decided != own);
        let (warns, decided, changed) = match (before, own) {
            // Added.
            (false, true) => ((is_set && !sets) || self.has_changed, before, true),
            // Removed.
            (true, false) => (sets || differs_from_decided, own, true),
            _ => (
                (sets && self.has_changed) || differs_from_decided,
                own,
                self.has_changed,
            ),
        };
        self.any |= own;
        self.decided = Some(decided);
        self.has_changed = changed;
        warns
    }
}
