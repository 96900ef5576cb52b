//! The form of durations in reports.

use std::time::Duration;

use serde::ser::Serializer;

/// Writes a duration of a report as a number of seconds, for `#[serde(serialize_with = "…")]`. Settings have a
/// [`DurationForm`](super::DurationForm).
pub fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// Writes a duration of a report as a number of seconds, or null.
pub fn optional_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => seconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}
