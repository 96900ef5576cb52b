//! Conditions in the status of an object.

use serde::{Deserialize, Serialize};

/// One condition. Of an object with conditions each type has one.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// The `metadata.generation` that it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` changed, as the API writes it.
    pub last_transition_time: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum ConditionStatus {
    /// It does not.
    False,
    /// It does.
    True,
    /// It is not known.
    #[default]
    Unknown,
}

/// Whether a condition of the type `kind` is a problem when it is true, and none when it is false.
pub(crate) fn is_negative(kind: &str) -> bool {
    ["Conflicted", "OverlappingTLSConfig", "PartiallyInvalid"].contains(&kind)
}

impl Condition {
    /// Whether it says that something is wrong. What is not known is not wrong.
    pub fn is_problem(&self) -> bool {
        let wrong = match is_negative(&self.kind) {
            true => ConditionStatus::True,
            false => ConditionStatus::False,
        };
        self.status == wrong
    }

    /// Whether both say the same, whenever it began.
    pub fn says_what(&self, other: &Self) -> bool {
        let Self {
            kind,
            status,
            reason,
            message,
            observed_generation,
            last_transition_time: _,
        } = self;
        *kind == other.kind
            && *status == other.status
            && *reason == other.reason
            && *message == other.message
            && *observed_generation == other.observed_generation
    }
}
