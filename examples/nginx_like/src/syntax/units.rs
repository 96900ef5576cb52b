//! Numbers, times and sizes as nginx writes them.

use std::{ops::Range, time::Duration};

/// Longest time that is accepted, so that no deadline can overflow.
const MAX_TIME: Duration = Duration::from_secs(100 * 365 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// Parses a number: decimal digits only, at most what nginx can hold.
pub(crate) fn number(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    u64::try_from(number).ok()
}

/// Parses a number of bytes with an optional `k` or `m`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let is_offset = text.ends_with(['g', 'G']);
    offset(text).filter(|_| !is_offset)
}

/// Parses a number of bytes with an optional `k`, `m` or `g`.
pub(crate) fn offset(text: &str) -> Option<u64> {
    let (digits, scale) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let size = number(digits)?.checked_mul(scale)?;
    i64::try_from(size).is_ok().then_some(size)
}

/// Parses `on` or `off`, in any case.
pub(crate) fn flag(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("on") {
        Some(true)
    } else if text.eq_ignore_ascii_case("off") {
        Some(false)
    } else {
        None
    }
}

/// Parses a time of whole seconds, such as `90`, `1h30m` or `1y`. There are no milliseconds here.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    time(text, 0..MILLISECOND)
}

/// Parses a time of milliseconds, such as `90`, `1m30s` or `500ms`. There are no years and months here.
pub(crate) fn milliseconds(text: &str) -> Option<Duration> {
    time(text, WEEK..UNITS.len())
}

/// The units of time from long to short, in milliseconds. Inside a time they must come in this order.
const UNITS: [(&str, u64); 8] = [
    ("y", 365 * DAY * 1000),
    ("M", 30 * DAY * 1000),
    ("w", 7 * DAY * 1000),
    ("d", DAY * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];
const WEEK: usize = 2;
const SECOND: usize = 6;
const MILLISECOND: usize = 7;

/// Adds up a time. As in nginx, a number without a unit counts as seconds, and a unit without a number as 0.
fn time(text: &str, mut allowed: Range<usize>) -> Option<Duration> {
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (amount, tail) = rest.split_at(digits);
        let amount = if digits == 0 { 0 } else { number(amount)? };
        let (unit, length) = unit(tail)?;
        if !tail.is_empty() && !allowed.contains(&unit) {
            return None;
        }
        // After a space without a unit, only a number may follow.
        allowed.start = if length == 0 { allowed.end } else { unit + 1 };
        rest = tail[length..].trim_start_matches(' ');
        total = total.checked_add(amount.checked_mul(UNITS[unit].1)?)?;
    }
    let total = Duration::from_millis(total);
    (total <= MAX_TIME).then_some(total)
}

/// The index of the unit at the start of a text, and the length of its name.
fn unit(text: &str) -> Option<(usize, usize)> {
    if text.is_empty() || text.starts_with(' ') {
        return Some((SECOND, 0));
    }
    // The last match, because "m" also matches the start of "ms".
    let unit = UNITS.iter().rposition(|(name, _)| text.starts_with(name))?;
    Some((unit, UNITS[unit].0.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOO_MUCH: &str = "99999999999999999999";

    #[test]
    fn numbers() {
        for (text, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775808", None),
            (TOO_MUCH, None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1 ", None),
            ("0x1", None),
            ("\u{663}", None),
        ] {
            assert_eq!(super::number(text), number, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, size) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("64k", Some(64 << 10)),
            ("64K", Some(64 << 10)),
            ("1m", Some(1 << 20)),
            ("1M", Some(1 << 20)),
            ("1g", None),
            ("k", None),
            ("", None),
            ("1kk", None),
            ("1k ", None),
            ("9007199254740991k", Some(9_007_199_254_740_991 << 10)),
            ("9007199254740992k", None),
            (TOO_MUCH, None),
            ("é", None),
        ] {
            assert_eq!(super::size(text), size, "{text:?}");
        }
    }

    #[test]
    fn offsets_may_be_in_gigabytes() {
        for (text, offset) in [
            ("1g", Some(1 << 30)),
            ("2G", Some(2 << 30)),
            ("64k", Some(64 << 10)),
            ("1m", Some(1 << 20)),
            ("g", None),
            ("1gg", None),
            ("1t", None),
            ("8589934592g", None),
        ] {
            assert_eq!(super::offset(text), offset, "{text:?}");
        }
    }

    #[test]
    fn flags() {
        for (text, flag) in [
            ("on", Some(true)),
            ("ON", Some(true)),
            ("Off", Some(false)),
            ("", None),
            ("yes", None),
            ("1", None),
        ] {
            assert_eq!(super::flag(text), flag, "{text:?}");
        }
    }

    #[test]
    fn times() {
        const D: u64 = 24 * 60 * 60;
        // In both columns milliseconds: first for a time of seconds, then for a time of milliseconds.
        for (text, seconds, milliseconds) in [
            ("0", Some(0), Some(0)),
            ("10", Some(10_000), Some(10_000)),
            ("10s", Some(10_000), Some(10_000)),
            ("500ms", None, Some(500)),
            ("1s500ms", None, Some(1_500)),
            ("1m", Some(60_000), Some(60_000)),
            ("1h30m", Some(5_400_000), Some(5_400_000)),
            ("1h 30m", Some(5_400_000), Some(5_400_000)),
            ("1h30", Some(3_630_000), Some(3_630_000)),
            ("30m1h", None, None),
            ("1h1h", None, None),
            ("1d", Some(D * 1_000), Some(D * 1_000)),
            ("1w", Some(7 * D * 1_000), Some(7 * D * 1_000)),
            ("1M", Some(30 * D * 1_000), None),
            ("1y", Some(365 * D * 1_000), None),
            (
                "1y1M1w1d1h1m1s",
                Some((365 + 30 + 7 + 1) * D * 1_000 + 3_661_000),
                None,
            ),
            ("1y1y", None, None),
            // Odd forms, which nginx accepts too.
            ("1hm", Some(3_600_000), Some(3_600_000)),
            ("h1", Some(1_000), Some(1_000)),
            ("1s5", Some(6_000), Some(6_000)),
            ("1ms5", None, Some(5_001)),
            ("10 ", Some(10_000), Some(10_000)),
            ("1 2", Some(3_000), Some(3_000)),
            ("1s 2", Some(3_000), Some(3_000)),
            ("1 2s", None, None),
            ("1 2 3", None, None),
            ("1s 2 3", None, None),
            ("1m 2 3", Some(65_000), Some(65_000)),
            // Not a time.
            ("", None, None),
            ("s", None, None),
            (" ", None, None),
            ("-1", None, None),
            ("1.5s", None, None),
            ("1S", None, None),
            ("1x", None, None),
            ("1é", None, None),
            // Too long.
            ("100y", Some(100 * 365 * D * 1_000), None),
            ("100y1s", None, None),
            ("3153600000001ms", None, None),
            (TOO_MUCH, None, None),
            ("9223372036854775807s", None, None),
            ("9223372036854775807ms", None, None),
        ] {
            let duration = |time: Option<u64>| time.map(Duration::from_millis);
            assert_eq!(super::seconds(text), duration(seconds), "{text:?}");
            assert_eq!(
                super::milliseconds(text),
                duration(milliseconds),
                "{text:?}"
            );
        }
    }
}
