//! The last reloads of a server.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::report::{Changes, ReloadReport};
use crate::history::History;

/// How many reloads are kept.
const KEPT: usize = 32;

/// A reload that was applied, or that failed. Displays as one line. As data it has `at` in seconds
/// since 1970, and a `report` or an `error`.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ReloadRecord {
    /// When it ended.
    pub at: SystemTime,
    /// What it changed, or the text of the error.
    pub outcome: Result<ReloadReport, Arc<str>>,
}

/// The last reloads.
pub(super) type ReloadHistory = History<ReloadRecord, KEPT>;

impl ReloadRecord {
    /// The record of a reload that ends now.
    pub(super) fn now(outcome: Result<ReloadReport, Arc<str>>) -> Self {
        let at = SystemTime::now();
        Self { at, outcome }
    }
}

impl fmt::Display for ReloadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn counts<T>(f: &mut fmt::Formatter<'_>, changes: &Changes<T>) -> fmt::Result {
            let Changes {
                added,
                kept,
                changed,
                removed,
            } = changes;
            let [added, kept, changed, removed] =
                [added.len(), kept.len(), changed.len(), removed.len()];
            write!(
                f,
                "{added} added, {kept} kept, {changed} changed, {removed} removed"
            )
        }
        match &self.outcome {
            Ok(report) => {
                f.write_str("listeners: ")?;
                counts(f, &report.listeners)?;
                f.write_str("; upstreams: ")?;
                counts(f, &report.upstreams)
            }
            Err(error) => f.write_str(error),
        }
    }
}

#[cfg(feature = "serde")]
#[derive(serde::Serialize)]
struct RecordForm<'a> {
    #[serde(serialize_with = "crate::history::serialize_time")]
    at: SystemTime,
    report: Option<&'a ReloadReport>,
    error: Option<&'a str>,
}

#[cfg(feature = "serde")]
impl serde::Serialize for ReloadRecord {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = RecordForm {
            at: self.at,
            report: self.outcome.as_ref().ok(),
            error: self.outcome.as_ref().err().map(|error| &**error),
        };
        form.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reloads_are_kept_in_their_order() {
        let history = ReloadHistory::default();
        for i in 0..KEPT + 2 {
            history.add(ReloadRecord::now(Err(i.to_string().into())));
        }
        history.add(ReloadRecord::now(Ok(ReloadReport::default())));
        let list = history.list();
        assert_eq!(list.len(), KEPT);
        assert_eq!(list[0].to_string(), "3");
        let last = "listeners: 0 added, 0 kept, 0 changed, 0 removed; \
                    upstreams: 0 added, 0 kept, 0 changed, 0 removed";
        assert_eq!(list[KEPT - 1].to_string(), last);
    }
}
