//! The line of an agent.

use std::num::NonZeroU32;

use super::check::{CheckReport, ReportedAdmin, ReportedHealth};
use crate::backend_override::WeightOverride;

/// Reads the line of an agent, without its end. The last word of a kind counts. Unknown words change nothing.
pub(super) fn parse(line: &[u8]) -> CheckReport {
    let line = String::from_utf8_lossy(line);
    let (words, description) = match line.split_once('#') {
        Some((words, description)) => (words, description.trim()),
        None => (&*line, ""),
    };
    let mut report = CheckReport::default().health(ReportedHealth::Unstated);
    let mut unknown = None;
    for word in words
        .split([' ', '\t', ','])
        .filter(|word| !word.is_empty())
    {
        if !apply(word, &mut report) {
            unknown = unknown.or(Some(word));
        }
    }
    let text = match unknown {
        _ if !description.is_empty() => description.to_owned(),
        Some(word) => format!("the agent said something unknown: \"{word}\""),
        None => words.trim().to_owned(),
    };
    report.text = Some(text.into());
    report
}

/// Returns whether the word is known.
fn apply(word: &str, report: &mut CheckReport) -> bool {
    match &*word.to_ascii_lowercase() {
        "up" => report.health = ReportedHealth::Up,
        "down" | "fail" | "stopped" => report.health = ReportedHealth::Down,
        "drain" => report.admin = Some(ReportedAdmin::Drain),
        "maint" => report.admin = Some(ReportedAdmin::Maintenance),
        "ready" => report.admin = Some(ReportedAdmin::Ready),
        word => {
            if let Some(limit) = word.strip_prefix("maxconn:").and_then(number) {
                report.max_conns = Some(NonZeroU32::new(limit));
            } else if let Some(percent) = word.strip_suffix('%').and_then(number) {
                let percent = u16::try_from(percent).unwrap_or(u16::MAX);
                report.weight = Some(WeightOverride::Percent(percent));
            } else {
                return false;
            }
        }
    }
    true
}

/// A number of digits alone. One that is too large is the largest.
pub(super) fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use ReportedHealth::{Down, Unstated, Up};

    #[test]
    fn a_line_has_words_in_any_order() {
        let percent = |n| Some(WeightOverride::Percent(n));
        let limit = |n| Some(NonZeroU32::new(n));
        for (line, health, weight, max_conns, admin) in [
            ("up", Up, None, None, None),
            (
                "UP ready 75%",
                Up,
                percent(75),
                None,
                Some(ReportedAdmin::Ready),
            ),
            (
                "0%,maxconn:30\tDrain",
                Unstated,
                percent(0),
                limit(30),
                Some(ReportedAdmin::Drain),
            ),
            (
                "maint",
                Unstated,
                None,
                None,
                Some(ReportedAdmin::Maintenance),
            ),
            ("stopped", Down, None, None, None),
            ("fail # up 50%", Down, None, None, None),
            ("up down", Down, None, None, None),
            ("maxconn:0 10% 20%", Unstated, percent(20), limit(0), None),
            (
                "99999999999% maxconn:99999999999",
                Unstated,
                percent(u16::MAX),
                limit(u32::MAX),
                None,
            ),
            (
                "% -5% 5.5% maxconn: maxconn:-1 50 upp",
                Unstated,
                None,
                None,
                None,
            ),
            ("", Unstated, None, None, None),
        ] {
            let report = parse(line.as_bytes());
            let found = (report.health, report.weight, report.max_conns, report.admin);
            assert_eq!(found, (health, weight, max_conns, admin), "{line}");
        }
    }

    #[test]
    fn the_text_is_the_description_or_what_was_not_understood() {
        let text = |line: &str| parse(line.as_bytes()).text.unwrap();
        assert_eq!(&*text("down #  disk full "), "disk full");
        assert_eq!(&*text("up 80%"), "up 80%");
        assert_eq!(
            &*text("up hello"),
            "the agent said something unknown: \"hello\""
        );
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&line);
        }
    }
}
