//! `/readyz`.

use super::context::{Answered, RouteContext, RouteRequest};
use crate::admin::answer::AdminAnswer;
use crate::admin::status;

/// One line for each condition: `[+]` if it is met, `[-]` if not, as the health endpoints of Kubernetes write them.
pub(super) fn ready(context: &RouteContext, _: &RouteRequest<'_>) -> Answered {
    let reasons = status::readiness(&context.handle, &context.handle.upstreams());
    let lines = reasons.iter().map(|reason| {
        let mark = if reason.ok { '+' } else { '-' };
        format!("[{mark}] {}: {}\n", reason.check, reason.detail)
    });
    let lines: String = lines.collect();
    let is_ready = reasons.iter().all(|reason| reason.ok);
    let (status, end) = if is_ready {
        (200, "ready")
    } else {
        (503, "not ready")
    };
    Ok(AdminAnswer::text(status, format!("{lines}{end}\n")))
}
