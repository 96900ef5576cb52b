//! Durations as text.

use std::time::Duration;

use crate::escaped::Escaped;

/// The units, the largest first, in nanoseconds.
const UNITS: [(&str, u128); 9] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("µs", 1000),
    ("ns", 1),
];

/// A text that is no duration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "\"{}\" is not a time: write a number with its unit, such as 500ms, 10s, 5m or 1h",
    Escaped(.0)
)]
pub struct DurationTextError(Box<str>);

/// Parses numbers with their units: `150ms`, `10s`, `1.5h`, `1h 30m`. The units are `w`, `d`, `h`, `m`, `s`, `ms`, `us`, `µs`
/// and `ns`.
///
/// # Errors
///
/// If a number or a unit is missing or unknown, if the text has a part of a nanosecond, or if it is longer than
/// [`Duration::MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationTextError> {
    nanos(text)
        .and_then(duration)
        .ok_or_else(|| DurationTextError(text.into()))
}

/// The shortest text that [`parse_duration`] turns into `duration`: a whole number of the largest unit below a week that
/// divides it.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let divides = |(_, unit): &&(&str, u128)| nanos.is_multiple_of(*unit);
    match UNITS[1..].iter().find(divides) {
        Some((name, unit)) if nanos > 0 => format!("{}{name}", nanos / unit),
        _ => "0s".to_owned(),
    }
}

fn duration(nanos: u128) -> Option<Duration> {
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    // Below a thousand millions.
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

fn nanos(text: &str) -> Option<u128> {
    let mut sum = 0_u128;
    let mut rest = text.trim();
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let behind = behind.trim_start();
        let is_unit = |c: char| !c.is_ascii_digit() && !c.is_whitespace();
        let end = behind.find(|c| !is_unit(c)).unwrap_or(behind.len());
        let (name, behind) = behind.split_at(end);
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == name)?;
        sum = sum.checked_add(product(number, *unit)?)?;
        rest = behind.trim_start();
        if rest.is_empty() {
            return Some(sum);
        }
    }
}

/// The decimal `number` times `unit`, if that is a whole number.
fn product(number: &str, unit: u128) -> Option<u128> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let product = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    let scale = 10_u128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let part = decimals.parse::<u128>().ok()?.checked_mul(unit)?;
    match part % scale {
        0 => product.checked_add(part / scale),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, nanos, written) in [
            ("0s", 0, "0s"),
            ("250us", 250_000, "250us"),
            ("1.5s", 1_500_000_000, "1500ms"),
            ("1h 30m", 5_400_000_000_000, "90m"),
            ("1h30m", 5_400_000_000_000, "90m"),
            ("10 s", 10_000_000_000, "10s"),
            (" 2m ", 120_000_000_000, "2m"),
            ("300s", 300_000_000_000, "5m"),
            ("1w", 604_800_000_000_000, "7d"),
            ("3µs", 3000, "3us"),
            ("0.000000001s", 1, "1ns"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration.as_nanos(), nanos, "{text}");
            assert_eq!(format_duration(duration), written);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            " ",
            "5",
            "ms",
            "-5ms",
            "5M",
            "5 5s",
            "1.2.3s",
            "1.s",
            ".5s",
            "é",
            "5sm",
            "0.5ns",
            "1h,30m",
            "99999999999999999999999h",
            "18446744073709551615s 1000ms",
            "999999999999999999999999999999999999999999999999999s",
            "0.00000000000000000000000000000000000000000000000001h",
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains("is not a time"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_duration_is_read_back(seconds: u64, nanos in 0..1_000_000_000_u32) {
            for duration in [
                Duration::new(seconds, nanos),
                Duration::from_secs(seconds),
                Duration::from_millis(seconds),
                Duration::MAX,
            ] {
                prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9.]{0,20}[wdhmsuµn ]{0,3}[0-9.]{0,20}\\PC{0,3}") {
            drop(parse_duration(&text));
        }
    }
}
