//! The measure of sessions that `least_time` compares, with or without those in flight.

/// Which time of a session counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) enum Measure {
    /// To the established connection.
    #[default]
    Connect,
    /// To the backend's first byte, or the end of its stream.
    FirstByte,
    /// To the end of the session.
    LastByte,
}

/// How `least_time` computes the time that a backend is expected to take.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "LeastTime"))]
pub(crate) struct Expectation {
    /// Which time of a session counts.
    pub(crate) measure: Measure,
    /// Whether attempts that have not reached the measured moment count with their age.
    pub(crate) in_flight: bool,
}

impl Expectation {
    pub(super) const fn word(self) -> u8 {
        self.measure as u8 | if self.in_flight { 0b100 } else { 0 }
    }

    pub(super) const fn from_word(word: u8) -> Self {
        Self {
            measure: match word & 0b11 {
                0 => Measure::Connect,
                1 => Measure::FirstByte,
                _ => Measure::LastByte,
            },
            in_flight: word & 0b100 != 0,
        }
    }
}
