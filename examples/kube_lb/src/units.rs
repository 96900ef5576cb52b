//! Times as users write them.

use std::time::Duration;

/// A text that is no time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{text:?} is no time: write a whole number and ms, s, m or h, such as 500ms or 10m, and at most 8760h"
)]
pub struct DurationError {
    text: Box<str>,
}

/// The longest time, a year: sums with it fit into all clocks.
const LONGEST: Duration = Duration::from_secs(8760 * 3600);

/// Reads a time: a whole number above zero, and `ms`, `s`, `m` or `h`. At most a year.
///
/// # Errors
///
/// [`DurationError`].
pub fn duration(text: &str) -> Result<Duration, DurationError> {
    let read = || {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        let time = unit.checked_mul(number)?;
        (time <= LONGEST).then_some(time)
    };
    read().ok_or_else(|| DurationError {
        // Annotations may have any length.
        text: text.chars().take(40).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("1s", 1000),
            ("10m", 600_000),
            ("2h", 7_200_000),
            ("8760h", 31_536_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
        }
        for text in [
            "",
            "s",
            "5",
            "0s",
            "-1s",
            "1.5s",
            "1 s",
            "1d",
            "99999999999s",
            "8761h",
            "é",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(
            duration(&"9".repeat(1_000_000))
                .unwrap_err()
                .to_string()
                .len()
                < 200
        );
    }
}
