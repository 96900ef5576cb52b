//! Compares logs with what a case has.

use super::case::{Ending, VARIABLES};

/// Times are rounded to milliseconds.
const ROUNDING: f64 = 0.001;
/// How much of a recorded time the clocks and the wheels of timers may take away.
const SHORTER: f64 = 0.98;
/// A recorded time of more seconds comes from a time-out or from a `take`, and is never shorter. A shorter one is the time
/// that the recording's machine took for its work.
const GIVEN: f64 = 0.09;

/// The first difference of the lines of an access log, which have the variables `names`, from those of `case`.
pub(super) fn access_differences(case: &Ending, names: &[&str], log: &str) -> Option<String> {
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split('|').collect()).collect();
    if lines.len() != case.access.len() {
        return Some(format!("{} lines: {log}", lines.len()));
    }
    for (wanted, found) in case.access.iter().zip(&lines) {
        if found.len() != names.len() {
            return Some(format!("{} values in {log}", found.len()));
        }
        let wanted = VARIABLES.iter().zip(wanted);
        let wanted = wanted.filter(|(name, _)| names.contains(name));
        for ((name, wanted), found) in wanted.zip(found) {
            let is_alike = if name.ends_with("_time") {
                are_alike_times(wanted, found)
            } else {
                wanted == found || (wanted == "~" && found.parse::<u64>().is_ok())
            };
            if !is_alike {
                return Some(format!(
                    "${name} is {found:?} instead of {wanted:?} in {log}"
                ));
            }
        }
        if names.len() == VARIABLES.len()
            && let Some(disorder) = disorder(found)
        {
            return Some(format!("{disorder} in {log}"));
        }
    }
    None
}

/// Whether the same times are present, and none is shorter than a time-out or a length that the case gives. How much longer
/// they are depends on the machine; [`disorder`] compares them with each other.
fn are_alike_times(wanted: &str, found: &str) -> bool {
    let (wanted, found) = (wanted.split(", "), found.split(", "));
    let (wanted, found): (Vec<_>, Vec<_>) = (wanted.collect(), found.collect());
    wanted.len() == found.len()
        && wanted.iter().zip(found).all(|(wanted, found)| {
            match (wanted.parse::<f64>(), found.parse::<f64>()) {
                (Ok(wanted), Ok(found)) => wanted < GIVEN || found >= wanted * SHORTER - ROUNDING,
                _ => *wanted == found,
            }
        })
}

/// Which times of a line contradict each other: an attempt connects, then reads its first byte, then ends, and all attempts
/// together are no longer than the session.
fn disorder(line: &[&str]) -> Option<String> {
    let times = |name: &str| -> Vec<Option<f64>> {
        let at = VARIABLES.iter().position(|known| *known == name).unwrap();
        line[at].split(", ").map(|time| time.parse().ok()).collect()
    };
    let ends = times("upstream_session_time");
    let steps = times("upstream_connect_time")
        .into_iter()
        .zip(times("upstream_first_byte_time"))
        .zip(&ends);
    for ((connect, first_byte), end) in steps {
        let present: Vec<f64> = [connect, first_byte, *end].into_iter().flatten().collect();
        if present.windows(2).any(|two| two[0] > two[1] + ROUNDING) {
            return Some(format!("the times of an attempt are {present:?}"));
        }
    }
    let all: f64 = ends.iter().flatten().sum();
    let session = times("session_time")[0]?;
    let most = session + ROUNDING * (ends.len() + 1) as f64;
    (all > most).then(|| format!("the attempts take {all} s of a session of {session} s"))
}

/// The lines of an error log that are about sessions, without time and process and without the lines about connecting.
/// Connections are numbered in the order of their lines.
pub(super) fn error_lines(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| {
        let (head, message) = line.split_once(": *")?;
        let (number, message) = message.split_once(' ')?;
        let level = head.split(' ').nth(2)?;
        let is_wanted = !message.contains(" connected to ");
        is_wanted.then(|| format!("{level} *{number} {message}"))
    });
    renumbered(lines.collect())
}

/// Whether two lists of lines are the same; a `~` is any number.
pub(super) fn are_alike(wanted: &[String], found: &[String]) -> bool {
    let wanted = renumbered(wanted.to_vec());
    wanted.len() == found.len()
        && wanted.iter().zip(found).all(|(wanted, found)| {
            let mut rest = found.as_str();
            wanted.split('~').enumerate().all(|(index, part)| {
                if index > 0 {
                    rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                }
                match rest.strip_prefix(part) {
                    Some(behind) => {
                        rest = behind;
                        true
                    }
                    None => false,
                }
            }) && rest.is_empty()
        })
}

fn renumbered(lines: Vec<String>) -> Vec<String> {
    let mut numbers: Vec<String> = Vec::new();
    let renumbered = lines.into_iter().map(|line| {
        let (head, rest) = line.split_once('*').unwrap();
        let (number, message) = rest.split_once(' ').unwrap();
        let known = numbers.iter().position(|known| known == number);
        let index = known.unwrap_or_else(|| {
            numbers.push(number.to_owned());
            numbers.len() - 1
        });
        format!("{head}*{index} {message}")
    });
    renumbered.collect()
}
