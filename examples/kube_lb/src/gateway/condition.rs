//! Conditions: what is to be reported, and how it is merged into what an object has.

use crate::objects::{Condition, ConditionStatus, is_negative};

/// The most conditions that the API server accepts of an object.
const MAX_CONDITIONS: usize = 8;

/// The longest message in bytes. The API server accepts 32768.
pub(crate) const MAX_MESSAGE: usize = 1024;

/// A condition to report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reported {
    pub(crate) type_: &'static str,
    pub(crate) is_true: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Reported {
    pub(crate) fn yes(type_: &'static str, reason: &'static str) -> Self {
        Self {
            type_,
            is_true: true,
            reason,
            message: String::new(),
        }
    }

    pub(crate) fn no(
        type_: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            is_true: false,
            ..Self::yes(type_, reason).saying(message)
        }
    }

    /// Whether it says that something is wrong.
    pub(crate) fn is_problem(&self) -> bool {
        self.is_true == is_negative(self.type_)
    }

    /// The same with a message.
    pub(crate) fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }
}

/// The time and the generation of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportTime<'a> {
    /// The generation of the object that was looked at.
    pub(crate) generation: Option<i64>,
    /// As the API writes times.
    pub(crate) now: &'a str,
}

/// Merges `reports` into the conditions that an object has.
///
/// Conditions of types that are not in `ours` stay as they are, in their places. Those in `ours` that are not reported any
/// more are left out. A condition with a higher `observedGeneration` than `at` knows stays: this copy of the object is stale. The
/// time of a transition changes with the status alone. If there is no room for all, the last reports are left out.
pub(crate) fn merge(
    present: &[Condition],
    reports: &[Reported],
    ours: &[&str],
    at: ReportTime<'_>,
) -> Vec<Condition> {
    let report_of = |type_: &str| reports.iter().find(|report| report.type_ == type_);
    let mut merged: Vec<Condition> = present
        .iter()
        .filter_map(|old| match report_of(&old.kind) {
            Some(report) => Some(updated(old, report, at)),
            None => (!ours.contains(&&*old.kind)).then(|| old.clone()),
        })
        .collect();
    for report in reports {
        if merged.len() < MAX_CONDITIONS && !merged.iter().any(|one| one.kind == report.type_) {
            merged.push(condition(report, at));
        }
    }
    merged
}

fn updated(old: &Condition, report: &Reported, at: ReportTime<'_>) -> Condition {
    if old.observed_generation > at.generation {
        return old.clone();
    }
    let mut new = condition(report, at);
    if new.status == old.status {
        new.last_transition_time = old.last_transition_time.clone();
    }
    new
}

fn condition(report: &Reported, at: ReportTime<'_>) -> Condition {
    let mut message = report.message.clone();
    if message.len() > MAX_MESSAGE {
        let boundaries = 0..=MAX_MESSAGE - '…'.len_utf8();
        let cut = boundaries.rev().find(|&at| message.is_char_boundary(at));
        message.truncate(cut.unwrap_or(0));
        message.push('…');
    }
    Condition {
        last_transition_time: at.now.to_owned(),
        message,
        observed_generation: at.generation,
        reason: report.reason.to_owned(),
        status: if report.is_true {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        },
        kind: report.type_.to_owned(),
    }
}

#[cfg(test)]
mod tests;
