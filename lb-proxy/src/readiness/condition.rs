//! The conditions of readiness.

use std::fmt;

use tokio::time::Instant;

/// Whether a server should get new connections, and every condition of that, met or not.
#[derive(Clone, Debug)]
pub struct Readiness {
    conditions: Vec<ReadinessCondition>,
    /// When time alone may change it.
    pub(crate) look_again: Option<Instant>,
}

/// A condition of readiness.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ReadinessCondition {
    /// What has to be true.
    pub check: ReadinessCheck,
    /// Whether it is.
    pub ok: bool,
    /// What is missing, or what is there.
    pub detail: String,
}

/// What a condition of readiness is about.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ReadinessCheck {
    /// The shutdown has not begun.
    Shutdown,
    /// The listeners accept connections.
    Listeners,
    /// The first membership of each upstream is known.
    Membership,
    /// Each [essential](crate::UpstreamBuilder::essential) upstream has a backend that could be picked.
    Backends,
    /// The embedder's control loop has [reported](crate::Handle::heartbeat) in time, if it ever has.
    ControlLoop,
    /// The embedder serves what it should, if it has [reported](crate::Handle::note_program) that it does not.
    Program,
    /// No policy of an upstream has [panicked](crate::Upstream::policy_problem) on the last set of its sources. It is
    /// [advisory](Self::is_advisory): the membership before serves.
    Policies,
    /// The embedder publishes the readiness, if it has [reported](crate::Handle::note_publication) that it cannot. It is
    /// [advisory](Self::is_advisory).
    Publication,
}

crate::names::names!(ReadinessCheck {
    Shutdown = "shutdown",
    Listeners = "listeners",
    Membership = "membership",
    Backends = "backends",
    ControlLoop = "control_loop",
    Program = "program",
    Policies = "policies",
    Publication = "publication",
});

impl ReadinessCheck {
    /// Whether the condition is only shown: a server is ready although it is not met.
    pub const fn is_advisory(self) -> bool {
        matches!(self, Self::Policies | Self::Publication)
    }
}

/// Whether the server is ready, and every condition.
#[cfg(feature = "serde")]
impl serde::Serialize for Readiness {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Readiness", 2)?;
        fields.serialize_field("ready", &self.is_ready())?;
        fields.serialize_field("conditions", &self.conditions)?;
        fields.end()
    }
}

impl Readiness {
    pub(crate) const fn new() -> Self {
        Self {
            conditions: Vec::new(),
            look_again: None,
        }
    }

    pub(crate) fn add(&mut self, check: ReadinessCheck, ok: bool, detail: impl Into<String>) {
        self.conditions.push(ReadinessCondition {
            check,
            ok,
            detail: detail.into(),
        });
    }

    /// Notes that time alone may change the readiness at `at`.
    pub(crate) fn look_again_at(&mut self, at: Instant) {
        let earlier = self.look_again.is_none_or(|before| at < before);
        if earlier {
            self.look_again = Some(at);
        }
    }

    /// Whether every condition is met that is not [advisory](ReadinessCheck::is_advisory).
    pub fn is_ready(&self) -> bool {
        self.unmet().next().is_none()
    }

    /// Whether the shutdown has begun.
    pub fn is_leaving(&self) -> bool {
        let mut unmet = self.unmet();
        unmet.any(|condition| condition.check == ReadinessCheck::Shutdown)
    }

    /// Every condition, met or not, in a fixed order.
    pub fn conditions(&self) -> &[ReadinessCondition] {
        &self.conditions
    }

    /// The conditions that are not met, without the [advisory](ReadinessCheck::is_advisory) ones.
    pub fn unmet(&self) -> impl Iterator<Item = &ReadinessCondition> {
        let conditions = self.conditions.iter();
        conditions.filter(|condition| !condition.ok && !condition.check.is_advisory())
    }

    /// Whether the control loop's report is all that is missing.
    pub(crate) fn lacks_control_loop_alone(&self) -> bool {
        !self.is_ready()
            && self
                .unmet()
                .all(|condition| condition.check == ReadinessCheck::ControlLoop)
    }
}

/// Equal if the conditions are.
impl PartialEq for Readiness {
    fn eq(&self, other: &Self) -> bool {
        self.conditions == other.conditions
    }
}

impl Eq for Readiness {}

/// `ready`, or `not ready: ` and the details of all conditions that are not met.
impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ready() {
            return f.write_str("ready");
        }
        f.write_str("not ready: ")?;
        for (number, condition) in self.unmet().enumerate() {
            let gap = if number == 0 { "" } else { "; " };
            write!(f, "{gap}{}", condition.detail)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_text_has_the_details_of_all_unmet_conditions() {
        let mut readiness = Readiness::new();
        readiness.add(ReadinessCheck::Listeners, true, "2 bound");
        assert_eq!(readiness.to_string(), "ready");
        readiness.add(ReadinessCheck::Membership, false, "a is unknown");
        readiness.add(ReadinessCheck::Backends, false, "b has no backend");
        let text = "not ready: a is unknown; b has no backend";
        assert_eq!(readiness.to_string(), text);
        assert!(!readiness.is_leaving());
    }

    #[test]
    fn an_advisory_condition_is_shown_and_does_not_decide() {
        let mut readiness = Readiness::new();
        readiness.add(ReadinessCheck::Publication, false, "the file is not ours");
        assert!(readiness.is_ready());
        assert_eq!(readiness.to_string(), "ready");
        assert_eq!(readiness.conditions().len(), 1);
    }

    #[test]
    fn the_earliest_moment_is_kept() {
        let mut readiness = Readiness::new();
        let now = Instant::now();
        for seconds in [3, 1, 2] {
            readiness.look_again_at(now + Duration::from_secs(seconds));
        }
        assert_eq!(readiness.look_again, Some(now + Duration::from_secs(1)));
    }
}
