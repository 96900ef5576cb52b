use std::sync::Arc;
use std::time::Duration;

use lb_core::Backend;

use super::super::attempt::AttemptReport;
use super::super::refusal::PrereadRefusal;
use super::*;
use crate::session_id::SessionId;

const SECOND: Option<Duration> = Some(Duration::from_secs(1));

fn summary(reason: CloseReason, phase: SessionPhase) -> Summary<'static> {
    let mut summary = Summary::new(SessionId::new(0), reason);
    summary.phase = phase;
    summary
}

fn code(reason: CloseReason, phase: SessionPhase) -> String {
    summary(reason, phase).termination().to_string()
}

#[test]
fn every_reason_has_letters_that_haproxy_knows() {
    use SessionPhase::{Connecting, Preread, Queued, Relaying, Responding};
    for (reason, phase, expected) in [
        (CloseReason::Aborted, Queued, "KQ"),
        (CloseReason::Aborted, Relaying, "KD"),
        (CloseReason::AccessDenied, Preread, "PR"),
        (CloseReason::AddressLost, Relaying, "CD"),
        (CloseReason::BackendRemoved, Relaying, "DD"),
        (CloseReason::BackendReset, Relaying, "SD"),
        (CloseReason::BackendUnhealthy, Relaying, "DD"),
        (CloseReason::ClientGone, Preread, "CR"),
        (CloseReason::ClientGone, Queued, "CQ"),
        (CloseReason::ClientGone, Connecting, "CC"),
        (CloseReason::ClientRate, Preread, "PR"),
        (CloseReason::ClientReset, Relaying, "CD"),
        (CloseReason::ClientReset, Responding, "CR"),
        (CloseReason::ClientSessions, Preread, "PR"),
        (CloseReason::ClientZoneFull, Preread, "PR"),
        (CloseReason::Finished, Relaying, "--"),
        (CloseReason::FirstByteTimeout, Relaying, "cD"),
        (CloseReason::HalfClosedTimeout, Relaying, "sD"),
        (CloseReason::IdleTimeout, Relaying, "cD"),
        (CloseReason::IdleTimeout, Responding, "cR"),
        (CloseReason::MaxAge, Relaying, "PD"),
        (CloseReason::NoBackend, Connecting, "SC"),
        (CloseReason::Operator, Preread, "KR"),
        (CloseReason::Operator, Connecting, "KC"),
        (CloseReason::Operator, Relaying, "KD"),
        (CloseReason::Preread, Preread, "PR"),
        (CloseReason::PrereadTimeout, Preread, "cR"),
        (CloseReason::QueueFull, Queued, "PQ"),
        (CloseReason::QueueTimeout, Queued, "sQ"),
        (CloseReason::Rate, Preread, "PR"),
        (CloseReason::Refused, Preread, "PR"),
        (CloseReason::Responded, Responding, "LR"),
        (CloseReason::RouteRefused, Preread, "PR"),
        (CloseReason::Sessions, Preread, "PR"),
    ] {
        let code = code(reason, phase);
        assert_eq!(code, expected, "{reason:?} in {phase:?}");
        let [cause, step] = [0, 1].map(|i| char::from(code.as_bytes()[i]));
        assert!("CSPLRIDUKcs-".contains(cause) && "RQCHDLT-".contains(step));
    }
}

#[test]
fn the_side_that_ended_first_decides_the_step_of_the_relay() {
    for (reason, expected) in [
        (CloseReason::ClientReset, "CL"),
        (CloseReason::HalfClosedTimeout, "cL"),
        (CloseReason::Operator, "KL"),
    ] {
        let mut summary = summary(reason, SessionPhase::Relaying);
        summary.backend_ended_after = SECOND;
        assert_eq!(summary.termination().to_string(), expected);
        summary.client_ended_after = Some(Duration::ZERO);
        assert_eq!(summary.termination().step(), 'D');
    }
}

#[test]
fn the_last_attempt_decides_the_cause_of_a_session_without_a_backend() {
    for (outcome, expected) in [
        (AttemptOutcome::Failed, 'S'),
        (AttemptOutcome::Local, 'R'),
        (AttemptOutcome::Timeout, 's'),
    ] {
        let backend = Backend::new(([127, 0, 0, 1], 80).into());
        let attempts = [AttemptReport::new(Arc::new(backend), outcome)];
        let mut summary = summary(CloseReason::NoBackend, SessionPhase::Connecting);
        summary.attempts = &attempts;
        assert_eq!(summary.termination().cause(), expected);
        let deadline = RefusalDetail::NoBackend(NoBackendCause::Deadline);
        summary.refusal = Some(&deadline);
        assert_eq!(summary.termination().to_string(), "sC");
    }
}

#[test]
fn a_client_that_leaves_before_its_first_bytes_are_complete_is_the_cause() {
    for (failure, expected) in [
        (PrereadFailure::Ended, "CR"),
        (PrereadFailure::Socket(None), "CR"),
        (PrereadFailure::Invalid, "PR"),
        (PrereadFailure::TooLong, "PR"),
        (PrereadFailure::Timeout, "cR"),
    ] {
        let refusal = RefusalDetail::Preread(PrereadRefusal::new(0, failure));
        let mut summary = summary(CloseReason::Preread, SessionPhase::Preread);
        summary.refusal = Some(&refusal);
        assert_eq!(summary.termination().to_string(), expected, "{failure:?}");
    }
}
