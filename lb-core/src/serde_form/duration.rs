//! The forms of durations.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use super::duration_text::{format_duration, parse_duration};
use super::switch::Switch;

/// A [`Duration`] as text: numbers with their units, as [`parse_duration`] reads them.
#[derive(Debug)]
#[non_exhaustive]
pub struct DurationForm;

impl DurationForm {
    /// Writes `duration` as [`format_duration`] does.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*duration))
    }

    /// Reads a text. A number without a unit is an error.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

/// An `Option<Duration>` as a [`DurationForm`], or `false` for `None`.
#[derive(Debug)]
#[non_exhaustive]
pub struct OptionalDuration;

impl OptionalDuration {
    /// Writes `duration`, or `false`.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Switch::serialize(&duration.map(Written), serializer)
    }

    /// Reads a text, `false` or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let read: Option<Written> = Switch::deserialize(deserializer)?;
        Ok(read.map(|Written(duration)| duration))
    }
}

/// A duration with the form of the traits.
struct Written(Duration);

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        DurationForm::serialize(&self.0, serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DurationForm::deserialize(deserializer).map(Self)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time with its unit, such as 500ms, 10s, 5m or 1h")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse_duration(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}
