//! Parses a pattern.

/// The length of the longest name in bytes. A longer one is not a host name and matches nothing.
pub(super) const MAX_NAME: usize = 255;

/// A parsed pattern.
pub(super) struct NamePattern {
    /// In lower case, without the wildcard.
    pub(super) name: Box<[u8]>,
    pub(super) wildcard: Wildcard,
}

/// The wildcard of a pattern.
pub(super) enum Wildcard {
    None,
    /// `*.` or `.` in front of the name. `itself`: it was `.`, which matches the name itself as well.
    Leading {
        itself: bool,
    },
    /// `.*` behind the name.
    Trailing,
}

impl NamePattern {
    /// `None` if `pattern` has none of the forms in the table of [`ServerNames`](super::ServerNames).
    pub(super) fn parse(pattern: &str) -> Option<Self> {
        let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
        let (name, wildcard) = if let Some(name) = pattern.strip_prefix("*.") {
            (name, Wildcard::Leading { itself: false })
        } else if let Some(name) = pattern.strip_prefix('.') {
            (name, Wildcard::Leading { itself: true })
        } else if let Some(name) = pattern.strip_suffix(".*") {
            (name, Wildcard::Trailing)
        } else {
            (pattern, Wildcard::None)
        };
        let possible = name.len() <= MAX_NAME
            && !name.contains(['*', '\0'])
            && name.split('.').all(|label| !label.is_empty());
        possible.then(|| Self {
            name: name.to_ascii_lowercase().into_bytes().into(),
            wildcard,
        })
    }
}
