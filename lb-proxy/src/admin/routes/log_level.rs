//! `/log_level`.

use lb_core::Escaped;
use serde_json::json;
use tracing::info;

use super::context::{Answered, RouteContext, RouteRequest};
use crate::admin::answer::{AdminAnswer, RequestError};

pub(super) const PARAMETERS: &[&str] = &["level"];

pub(super) fn set(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let level = request.parameters.required("level")?;
    let levels = context.program.log_levels.as_ref();
    let none = || RequestError::not_found("this program does not let its log level be set");
    let levels = levels.ok_or_else(none)?;
    let before = levels.level();
    levels.set_level(level).map_err(RequestError::bad)?;
    info!(by = %Escaped(request.by), before, level = %Escaped(level), "Log level set");
    Ok(AdminAnswer::json(
        200,
        &json!({ "level": levels.level(), "before": before }),
    ))
}
