//! `/readyz`.

use super::context::{Answered, RouteContext, RouteRequest};
use crate::admin::answer::AdminAnswer;

/// One line for each condition: `[+]` if it is met, `[-]` if not, as the health endpoints of Kubernetes write them.
pub(super) fn ready(context: &RouteContext, _: &RouteRequest<'_>) -> Answered {
    let readiness = context.handle.readiness();
    let lines = readiness.conditions().iter().map(|condition| {
        let mark = if condition.ok { '+' } else { '-' };
        let check = condition.check.as_str();
        format!("[{mark}] {check}: {}\n", condition.detail)
    });
    let lines: String = lines.collect();
    let (status, end) = if readiness.is_ready() {
        (200, "ready")
    } else {
        (503, "not ready")
    };
    Ok(AdminAnswer::text(status, format!("{lines}{end}\n")))
}
