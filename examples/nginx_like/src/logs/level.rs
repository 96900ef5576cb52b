//! The severities of messages.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

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

/// The level that all error logs have while it is set, in the place of their own.
#[derive(Debug, Default)]
pub(crate) struct LevelOverride(
    /// 0, or one more than the severity.
    AtomicU8,
);

impl LevelOverride {
    pub(crate) fn set(&self, level: Option<LogLevel>) {
        let number = level.map_or(0, |level| level.severity() + 1);
        // No other data depends on it.
        self.0.store(number, Relaxed);
    }

    pub(crate) fn get(&self) -> Option<LogLevel> {
        let number = usize::from(self.0.load(Relaxed)).checked_sub(1)?;
        LEVELS.get(number).map(|(_, level)| *level)
    }

    /// The level in force of a log whose own level is `own`.
    pub(crate) fn or(&self, own: LogLevel) -> LogLevel {
        self.get().unwrap_or(own)
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

    #[test]
    fn a_level_replaces_those_of_the_logs_while_it_is_set() {
        let set = LevelOverride::default();
        assert_eq!(set.or(LogLevel::Warn), LogLevel::Warn);
        for (_, level) in LEVELS {
            set.set(Some(level));
            assert_eq!(set.or(LogLevel::Warn), level);
        }
        set.set(None);
        assert_eq!(set.get(), None);
    }
}
