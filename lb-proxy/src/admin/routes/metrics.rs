//! `/metrics`.

use super::context::{Answered, RouteContext, RouteRequest};
use crate::admin::answer::AdminAnswer;
use crate::openmetrics::{Format, encode};

/// All metrics in the format that the client asks for.
pub(super) fn metrics(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let format = Format::accepted(request.accept);
    Ok(AdminAnswer {
        status: 200,
        content_type: format.content_type(),
        body: encode(&context.registry, format).into_bytes(),
    })
}
