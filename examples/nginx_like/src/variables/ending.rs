//! nginx's words for the end of a session.

use lb_proxy::events::{
    AttemptOutcome, AttemptReport, AttemptStep, CloseReason, NoBackendCause, PrereadFailure,
    RefusalDetail, Summary,
};

/// `$status` of a session that has ended: 200 whatever happened after a backend was connected, and where the client
/// was silent or left before that.
pub(crate) fn status(summary: &Summary<'_>) -> u16 {
    match summary.reason {
        CloseReason::AccessDenied | CloseReason::Refused => 403,
        CloseReason::ClientRate
        | CloseReason::ClientSessions
        | CloseReason::ClientZoneFull
        | CloseReason::Rate
        | CloseReason::Sessions => 503,
        CloseReason::Preread => match summary.refusal {
            Some(RefusalDetail::Preread(refusal)) => match refusal.failure {
                PrereadFailure::Socket(_) => 200,
                // nginx takes the end before a PROXY header for an empty one.
                PrereadFailure::Ended if !refusal.names_client => 200,
                _ => 400,
            },
            _ => 400,
        },
        CloseReason::RouteRefused => match summary.refusal {
            Some(RefusalDetail::NoListener(_)) => 200,
            _ => 500,
        },
        CloseReason::NoBackend | CloseReason::QueueFull | CloseReason::QueueTimeout => {
            match summary.attempts.last() {
                Some(last) if is_own_failure(last) => 500,
                _ => 502,
            }
        }
        _ => 200,
    }
}

/// Whether the session ended because no server could be picked, although it had not tried all. nginx then counts the
/// upstream as one more attempt.
pub(crate) fn lacks_live_upstreams(summary: &Summary<'_>) -> bool {
    let is_none_eligible = matches!(
        summary.refusal,
        Some(RefusalDetail::NoBackend(cause))
            if cause.is_none_eligible() || *cause == NoBackendCause::NotReady
    );
    if summary.reason != CloseReason::NoBackend || !is_none_eligible {
        return false;
    }
    let tried = summary.attempts.len();
    let Some(upstream) = summary.upstream.filter(|_| tried > 0) else {
        return true;
    };
    let backends = upstream.backends();
    let servers = backends.snapshot().iter();
    let servers = servers.filter(|backend| backend.takes_connections());
    // As many as were tried, or one more: there may be thousands.
    servers.take(tried + 1).count() > tried
}

/// Whether this machine could not begin the connection. nginx then tries no other server, and has no address yet.
pub(crate) fn is_own_failure(attempt: &AttemptReport) -> bool {
    attempt.outcome == AttemptOutcome::Local
        && attempt
            .error
            .is_some_and(|error| error.step == AttemptStep::Start)
}
