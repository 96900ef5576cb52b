//! Times as variables and logs write them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Zoned;

/// A time span in seconds with three decimals, cut to milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seconds(pub(crate) Duration);

impl Seconds {
    /// The time since 1970.
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since.unwrap_or_default())
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0.as_secs(), self.0.subsec_millis())
    }
}

/// The local time.
pub(super) fn now() -> Zoned {
    Zoned::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_have_three_digits() {
        for (millis, text) in [(0, "0.000"), (7, "0.007"), (61_050, "61.050")] {
            let shown = Seconds(Duration::from_millis(millis)).to_string();
            assert_eq!(shown, text);
        }
    }
}
