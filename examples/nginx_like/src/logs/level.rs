//! The severities of messages.

/// The severity of a log message, by nginx's names; a greater level is more severe.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Notice,
    Warn,
    Error,
    Crit,
    Alert,
    Emerg,
}

/// From the most severe to the least, as syslog numbers them.
const LEVELS: [(&str, LogLevel); 8] = [
    ("emerg", LogLevel::Emerg),
    ("alert", LogLevel::Alert),
    ("crit", LogLevel::Crit),
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("notice", LogLevel::Notice),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
];

impl LogLevel {
    /// The level that a configuration calls `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = LEVELS.iter().find(|(known, _)| *known == name);
        found.map(|(_, level)| *level)
    }

    pub(crate) fn name(self) -> &'static str {
        LEVELS[usize::from(self.severity())].0
    }

    /// The severity as syslog numbers it, 0 for `emerg`.
    pub(crate) const fn severity(self) -> u8 {
        Self::Emerg as u8 - self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for (number, (name, level)) in LEVELS.into_iter().enumerate() {
            assert_eq!(LogLevel::named(name), Some(level));
            assert_eq!(level.name(), name);
            assert_eq!(usize::from(level.severity()), number);
        }
        assert_eq!(LogLevel::named("fatal"), None);
    }
}
