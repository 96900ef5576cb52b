//! Time spans as variables write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::variables::output::{ValueOutput, number};

/// Writes the time since 1970 as [`seconds`] does.
pub(super) fn since_1970(out: &mut dyn ValueOutput) -> Option<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    seconds(since.unwrap_or_default(), out)
}

/// Writes `span` in seconds with three decimals, cut to milliseconds.
pub(super) fn seconds(span: Duration, out: &mut dyn ValueOutput) -> Option<()> {
    number(span.as_secs(), out)?;
    // The first digit makes the others three, and gives its place to the point.
    let mut digits = itoa::Buffer::new();
    let decimals = digits.format(1000 + span.subsec_millis());
    out.push(b".");
    out.push(&decimals.as_bytes()[1..]);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_have_three_digits() {
        for (millis, text) in [
            (0, "0.000"),
            (7, "0.007"),
            (61_050, "61.050"),
            (999, "0.999"),
        ] {
            let mut shown = Vec::new();
            seconds(Duration::from_millis(millis), &mut shown);
            assert_eq!(shown, text.as_bytes());
        }
    }
}
