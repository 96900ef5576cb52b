//! How old what is known of a cluster is.

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

/// How old what is known of a cluster is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Knowledge {
    /// Every change is followed.
    Current,
    /// Nothing is known after this moment.
    AsOf(SystemTime),
    /// Nothing is known.
    Nothing,
}

impl Knowledge {
    /// How long ago it was current. `None` if it never was.
    pub fn age(self, now: SystemTime) -> Option<Duration> {
        match self {
            Self::Current => Some(Duration::ZERO),
            Self::AsOf(time) => Some(now.duration_since(time).unwrap_or_default()),
            Self::Nothing => None,
        }
    }

    /// Whether it is older than `limit`, or nothing.
    pub fn is_older_than(self, limit: Duration, now: SystemTime) -> bool {
        self.age(now).is_none_or(|age| age > limit)
    }

    /// The age as a text, such as `3h 2m old`.
    pub fn describe_age(self, now: SystemTime) -> String {
        match self {
            Self::Current => "current".to_owned(),
            Self::Nothing => "nothing is known".to_owned(),
            Self::AsOf(_) => {
                let seconds = self.age(now).unwrap_or_default().as_secs();
                let age = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
                format!("{age:#} old, {self}")
            }
        }
    }
}

/// Without the age, which would change with every look: `as of 2026-01-01T00:00:00Z`.
impl fmt::Display for Knowledge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("current"),
            Self::Nothing => f.write_str("nothing is known"),
            Self::AsOf(time) => match Timestamp::try_from(*time) {
                Ok(time) => write!(f, "as of {}", time.strftime("%Y-%m-%dT%H:%M:%SZ")),
                Err(_) => f.write_str("as of an unknown time"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_said_in_words() {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let now = then + Duration::from_secs(2 * 86_400 + 3 * 3600 + 4);
        let known = Knowledge::AsOf(then);
        assert_eq!(known.to_string(), "as of 2026-01-01T00:00:00Z");
        assert_eq!(
            known.describe_age(now),
            "51h 4s old, as of 2026-01-01T00:00:00Z"
        );
        assert!(known.is_older_than(Duration::from_secs(60), now));
        // A clock that was set back makes nothing older.
        assert!(!known.is_older_than(Duration::ZERO, then - Duration::from_secs(9)));
        assert!(Knowledge::Nothing.is_older_than(Duration::MAX, now));
        assert!(!Knowledge::Current.is_older_than(Duration::ZERO, now));
    }
}
